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
from local.programs import write_monitoring_config

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
    here = [alert for alert in alerts["alerts"] if alert.get("needs") != "operator"]
    assert f"{len(here) + 1} rule files found" in said  # and the one of the gateway's mode


def test_the_scrape_targets_are_the_api_by_its_name_and_this_machine() -> None:
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    assert jobs.keys() == {"stocks-fastapi", "node-exporter"}
    assert jobs["stocks-fastapi"]["metrics_path"] == "/metrics"
    (target,) = jobs["stocks-fastapi"]["static_configs"]
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


def test_the_copies_differ_from_the_originals_by_the_addresses(tmp_path: Path) -> None:
    write_monitoring_config(Place(tmp_path), Ports(1111, alertmanager=2222, logger=3, exporter=4))
    changed = {
        name: [
            new.strip()
            for old, new in zip(
                (MONITORING / f"{name}.yml").read_text().splitlines(),
                (tmp_path / name / f"{name}.yml").read_text().splitlines(),
                strict=True,
            )
            if old != new
        ]
        for name in ("prometheus", "alertmanager")
    }
    assert changed == {
        "prometheus": [
            "- targets: [127.0.0.1:2222]",
            "- targets: [127.0.0.1:1111]",
            "- targets: [127.0.0.1:4]",
        ],
        "alertmanager": ["- url: http://127.0.0.1:3/page", "- url: http://127.0.0.1:3/ticket"],
    }


def test_a_port_in_use_is_named_with_the_option_that_changes_it(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(
            "--state-dir", str(tmp_path), *port_options(Ports(*free_ports(8))),
            "--prometheus-port", str(port),
        )  # fmt: skip
    assert done.returncode == 1
    assert f"port {port} is in use on 127.0.0.1" in done.stderr
    assert "--prometheus-port" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_program_is_named_with_the_command_that_installs_it(tmp_path: Path) -> None:
    options = ["--state-dir", str(tmp_path), *port_options(Ports(*free_ports(8)))]
    done = run(*options, PATH=str(tmp_path))
    assert done.returncode == 1
    assert "prometheus-node-exporter is missing: run `hack/debian-packages" in done.stderr


@pytest.mark.parametrize("command", [("apply", "x.yaml"), ("delete", "x")])
def test_applying_where_nothing_runs_says_so(tmp_path: Path, command: tuple[str, str]) -> None:
    done = run("--state-dir", str(tmp_path), *command)
    assert done.returncode == 1
    assert "nothing ran in" in done.stderr
    assert "`make local`" in done.stderr
