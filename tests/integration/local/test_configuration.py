"""The files of ``monitoring/`` judged by the real programs, and what stops us early."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.integration.local.conftest import ROOT, port_options, run
from tests.ports import free_ports

from local.place import Place, Ports
from local.programs import write_prometheus_config

MONITORING = ROOT / "monitoring"


def program(name: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} is missing: hack/debian-packages prometheus prometheus-alertmanager"
    return found


def check(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_loads_its_configuration_with_the_rules_of_every_alert() -> None:
    said = check(program("promtool"), "check", "config", str(MONITORING / "prometheus.yml"))
    alerts = yaml.safe_load((ROOT / "charts/stocks-fastapi/files/catalogue.yaml").read_text())
    assert f"{len(alerts['alerts'])} rule files found" in said


def test_the_scrape_target_is_the_api_by_its_name() -> None:
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    (target,) = job["static_configs"]
    assert job["metrics_path"] == "/metrics"
    assert target == {"targets": ["stocks-fastapi:8000"], "labels": {"namespace": "stocks"}}


def test_the_rules_are_current(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "threshold_operator", "render", "--namespace", "stocks"]
    subprocess.run(
        [*command, "--output", str(tmp_path)],
        cwd=ROOT,
        env={"PYTHONPATH": "operator"},
        check=True,
        capture_output=True,
    )
    assert contents(MONITORING / "rules") == contents(tmp_path), "run `make generate`"


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_alertmanager_loads_its_configuration() -> None:
    said = check(program("amtool"), "check-config", str(MONITORING / "alertmanager.yml"))
    assert "3 receivers" in said


@pytest.mark.parametrize(
    ("severity", "receiver"), [("critical", "page"), ("warning", "ticket"), ("none", "nobody")]
)
def test_alerts_are_routed_by_severity(severity: str, receiver: str) -> None:
    config = f"--config.file={MONITORING / 'alertmanager.yml'}"
    routes = [program("amtool"), "config", "routes", "test", config, f"severity={severity}"]
    assert check(*routes).strip() == receiver


def test_the_copy_differs_from_the_original_by_two_addresses(tmp_path: Path) -> None:
    write_prometheus_config(Place(tmp_path), Ports(api=1111, alertmanager=2222))
    original = (MONITORING / "prometheus.yml").read_text().splitlines()
    copy = (tmp_path / "prometheus/prometheus.yml").read_text().splitlines()
    changed = [new.strip() for old, new in zip(original, copy, strict=True) if old != new]
    assert changed == ["- targets: [127.0.0.1:2222]", "- targets: [127.0.0.1:1111]"]


def test_a_port_in_use_is_named_with_the_option_that_changes_it(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(
            "--state-dir", str(tmp_path), *port_options(Ports(*free_ports(5))),
            "--prometheus-port", str(port),
        )  # fmt: skip
    assert done.returncode == 1
    assert f"port {port} is in use on 127.0.0.1" in done.stderr
    assert "--prometheus-port" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_program_is_named_with_the_command_that_installs_it(tmp_path: Path) -> None:
    options = ["--state-dir", str(tmp_path), *port_options(Ports(*free_ports(5)))]
    done = run(*options, PATH=str(tmp_path))
    assert done.returncode == 1
    assert "prometheus-alertmanager is missing: run `hack/debian-packages" in done.stderr


@pytest.mark.parametrize("command", [("apply", "x.yaml"), ("delete", "x")])
def test_applying_where_nothing_runs_says_so(tmp_path: Path, command: tuple[str, str]) -> None:
    done = run("--state-dir", str(tmp_path), *command)
    assert done.returncode == 1
    assert "nothing ran in" in done.stderr
    assert "`make local`" in done.stderr
