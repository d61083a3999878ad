"""The commands that read a cluster, with the rights of the operator's service account."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml
from tests.integration.operator.apiserver import CHART
from tests.integration.operator.conftest import ALERT, Desk, kubeconfig, threshold
from tests.integration.operator.test_objects import PNL, Start, wait_written


def command(desk: Desk, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "threshold_operator", *arguments, "--namespace", desk.namespace],
        cwd=CHART.parents[1],
        env={**os.environ, "PYTHONPATH": "operator", "KUBECONFIG": str(kubeconfig(desk))},
        capture_output=True,
        text=True,
    )


def test_list_shows_what_holds_in_the_namespace(desk: Desk, start: Start) -> None:
    start()
    desk.apply("good", critical={"threshold": 0.05})
    desk.apply("wrong", PNL, critical={"threshold": 77})
    wait_written(desk, "good")
    desk.wait_condition("wrong", "Accepted", "False", "OutOfBounds")
    told = command(desk, "list")
    assert (told.returncode, told.stderr) == (0, "")
    _, good, wrong = told.stdout.splitlines()
    columns = ["good", ALERT, "*", "0.05", "Enforce", "True", "Unknown", "unknown"]
    assert good.split() == columns
    assert wrong.split() == ["wrong", PNL, "*", "77", "Enforce", "False", "False"]


def test_the_objects_of_the_cluster_are_validated_and_rendered(desk: Desk, tmp_path: Path) -> None:
    desk.apply("good", critical={"threshold": 0.05})
    assert command(desk, "validate").stdout == "1 valid\n"
    desk.apply("newer", critical={"threshold": 0.07})
    told = command(desk, "validate")
    assert told.returncode == 1
    assert (
        "cluster, AlertThreshold/newer: spec: good is older and already sets critical"
        in told.stderr
    )
    told = command(desk, "render", "--cluster", "--output", str(tmp_path))
    assert (told.returncode, told.stderr) == (0, "")
    assert [file.name for file in tmp_path.glob("threshold-*")] == ["threshold-good.yaml"]


def test_diff_tells_what_applying_files_would_change(desk: Desk, tmp_path: Path) -> None:
    desk.apply("tight", critical={"threshold": 0.05})
    file = tmp_path / "new.yaml"
    same, new = threshold("tight", critical={"threshold": 0.05}), threshold("loose", PNL)
    file.write_text(yaml.safe_dump(same))
    assert command(desk, "diff", str(file)).returncode == 0

    same["spec"]["critical"]["threshold"] = 0.06
    new["spec"]["warning"] = {"threshold": 0.5}
    file.write_text(yaml.safe_dump_all([same, new]))
    told = command(desk, "diff", "--output-format", "json", str(file))
    assert (told.returncode, told.stderr) == (1, "")
    rows = [
        (r["alert"], r["tier"], r["by"], r["before"], r["after"]) for r in json.loads(told.stdout)
    ]
    assert rows[0] == (ALERT, "critical", "tight", 0.05, 0.06)
    assert (rows[1][1:3], rows[1][4]) == (("warning", "default"), 0.5)

    desk.server.apply(desk.namespace, same, new)
    assert command(desk, "diff", str(file)).returncode == 0, "applied, it changes nothing more"


def test_diff_tells_what_the_cluster_would_refuse(desk: Desk, tmp_path: Path) -> None:
    desk.apply("tight", critical={"threshold": 0.05})
    file = tmp_path / "new.yaml"
    for wanted, said in (
        (threshold("tight", PNL, critical={"threshold": 0.05}), "spec.alert: can't be changed"),
        (threshold("newer", critical={"threshold": 0.07}), "tight is older and already sets"),
    ):
        file.write_text(yaml.safe_dump(wanted))
        told = command(desk, "diff", str(file))
        assert told.returncode == 2
        assert said in told.stderr
