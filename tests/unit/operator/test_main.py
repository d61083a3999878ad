"""``python -m threshold_operator run``, as far as it gets without a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def run(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    unset = ("THRESHOLDS_", "KUBERNETES_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(unset)}
    clean |= {"PYTHONPATH": str(ROOT / "operator"), "KUBECONFIG": str(tmp_path / "none")}
    return subprocess.run(
        [sys.executable, "-m", "threshold_operator", *arguments],
        env={**clean, "HOME": str(tmp_path), **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def test_help_names_the_variables(tmp_path: Path) -> None:
    told = run(tmp_path, "run", "--help")
    assert told.returncode == 0
    for name in ("NAMESPACE", "CATALOGUE", "PROMETHEUS_URL", "RULE_LABELS", "HOST", "PORT"):
        assert f"THRESHOLDS_{name}" in told.stdout


CANNOT: dict[str, tuple[dict[str, str], str]] = {
    "no namespace": ({}, "THRESHOLDS_NAMESPACE: Field required"),
    "no catalogue": (
        {"THRESHOLDS_NAMESPACE": "desk", "THRESHOLDS_CATALOGUE": "/nowhere.yaml"},
        "/nowhere.yaml: ",
    ),
    "no cluster": (
        {"THRESHOLDS_NAMESPACE": "desk", "THRESHOLDS_PORT": "0"},
        "neither in a cluster nor with a kubeconfig",
    ),
}


@pytest.mark.parametrize(("environment", "message"), CANNOT.values(), ids=CANNOT)
def test_what_is_missing_is_said_in_a_line(
    tmp_path: Path, environment: dict[str, str], message: str
) -> None:
    ended = run(tmp_path, "run", **environment)
    assert ended.returncode == 1
    _, mark, said = ended.stderr.rpartition("threshold-operator run: ")
    assert mark
    assert message in said
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", [("list",), ("diff", "examples/tsla-pnl.yaml")])
def test_a_command_that_needs_a_cluster_says_so(tmp_path: Path, command: tuple[str, ...]) -> None:
    ended = run(tmp_path, *command, "--namespace", "desk")
    assert ended.returncode == 2
    assert "neither in a cluster nor with a kubeconfig" in ended.stderr
    assert "Traceback" not in ended.stderr
