"""Row k: how much room the rules take, and that it is said before Prometheus restarts for it."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from tests.unit.operator.fakes import Bench
from tests.unit.operator.objects import CATALOGUE, body, threshold

from threshold_operator.cluster.objects import manifest
from threshold_operator.reconcile import rule_files
from threshold_operator.reconcile.rule_files import LIMIT_BYTES, RuleFiles, rule_file_bytes
from threshold_operator.telemetry import Metrics


def rule(name: str = "rejections", version: int = 1, **spec: Any) -> dict[str, Any]:
    it = threshold(name, **spec)
    made = dict(manifest(body(name, **spec), it, CATALOGUE, {}, in_force=True))
    meta = {**made["metadata"], "uid": f"uid-of-{name}", "resourceVersion": str(version)}
    return {**made, "metadata": meta}


def test_row_k_a_plain_object_takes_at_most_250_bytes() -> None:
    assert rule_file_bytes(rule()) <= 250


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


def test_row_k_the_sum_is_known_and_follows_each_change(metrics: Metrics) -> None:
    files = RuleFiles(metrics)
    one, two = rule("one"), rule("two")
    assert files.weigh("desk", [one, two]) is None
    files.weigh("other", [one])
    sizes = shown(metrics)
    single = rule_file_bytes(one)
    assert sizes == {"desk": single + rule_file_bytes(two), "other": single}
    longer = rule("one", 2, critical={"threshold": 0.05, "recover": 0.04})
    files.weigh("desk", [longer])
    sizes = shown(metrics)
    assert sizes["desk"] == rule_file_bytes(longer) > single


def shown(metrics: Metrics) -> dict[str, float]:
    (family,) = metrics.rule_files.collect()
    return {sample.labels["namespace"]: sample.value for sample in family.samples}


@pytest.mark.parametrize("full", [0, 1], ids=["the first ConfigMap", "the second"])
def test_row_k_it_is_said_once_before_each_boundary(metrics: Metrics, full: int) -> None:
    room = rule_file_bytes(rule())
    others = full * LIMIT_BYTES + int(0.9 * LIMIT_BYTES)
    quiet = RuleFiles(metrics, others=others - room - 1)
    quiet.said()
    assert quiet.weigh("desk", [rule()]) is None
    near = RuleFiles(metrics, others=others - 1)
    near.said()
    change = near.weigh("desk", [rule()])
    assert change is not None
    assert (change.level, change.reason) == ("Warning", "RuleFilesNearLimit")
    assert f"of {(full + 1) * LIMIT_BYTES} bytes" in change.message
    assert near.weigh("desk", [rule()]) == change, "until it was said"
    near.said()
    assert near.weigh("desk", [rule(version=2)]) is None


def test_row_k_it_is_said_after_a_leap_and_again_after_a_fall(metrics: Metrics) -> None:
    files = RuleFiles(metrics, others=LIMIT_BYTES - 1)
    assert files.weigh("desk", [rule()]) is not None, "the boundary is passed at once"
    files = RuleFiles(metrics, others=int(0.9 * LIMIT_BYTES) - 1)
    assert files.weigh("desk", [rule()]) is not None
    files.said()
    assert files.weigh("desk", []) is None
    assert files.weigh("desk", [rule()]) is not None


def test_row_k_all_namespaces_share_the_room(metrics: Metrics) -> None:
    room = rule_file_bytes(rule())
    files = RuleFiles(metrics, others=int(0.9 * LIMIT_BYTES) - 2 * room + 1)
    assert files.weigh("desk", [rule()]) is None
    assert files.weigh("other", [rule()]) is not None


def test_row_k_the_limit_is_shown(metrics: Metrics) -> None:
    RuleFiles(metrics)
    (family,) = metrics.rule_file_limit.collect()
    assert [sample.value for sample in family.samples] == [LIMIT_BYTES]


async def test_row_k_the_newest_object_has_the_event(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    monkeypatch.setattr(rule_files, "LIMIT_BYTES", 480)
    bench.cluster.create(body("old", created="2026-11-20T10:00:00Z"))
    bench.cluster.create(body("new", "StocksPnlMoveUnusual"))
    await bench.relist()
    await bench.turn()
    told = [e for e in bench.cluster.events if e["reason"] == "RuleFilesNearLimit"]
    assert [event["involvedObject"]["name"] for event in told] == ["new"]
