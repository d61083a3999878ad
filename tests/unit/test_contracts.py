"""Where the programs meet: metric names, the catalogue, the CRD and the layout of the repository.

They share no code, so a test holds them together.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from prometheus_client import CollectorRegistry
from tests.exposed import exposed

from stocks_api.adapters.metrics import REQUEST_BUCKETS
from threshold_operator.model.catalogue import Catalogue, Entry
from threshold_operator.promql.rules import alert_group
from threshold_operator.telemetry import Metrics as OperatorMetrics

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "stocks-fastapi"
ENTRIES = list(Catalogue.load(CHART / "files" / "catalogue.yaml"))


def test_our_operator_folder_does_not_shadow_the_standard_library() -> None:
    folder = ROOT / "operator"
    assert not (folder / "__init__.py").exists()
    assert list(folder.glob("*.py")) == []
    assert operator.add(1, 2) == 3


#: Recorded by a template of the chart itself.
BY_THE_CHART = {"stocks:gateway_mode:info"}

EXPORTED = {
    name
    for metrics in yaml.safe_load((Path(__file__).parent / "exporters.yaml").read_text()).values()
    for name in metrics
}


def selectors(node: Any) -> Iterator[promql.VectorSelector]:
    """Every vector selector of an expression."""
    if isinstance(node, promql.VectorSelector):
        yield node
    for name in ("lhs", "rhs", "expr", "param", "vector_selector"):
        child = getattr(node, name, None)
        if child is not None:
            yield from selectors(child)
    for child in getattr(node, "args", None) or []:
        yield from selectors(child)


def parsed(expression: str) -> Any:
    return promql.parse(expression)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_signal_reads_only_metrics_that_a_program_exposes(entry: Entry) -> None:
    helpers = {helper.name for helper in entry.helpers}
    read = [s for series in (*entry.helpers, entry.signal) for s in selectors(parsed(series.expr))]
    assert {s.name for s in read} <= exposed().keys() | EXPORTED | helpers | BY_THE_CHART


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_rule_selects_the_release_of_its_own(entry: Entry) -> None:
    for rule in alert_group(entry, "stocks")["rules"]:
        for selector in selectors(parsed(rule["expr"])):
            if str(selector.name).startswith("node_"):  # a node belongs to no namespace
                continue
            matchers = {(m.name, m.value) for m in selector.matchers.matchers}
            assert ("namespace", "stocks") in matchers, rule["expr"]


def test_a_latency_threshold_within_bounds_can_fire() -> None:
    (entry,) = [entry for entry in ENTRIES if entry.name == "StocksApiLatencyHigh"]
    assert entry.bounds.max < max(REQUEST_BUCKETS)
    defaults = {tier.threshold for tier in entry.tiers.values()} - {None}
    assert defaults <= set(REQUEST_BUCKETS)


def test_metrics_of_the_design_are_exposed_with_their_types() -> None:
    design = yaml.safe_load((Path(__file__).parent / "metrics.yaml").read_text())
    found = {name: family.type for name, family in exposed().items()}
    wanted = {name: kind for name, (kind, _) in design.items() if kind != "histogram"}
    wanted |= {f"{name}_bucket": kind for name, (kind, _) in design.items() if kind == "histogram"}
    assert {name: found.get(name) for name in wanted} == wanted


def test_objects_are_counted_with_the_labels_that_the_rules_read() -> None:
    registry = CollectorRegistry()
    OperatorMetrics(registry).count_objects("stocks", {("StocksPnlMoveUnusual", "Ready"): 2})
    labels = {"namespace": "stocks", "alert": "StocksPnlMoveUnusual", "state": "Ready"}
    assert registry.get_sample_value("threshold_objects", labels) == 2
