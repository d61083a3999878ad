"""kubectl apply changes an alert in a real Prometheus, and delete brings the default back."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.stack import NAMESPACE, Stack
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("no_thresholds")

ALERT = "StocksOrderRejectionRateHigh"
DEFAULT, LOWERED = 0.2, 0.05
EXAMPLE = Path(__file__).parents[2] / "examples" / "rejection-rate.yaml"

#: Rule file to ConfigMap to kubelet to reload: seconds in kind, minutes at worst.
PROPAGATION = 180


def wait_effective(stack: Stack, number: float) -> None:
    eventually(lambda: stack.effective(ALERT), lambda now: now == number, within=PROPAGATION)


def manifest(tmp_path: Path, name: str = "test", **spec: Any) -> Path:
    body = {
        "apiVersion": "stocks-fastapi.io/v1alpha1",
        "kind": "AlertThreshold",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"alert": ALERT} | spec,
    }
    file = tmp_path / f"{name}.yaml"
    file.write_text(yaml.safe_dump(body))
    return file


def test_a_lowered_number_pages_and_deleting_it_brings_the_default_back(
    stack: Stack, tmp_path: Path
) -> None:
    wait_effective(stack, DEFAULT)
    stack.apply(EXAMPLE)
    stack.wait_effective("rejection-rate")
    assert stack.effective(ALERT) == LOWERED

    # 12 % lies between the old limit and the new one.
    stack.orders(accepted=44, rejected=6)
    stack.wait_state(ALERT, "firing", within=120)
    eventually(lambda: stack.paged(ALERT), bool, within=60)
    firing = "--for=jsonpath={.status.state}=firing"
    stack.kubectl("wait", firing, "at/rejection-rate", "--timeout=60s")
    row = stack.kubectl("get", "alertthresholds").splitlines()[-1].split()
    assert row[:7] == ["rejection-rate", ALERT, "*", "0.02", "0.05", "Ready", "firing"]

    # A number changed under a firing alert does not interrupt it.
    before = stack.alert(ALERT)
    assert before is not None
    changed = manifest(tmp_path, "rejection-rate", critical={"threshold": 0.04})
    stack.apply(changed)
    stack.wait_effective("rejection-rate")
    eventually(lambda: stack.effective(ALERT), lambda now: now == 0.04, within=PROPAGATION)
    after = stack.alert(ALERT)
    assert after is not None
    assert (after["state"], after["activeAt"]) == ("firing", before["activeAt"])

    stack.kubectl("delete", "at", "rejection-rate")
    wait_effective(stack, DEFAULT)


def test_deleting_with_the_operator_down_brings_the_default_back(
    stack: Stack, tmp_path: Path
) -> None:
    stack.apply(manifest(tmp_path, critical={"threshold": 0.07}))
    stack.wait_effective("test")
    stack.scale("stocks-operator", 0)
    try:
        stack.kubectl("delete", "at", "test")
        wait_effective(stack, DEFAULT)
    finally:
        stack.scale("stocks-operator", 1)


def test_a_rule_deleted_by_hand_comes_back(stack: Stack, tmp_path: Path) -> None:
    stack.apply(manifest(tmp_path, critical={"threshold": 0.07}))
    stack.wait_effective("test")
    before = stack.get("prometheusrule", "threshold-test")
    stack.kubectl("delete", "prometheusrule", "threshold-test")
    after = eventually(lambda: rule(stack, "threshold-test"), bool, within=30)
    assert after is not None
    assert after["spec"] == before["spec"]


BAD: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "an unknown alert": (
        {"alert": "StocksNothing", "critical": {"threshold": 0.1}},
        ("spec.alert", "StocksNothing", ALERT),
    ),
    "a number out of bounds": (
        {"critical": {"threshold": 7}},
        ("threshold", "0.001", "1"),
    ),
    "warning beyond critical": (
        {"warning": {"threshold": 0.3}, "critical": {"threshold": 0.1}},
        ("critical", "warning"),
    ),
    "a scope that the alert does not have": (
        {"match": {"symbol": "TSLA"}, "critical": {"threshold": 0.1}},
        ("spec.match",),
    ),
}


@pytest.mark.parametrize(("spec", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_told_and_changes_nothing(
    stack: Stack, tmp_path: Path, spec: dict[str, Any], words: tuple[str, ...]
) -> None:
    wait_effective(stack, DEFAULT)
    message = refusal(stack, manifest(tmp_path, "bad", **spec))
    assert all(word in message for word in words), message
    assert rule(stack, "threshold-bad") is None
    assert stack.effective(ALERT) == DEFAULT


def test_a_bad_edit_never_takes_a_good_rule_away(stack: Stack, tmp_path: Path) -> None:
    stack.apply(manifest(tmp_path, critical={"threshold": 0.07}))
    stack.wait_effective("test")
    message = refusal(stack, manifest(tmp_path, critical={"threshold": 7}))
    assert "threshold" in message
    assert stack.effective(ALERT) == 0.07


def test_a_preview_tells_what_would_have_been_and_puts_nothing_in_force(
    stack: Stack, tmp_path: Path
) -> None:
    wait_effective(stack, DEFAULT)  # what an earlier test had in force has gone
    stack.orders(accepted=44, rejected=6)
    beyond = f'stocks:order_rejection:ratio{{namespace="{NAMESPACE}"}} > {LOWERED}'
    long_enough = f"count_over_time(({beyond})[5m:15s]) > 2"
    eventually(lambda: stack.query(long_enough), bool, within=180)
    spec = {"mode": "Preview", "preview": {"window": "1h"}}
    tier = {"threshold": LOWERED, "for": "0s"}
    stack.apply(manifest(tmp_path, "tried", critical=tier, **spec))
    found = eventually(lambda: preview(stack, "tried"), bool, within=120)
    assert (found["window"], found["step"]) == ("1h", "5s")
    assert 0 < found["coverage"] <= 1
    new, in_force = (found["tiers"]["critical"][which] for which in ("new", "inForce"))
    assert (new["threshold"], in_force["threshold"]) == (LOWERED, DEFAULT)
    assert new["episodes"] >= 1
    assert new["minutesFiring"] > in_force["minutesFiring"]
    stack.kubectl("wait", "--for=condition=Effective=False", "at/tried", "--timeout=30s")
    assert rule(stack, "threshold-tried") is None
    assert stack.effective(ALERT) == DEFAULT


def preview(stack: Stack, name: str) -> dict[str, Any]:
    """What Prometheus' history says of an object, once it is known."""
    found: dict[str, Any] = stack.get("at", name).get("status", {}).get("preview", {})
    return found


