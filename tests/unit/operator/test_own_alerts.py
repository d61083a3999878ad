"""Entries of the users' own: judged one by one, and a bad edit takes nothing away."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from tests.unit.operator.objects import CATALOGUE, NOW, PNL, threshold

from threshold_operator.cluster.api import KubeError
from threshold_operator.cluster.objects import in_sync
from threshold_operator.model.catalogue import CatalogueError
from threshold_operator.model.signal import RESERVED_LABELS
from threshold_operator.promql.rules import alert_group, threshold_group
from threshold_operator.reconcile import extra_alerts
from threshold_operator.reconcile.extra_alerts import (
    ExtraAlerts,
    ExtraAlertsRule,
    extra_manifest,
    read,
    settle,
    unreported,
    with_extra,
    with_last_good_entries,
)
from threshold_operator.telemetry import Metrics

EXAMPLE = Path(__file__).parents[3] / "examples" / "own-alerts" / "values.yaml"
(FLOW,) = yaml.safe_load(EXAMPLE.read_text())["monitoring"]["extraAlerts"]
FLOW_SIGNAL = FLOW["signal"]["name"]
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
    def read_these(*raws: Any) -> ExtraAlerts:
        file = tmp_path / "own-alerts.yaml"
        file.write_text(yaml.safe_dump({"alerts": list(raws)}))
        return read(file, CATALOGUE)

    return read_these


def rule(own: ExtraAlerts) -> dict[str, Any]:
    return extra_manifest(own, CONFIG_MAP, {"release": "stack"})


def test_the_example_is_accepted_and_rendered_like_our_own(given: Any) -> None:
    own = given(FLOW)
    assert own.refused == {}
    (entry,) = own.in_force
    assert rule(own)["spec"]["groups"] == [alert_group(entry, "trading")]
    assert with_extra(CATALOGUE, own)["StocksOrderFlowHigh"] == entry


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
            "signal.expr: isn't PromQL",
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
        pytest.param(
            FLOW | {"bounds": {"min": 3000, "max": 1}},
            "StocksOrderFlowHigh",
            "bounds: min is 3000, must not lie above max (1)",
            id="bounds the wrong way round",
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


def with_expr(expr: str) -> dict[str, Any]:
    return {**FLOW, "signal": FLOW["signal"] | {"expr": expr}}


QUEUE = 'queue_length{namespace="__NAMESPACE__"}'


@pytest.mark.parametrize("label", sorted(RESERVED_LABELS))
def test_a_scope_that_the_rules_use_themselves_is_refused(given: Any, label: str) -> None:
    """With severity a critical number was recorded as a warning's."""
    own = given(FLOW | {"scope": label}, SPREAD)
    assert [entry.name for entry in own.accepted] == ["StocksSpreadWide"]
    assert f"{label} is a label of the rules themselves" in own.problem("StocksOrderFlowHigh")


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        pytest.param('"__NAMESPACE__"', "must be an instant vector: .* string", id="a string"),
        pytest.param(f"scalar({QUEUE})", "must be an instant vector: .* scalar", id="a scalar"),
        pytest.param(f"{QUEUE}[5m]", "must be an instant vector: .* matrix", id="a range"),
        pytest.param(f"rate({QUEUE}[5m])[1h:15s]", "must be an instant vector", id="a subquery"),
        pytest.param(f"{QUEUE} +", "isn't PromQL", id="half an expression"),
        pytest.param(f"{QUEUE}) or (up", "isn't PromQL", id="out of its brackets"),
        pytest.param('up{job="__NAMESPACE__"}', "expr reads up", id="the token elsewhere"),
        pytest.param(f"{QUEUE} + up", "expr reads up", id="all namespaces beside its own"),
        pytest.param(
            f'{QUEUE} or queue_length{{namespace=~".+"}}',
            'expr reads queue_length{namespace=~".+"}',
            id="all namespaces by a pattern",
        ),
        pytest.param(
            f'{QUEUE} or max_over_time(queue_length{{namespace="kube-system"}}[5m])',
            'expr reads queue_length{namespace="kube-system"}',
            id="another namespace",
        ),
        pytest.param(
            f'{QUEUE} or {{__name__=~"node_.+|queue_length"}}', "expr reads {__name__", id="by name"
        ),
        pytest.param(
            'queue_length{namespace="__NAMESPACE__" or namespace="other"}',
            "expr reads queue_length",
            id="its own or another namespace",
        ),
        pytest.param("vector(1)", "must select namespace", id="nothing at all"),
    ],
)
def test_an_expression_that_prometheus_or_a_neighbour_would_suffer_from_is_refused(
    given: Any, expr: str, text: str
) -> None:
    for raw in (with_expr(expr), FLOW | {"helpers": [{"name": "stocks:a:b", "expr": expr}]}):
        own = given(raw, SPREAD)
        assert [entry.name for entry in own.accepted] == ["StocksSpreadWide"]
        found = own.problem("StocksOrderFlowHigh")
        assert re.search(text, found) if ".*" in text else text in found


