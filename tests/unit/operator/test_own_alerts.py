"""Entries of the users' own: judged one by one, and a bad edit takes nothing away."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from tests.unit.operator.objects import CATALOGUE, NOW

from threshold_operator.cluster.api import KubeError
from threshold_operator.cluster.objects import in_sync
from threshold_operator.model.catalogue import CatalogueError
from threshold_operator.promql.rules import alert_group
from threshold_operator.reconcile import extra_alerts as own_rule
from threshold_operator.reconcile.extra_alerts import OwnRule, settle
from threshold_operator.reconcile.extra_entries import (
    OwnAlerts,
    news,
    own_manifest,
    read,
    settled,
    with_own,
)
from threshold_operator.telemetry import Metrics

EXAMPLE = Path(__file__).parents[3] / "examples" / "own-alerts" / "values.yaml"
(FLOW,) = yaml.safe_load(EXAMPLE.read_text())["monitoring"]["extraAlerts"]
SPREAD = FLOW | {
    "name": "StocksSpreadWide",
    "signal": {"name": "stocks:spread:ratio", "expr": 'spread{namespace="__NAMESPACE__"}'},
}
BROKEN = FLOW | {"bounds": {"min": 200, "max": 300}}
NAME = "stocks-own-alerts"
CONFIG_MAP = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": NAME, "namespace": "trading", "uid": "u"},
}


@pytest.fixture
def given(tmp_path: Path) -> Any:
    def read_these(*raws: Any) -> OwnAlerts:
        file = tmp_path / "own-alerts.yaml"
        file.write_text(yaml.safe_dump({"alerts": list(raws)}))
        return read(file, CATALOGUE)

    return read_these


def rule(own: OwnAlerts) -> dict[str, Any]:
    return own_manifest(own, CONFIG_MAP, {"release": "stack"})


def test_the_example_is_accepted_and_rendered_like_our_own(given: Any) -> None:
    own = given(FLOW)
    assert own.refused == {}
    (entry,) = own.in_force
    assert rule(own)["spec"]["groups"] == [alert_group(entry, "trading")]
    assert with_own(CATALOGUE, own)["StocksOrderFlowHigh"] == entry


def test_the_rule_is_found_by_prometheus_and_goes_with_the_configmap(given: Any) -> None:
    meta = rule(given(FLOW))["metadata"]
    assert meta["labels"]["release"] == "stack"
    (owner,) = meta["ownerReferences"]
    assert owner == {"apiVersion": "v1", "kind": "ConfigMap", "name": meta["name"], "uid": "u"}


@pytest.mark.parametrize(
    ("raw", "name", "text"),
    [
        pytest.param(BROKEN, "StocksOrderFlowHigh", "must lie between", id="out of its bounds"),
        pytest.param(
            FLOW | {"signal": FLOW["signal"] | {"expr": 'sum(x{namespace="__NAMESPACE__"}'}},
            "StocksOrderFlowHigh",
            "expr isn't PromQL",
            id="no PromQL",
        ),
        pytest.param(
            FLOW | {"name": "StocksPnlMoveUnusual"},
            "StocksPnlMoveUnusual",
            "alerts named twice",
            id="a name of ours",
        ),
        pytest.param(
            SPREAD | {"signal": {"name": "stocks:pnl_move:ratio", "expr": FLOW["signal"]["expr"]}},
            "StocksSpreadWide",
            "signals named twice",
            id="a signal of ours",
        ),
        pytest.param(FLOW | {"color": "red"}, "StocksOrderFlowHigh", "color", id="unknown field"),
        pytest.param("text", "?", "valid dictionary", id="no entry at all"),
    ],
)
def test_a_broken_entry_is_refused_alone_and_by_field(
    given: Any, raw: Any, name: str, text: str
) -> None:
    own = given(raw, SPREAD if name != "StocksSpreadWide" else FLOW)
    assert len(own.accepted) == 1
    assert list(own.refused) == [name]
    assert text in own.problem(name)
    assert "it is left out" in own.problem(name)


def test_the_last_good_entry_stays_in_force(given: Any) -> None:
    before, broken = given(FLOW, SPREAD), given(BROKEN, SPREAD)
    own = settled(broken, rule(before), CATALOGUE)
    assert {e.name: e for e in own.in_force} == {e.name: e for e in before.in_force}
    assert "the last good one stays in force" in own.problem("StocksOrderFlowHigh")
    # And is remembered again, for the next start.
    assert settled(broken, rule(own), CATALOGUE) == own


def test_an_entry_that_is_taken_out_is_not_kept(given: Any) -> None:
    assert settled(given(SPREAD), rule(given(FLOW, SPREAD)), CATALOGUE).kept == ()


@pytest.mark.parametrize("memo", ["no JSON", "[]", '{"StocksOrderFlowHigh": {"name": 1}}'])
def test_a_memory_edited_by_hand_is_worth_nothing(given: Any, memo: str) -> None:
    live = rule(given(FLOW))
    live["metadata"]["annotations"]["stocks-fastapi.io/accepted"] = memo
    assert settled(given(BROKEN), live, CATALOGUE).kept == ()


def test_what_others_add_is_no_difference_and_what_they_change_is(given: Any) -> None:
    wanted, live = rule(given(FLOW)), rule(given(FLOW))
    live["metadata"]["labels"]["team"] = "desk"
    live["metadata"]["resourceVersion"] = "7"
    live["metadata"]["ownerReferences"].append({"name": "theirs", "uid": "another"})
    assert in_sync(live, wanted)
    live["spec"]["groups"][0]["rules"][0]["expr"] = "vector(0)"
    assert not in_sync(live, wanted)


def test_an_entry_taken_out_or_added_is_a_difference(given: Any) -> None:
    one, both = rule(given(FLOW)), rule(given(FLOW, SPREAD))
    assert not in_sync(both, one)
    assert not in_sync(one, both)


def test_a_file_that_is_no_list_is_named(tmp_path: Path) -> None:
    file = tmp_path / "own-alerts.yaml"
    file.write_text("alerts")
    with pytest.raises(CatalogueError, match=r"own-alerts\.yaml"):
        read(file, CATALOGUE)


class Cluster:
    """Holds one rule, and notes what it is told."""

    def __init__(
        self, live: dict[str, Any] | None = None, owner: Any = CONFIG_MAP, failures: int = 0
    ) -> None:
        self.live, self.owner, self.failures = live, owner, failures
        self.written = asyncio.Event()
        self.writes: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []

    async def get_config_map(self, name: str) -> Any:
        self.failures -= 1
        if self.failures >= 0:
            raise KubeError("no answer")
        return self.owner

    async def get_rule(self, name: str) -> Any:
        return self.live

    async def apply_rule(self, manifest: dict[str, Any]) -> Any:
        self.writes.append(manifest)
        self.live = manifest
        self.written.set()
        return manifest

    async def create_event(self, event: Any) -> None:
        self.events.append(event)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


@pytest.fixture
def keep(metrics: Metrics) -> Any:
    """As the operator does it at a start: settle, then keep."""

    async def start(cluster: Cluster, own: OwnAlerts, times: int = 1) -> OwnAlerts:
        own = await settle(cluster, NAME, own, CATALOGUE)
        rule = OwnRule(cluster, NAME, own, {"release": "stack"}, metrics, lambda: NOW)
        for _ in range(times):
            await rule.keep()
        return own

    return start


async def test_what_is_in_line_is_not_written_again(given: Any, keep: Any) -> None:
    cluster = Cluster()
    await keep(cluster, given(FLOW), times=3)
    assert len(cluster.writes) == 1


async def test_a_refusal_is_told_once_with_what_holds_instead(given: Any, keep: Any) -> None:
    cluster = Cluster(rule(given(FLOW)))
    await keep(cluster, given(BROKEN))
    own = await keep(cluster, given(BROKEN))  # as after a restart
    assert [entry.name for entry in own.kept] == ["StocksOrderFlowHigh"]
    assert news(own, cluster.live) == []
    (told,) = cluster.events
    assert told["reason"] == "AlertRefused"
    assert told["involvedObject"]["kind"] == "ConfigMap"
    assert "the last good one stays in force" in told["message"]


@pytest.mark.parametrize(
    "cluster",
    [
        pytest.param(Cluster(owner=None), id="nothing to own it"),
        pytest.param(Cluster({"metadata": {"name": NAME}}), id="somebody else's"),
    ],
)
async def test_a_rule_that_is_not_ours_to_write_is_left_alone(
    given: Any, keep: Any, cluster: Cluster
) -> None:
    await keep(cluster, given(FLOW))
    assert cluster.writes == []


async def test_what_fails_is_tried_again_and_told_as_a_metric(
    given: Any, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_rule, "RETRY_SECONDS", 0)
    cluster = Cluster(failures=2)
    run = OwnRule(cluster, NAME, given(FLOW, BROKEN | {"name": "StocksX"}), {}, metrics).run()
    async with asyncio.timeout(30):
        task = asyncio.create_task(run)
        await cluster.written.wait()
        task.cancel()
    count = metrics.registry.get_sample_value
    states = ("accepted", "kept", "refused")
    found = {state: count("threshold_own_alerts", {"state": state}) for state in states}
    assert found == {"accepted": 1, "kept": 0, "refused": 1}
