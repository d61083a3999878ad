"""Effective is the word of every replica of Prometheus, and outlasts neither its loss nor its lag.

The last of the end-to-end tests: Prometheus loses its history here.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.stack import NAMESPACE, Stack
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("no_thresholds")

MONITORING, PROMETHEUS = "monitoring", "kube-prometheus-stack-prometheus"
PODS = f"prometheus-{PROMETHEUS}"
NAME = "replicas"

#: A rule is in force within seconds; a Prometheus that starts needs more.
SOON = 240
#: Longer than an operator would live that liveness takes for dead.
LATE_SECONDS = 300.0
AWAY_SECONDS = 40.0

#: The config reloaders of one node: their process ids by pod.
RELOADER = """
for pid in $(pgrep -f /bin/prometheus-config-reloader || pgrep -f prometheus-config-reloader); do
  if tr '\\0' '\\n' < /proc/$pid/environ | grep -qx "POD_NAME=$1"; then kill -$2 $pid; done=yes; fi
done
[ -n "$done" ]
"""


def test_row_1_each_replica_s_stopped_reloader_shows(stack: Stack, tmp_path: Path) -> None:
    with replicas(stack, 2):
        apply(stack, tmp_path, 0.11)
        stack.wait_effective(NAME)
        assert effective(stack)["message"].startswith("2 of 2 replicas evaluate")
        for number, pod in enumerate([f"{PODS}-0", f"{PODS}-1"]):
            wanted = 0.12 + number / 100
            with stopped_reloader(stack, pod):
                apply(stack, tmp_path, wanted)
                said = wait_message(stack, pod)
                assert (said["status"], said["reason"]) == ("False", "Propagating")
                assert f"1 of 2 replicas evaluates critical {wanted}" in said["message"]
            stack.wait_effective(NAME)
            said = effective(stack)
            assert said["message"] == f"2 of 2 replicas evaluate critical {wanted}"


def test_prometheus_away_for_40_seconds_ends_no_operator(stack: Stack, tmp_path: Path) -> None:
    apply(stack, tmp_path, 0.11)
    stack.wait_effective(NAME)
    before = operator(stack)
    with replicas(stack, 0):
        time.sleep(AWAY_SECONDS)  # the time itself is what is tried
    apply(stack, tmp_path, 0.12)
    wait_proven(stack, 0.12)
    assert operator(stack) == before


@pytest.mark.timeout(1800)
def test_a_wrong_url_that_becomes_right_after_five_minutes_needs_no_restart(
    stack: Stack, tmp_path: Path
) -> None:
    """A Prometheus that arrives late is the same: its Service doesn't exist yet."""
    url = f"http://late.{MONITORING}:9090"
    with environment(stack, THRESHOLDS_PROMETHEUS_URL=url, THRESHOLDS_PROMETHEUS_OBJECT=None):
        before = operator(stack)
        apply(stack, tmp_path, 0.13)
        said = eventually(
            lambda: effective(stack), lambda found: found["status"] == "Unknown", within=SOON
        )
        assert (said["reason"], url[7:17] in said["message"]) == ("PrometheusUnreachable", True)
        time.sleep(LATE_SECONDS)  # the time itself is what is tried
        stack.kubectl("--namespace", MONITORING, "apply", "-f", str(service(tmp_path)))
        wait_proven(stack, 0.13)
        assert operator(stack) == before
    stack.kubectl("--namespace", MONITORING, "delete", "service", "late")


def apply(stack: Stack, folder: Path, critical: float) -> None:
    body = {
        "apiVersion": "stocks-fastapi.io/v1alpha1",
        "kind": "AlertThreshold",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"alert": "StocksOrderRejectionRateHigh", "critical": {"threshold": critical}},
    }
    stack.apply(written(folder, NAME, body))


def service(folder: Path) -> Path:
    selector = {"operator.prometheus.io/name": PROMETHEUS}
    body = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "late", "namespace": MONITORING},
        "spec": {"selector": selector, "ports": [{"port": 9090}]},
    }
    return written(folder, "service", body)


def written(folder: Path, name: str, body: dict[str, Any]) -> Path:
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(body))
    return file


def effective(stack: Stack) -> dict[str, Any]:
    """The condition, once it speaks of the newest generation."""

    def current() -> dict[str, Any]:
        body = stack.get("at", NAME)
        conditions = body.get("status", {}).get("conditions", [])
        found: dict[str, Any]
        found = next((c for c in conditions if c["type"] == "Effective"), {})
        same = found.get("observedGeneration") == body["metadata"]["generation"]
        return found if same else {}

    return eventually(current, bool, within=SOON, every=0.5)


def wait_message(stack: Stack, part: str) -> dict[str, Any]:
    """The condition, once its message holds this."""
    return eventually(lambda: effective(stack), lambda found: part in found["message"], within=SOON)


def wait_proven(stack: Stack, number: float) -> None:
    eventually(
        lambda: effective(stack),
        lambda said: said["status"] == "True" and f"critical {number}" in said["message"],
        within=SOON,
    )


def operator(stack: Stack) -> list[tuple[str, int]]:
    """Its pods, and how often their container was started again."""
    pods = stack.items("pod", "app.kubernetes.io/component=operator")
    return [
        (pod["metadata"]["name"], status["restartCount"])
        for pod in pods
        for status in pod["status"].get("containerStatuses", [])
    ]


@contextmanager
def replicas(stack: Stack, number: int) -> Iterator[None]:
    """So many of Prometheus; one again afterwards."""
    scale(stack, number)
    yield
    scale(stack, 1)


def scale(stack: Stack, number: int) -> None:
    patch = f'{{"spec": {{"replicas": {number}}}}}'
    there = ("--namespace", MONITORING)
    stack.kubectl(*there, "patch", "prometheus", PROMETHEUS, "--type=merge", "-p", patch)
    ready = (
        "get",
        "statefulset",
        PODS,
        "-o",
        "jsonpath={.status.replicas}/{.status.readyReplicas}",
    )
    wanted = {f"{number}/{number}"} if number else {"0/", "0/0"}
    eventually(lambda: stack.kubectl(*there, *ready), lambda now: now in wanted, within=SOON)


@contextmanager
def stopped_reloader(stack: Stack, pod: str) -> Iterator[None]:
    """The pod's Prometheus hears of no changed rule until the block ends."""
    signal_reloader(stack, pod, "STOP")
    yield
    signal_reloader(stack, pod, "CONT")


def signal_reloader(stack: Stack, pod: str, signal: str) -> None:
    node = f"{stack.cluster.name}-control-plane"
    command = ["docker", "exec", node, "sh", "-c", RELOADER, "sh", pod, signal]
    subprocess.run(command, check=True)


@contextmanager
def environment(stack: Stack, **variables: str | None) -> Iterator[None]:
    """The operator with these variables; None is without. Afterwards as it was."""
    rollout = ("rollout", "status", "deployment/stocks-operator", "--timeout=180s")
    words = [
        f"{name}-" if value is None else f"{name}={value}" for name, value in variables.items()
    ]
    stack.kubectl("set", "env", "deployment/stocks-operator", *words)
    stack.kubectl(*rollout)
    # The one before is on its way out for some seconds more.
    eventually(lambda: operator(stack), lambda pods: len(pods) == 1, within=SOON)
    yield
    stack.kubectl("rollout", "undo", "deployment/stocks-operator")
    stack.kubectl(*rollout)