@pytest.mark.parametrize(
    "expr",
    [
        QUEUE,
        f"-{QUEUE} offset 5m @ end()",
        f"time() - {QUEUE} # the age",
        f'min_over_time({QUEUE}[5m]) / on () group_left () node_load1{{mode="x"}}',
        "queue_length{namespace = '__NAMESPACE__', pod!=\"\"}",
    ],
)
def test_an_expression_of_the_release_or_of_its_nodes_is_accepted(given: Any, expr: str) -> None:
    assert given(with_expr(expr)).refused == {}


@pytest.mark.parametrize(
    "name",
    [
        "stocks:alert_threshold:effective",
        "stocks:alert_recover:effective",
        "stocks:alert_threshold:own_rule",
        "stocks:gateway_mode:info",
    ],
)
@pytest.mark.parametrize("place", ["signal", "helper"])
def test_a_series_of_the_rules_themselves_is_not_written(given: Any, name: str, place: str) -> None:
    series = {"name": name, "expr": QUEUE}
    change = {"signal": series} if place == "signal" else {"helpers": [series]}
    own = given(FLOW | change)
    assert f"{name} is a series of the rules themselves" in own.problem("StocksOrderFlowHigh")


def test_whatever_an_expression_makes_of_its_labels_it_writes_the_releases_namespace(
    given: Any,
) -> None:
    moved = f'label_replace({QUEUE}, "namespace", "other", "", "")'
    helper = {"name": "stocks:a:b", "expr": moved}
    (group,) = rule(given(with_expr(moved) | {"helpers": [helper]}))["spec"]["groups"]
    records = [each for each in group["rules"] if each.get("record") in ("stocks:a:b", FLOW_SIGNAL)]
    assert [each["labels"] for each in records] == [{"namespace": "trading"}] * 2


def test_a_name_twice_is_refused_the_second_time(given: Any) -> None:
    own = given(FLOW, FLOW | {"summary": "Another"})
    assert [entry.summary for entry in own.in_force] == [FLOW["summary"]]
    assert "alerts named twice: StocksOrderFlowHigh" in own.problem("StocksOrderFlowHigh")


def test_every_label_of_the_layers_is_reserved() -> None:
    """A scope label is free only if no rule of any kind of object sets or matches it."""
    entry = CATALOGUE[PNL]
    kinds: tuple[dict[str, Any], ...] = (
        {},
        {"mode": "Shadow"},
        {"critical": {"threshold": 0.03, "for": "2m"}},
    )
    objects = [
        threshold("mine", PNL, **kind, **match)
        for kind in kinds
        for match in ({}, {"match": {"symbol": "TSLA"}})
    ]
    rules = alert_group(entry)["rules"][1:]  # the signal isn't of the layers
    rules += [each for object_ in objects for each in threshold_group(object_, entry)["rules"]]
    used = {label for each in rules for label in each.get("labels", {})}
    used |= {label for each in rules for label in re.findall(r'(\w+)(?:=~|!=|=)"', each["expr"])}
    assert used == RESERVED_LABELS | {"symbol"}


def test_the_last_good_entry_stays_in_force(given: Any) -> None:
    before, broken = given(FLOW, SPREAD), given(BROKEN, SPREAD)
    own = with_last_good_entries(broken, rule(before), CATALOGUE)
    assert {e.name: e for e in own.in_force} == {e.name: e for e in before.in_force}
    assert "the last good one stays in force" in own.problem("StocksOrderFlowHigh")
    # And is remembered again, for the next start.
    assert with_last_good_entries(broken, rule(own), CATALOGUE) == own


def test_an_entry_that_is_taken_out_is_not_kept(given: Any) -> None:
    assert with_last_good_entries(given(SPREAD), rule(given(FLOW, SPREAD)), CATALOGUE).kept == ()


@pytest.mark.parametrize("memo", ["no JSON", "[]", '{"StocksOrderFlowHigh": {"name": 1}}'])
def test_a_memory_edited_by_hand_is_worth_nothing(given: Any, memo: str) -> None:
    live = rule(given(FLOW))
    live["metadata"]["annotations"]["stocks-fastapi.io/accepted"] = memo
    assert with_last_good_entries(given(BROKEN), live, CATALOGUE).kept == ()


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

    async def start(cluster: Cluster, own: ExtraAlerts, times: int = 1) -> ExtraAlerts:
        own = await settle(cluster, NAME, own, CATALOGUE)
        rule = ExtraAlertsRule(cluster, NAME, own, {"release": "stack"}, metrics, lambda: NOW)
        for _ in range(times):
            await rule.sync()
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
    assert unreported(own, cluster.live) == []
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
    monkeypatch.setattr(extra_alerts, "RETRY_SECONDS", 0)
    cluster = Cluster(failures=2)
    own = given(FLOW, BROKEN | {"name": "StocksX"})
    run = ExtraAlertsRule(cluster, NAME, own, {}, metrics).run()
    async with asyncio.timeout(30):
        task = asyncio.create_task(run)
        await cluster.written.wait()
        task.cancel()
    count = metrics.registry.get_sample_value
    states = ("accepted", "kept", "refused")
    found = {state: count("threshold_own_alerts", {"state": state}) for state in states}
    assert found == {"accepted": 1, "kept": 0, "refused": 1}