def test_an_object_that_lived_for_a_moment_leaves_no_rule(stack: Stack, tmp_path: Path) -> None:
    for _ in range(3):
        stack.apply(manifest(tmp_path, "brief", critical={"threshold": 0.07}))
        stack.kubectl("delete", "at", "brief")
    # Once a later one is done, nothing is written for the ones before.
    stack.apply(manifest(tmp_path, "lasting", critical={"threshold": 0.07}))
    stack.kubectl("wait", "--for=condition=Accepted", "at/lasting", "--timeout=60s")
    eventually(lambda: rule(stack, "threshold-brief"), lambda found: found is None, within=120)


def rule(stack: Stack, name: str) -> dict[str, Any] | None:
    found = stack.kubectl("get", "prometheusrule", name, "--ignore-not-found", "-o", "name")
    return stack.get("prometheusrule", name) if found.strip() else None


def refusal(stack: Stack, file: Path) -> str:
    """What the user is told: by kubectl apply at once, or by the Accepted condition."""
    try:
        stack.apply(file)
    except subprocess.CalledProcessError as refused:
        return str(refused.output)
    name = yaml.safe_load(file.read_text())["metadata"]["name"]
    stack.kubectl("wait", "--for=condition=Accepted=False", f"at/{name}", "--timeout=30s")
    conditions = stack.get("at", name)["status"]["conditions"]
    return str(next(c["message"] for c in conditions if c["type"] == "Accepted"))
