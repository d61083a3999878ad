"""The rules that ship, read as a careful colleague would: sound, of one style, nothing twice."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from tests.quality.conftest import CHART_FILES
from tests.quality.promql import reading

from threshold_operator.model.catalogue import Catalogue, Entry

ENTRIES = list(Catalogue.load(CHART_FILES / "catalogue.yaml"))
RULES = [
    rule
    for file in sorted((CHART_FILES / "rules").glob("*.yaml"))
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]

#: Name -> labels: of our programs, and of the exporters whose series we read.
CONTRACT = yaml.safe_load((Path(__file__).parents[1] / "unit" / "metrics.yaml").read_text())
EXPORTERS = yaml.safe_load((Path(__file__).parents[1] / "unit" / "exporters.yaml").read_text())
LABELS = {
    **{name: set(labels) for name, (_, labels) in CONTRACT.items()},
    **{f"{name}_bucket": {*labels, "le"} for name, (_, labels) in CONTRACT.items()},
    **{f"{name}_count": set(labels) for name, (_, labels) in CONTRACT.items()},
    **{name: set(labels) for metrics in EXPORTERS.values() for name, labels in metrics.items()},
    "stocks:gateway_mode:info": {"mode"},
}
#: What a scrape adds to every series.
OF_THE_TARGET = {"namespace", "instance"}


def name_of(rule: dict[str, Any]) -> str:
    return str(rule.get("record") or rule["alert"])


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_every_expression_type_checks_to_a_vector(rule: dict[str, Any]) -> None:
    tree = promql.parse(rule["expr"])
    scalar = promql.NumberLiteral | promql.StringLiteral | promql.MatrixSelector
    assert not isinstance(tree, scalar)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_it_asks_only_for_labels_that_are_there(entry: Entry) -> None:
    known = LABELS | {helper.name: set() for helper in entry.helpers}
    for series in (*entry.helpers, entry.signal):
        read = reading(series.expr)
        for metric, matched in read.metrics.items():
            assert matched <= known[metric] | OF_THE_TARGET, metric
        own = set().union(*(known[metric] for metric in read.metrics))
        # Prometheus renames what a target says under the name of a label of its own.
        there = own | OF_THE_TARGET | {f"exported_{label}" for label in own & OF_THE_TARGET}
        assert read.grouped <= there | read.written


def test_no_rule_is_there_twice() -> None:
    keys = Counter(
        (name_of(rule), *sorted(rule.get("labels", {}).items()), rule["expr"] * ("record" in rule))
        for rule in RULES
    )
    assert [key for key, count in keys.items() if count > 1] == []
    signals = Counter(entry.signal.expr for entry in ENTRIES)
    assert max(signals.values()) == 1


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_names_follow_the_convention(rule: dict[str, Any]) -> None:
    pattern = r"Stocks([A-Z][a-z0-9]+)+" if "alert" in rule else r"stocks(:[a-z][a-z0-9_]*){1,2}"
    assert re.fullmatch(pattern, name_of(rule))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_signal_is_named_after_its_unit(entry: Entry) -> None:
    assert entry.signal.name.endswith(f":{entry.unit}")


@pytest.mark.parametrize("alert", ALERTS, ids=name_of)
def test_an_alert_says_who_is_woken_and_why(alert: dict[str, Any]) -> None:
    annotations, severity = alert["annotations"], alert["labels"]["severity"]
    assert alert["labels"].keys() == {"severity"}, "a label that changes would end the alert"
    assert re.fullmatch(r"[A-Z][^{}.]+", annotations["summary"]), "a static sentence"
    assert "$value" in annotations["description"]
    limit = f'stocks:alert_threshold:effective{{alert="{alert["alert"]}",severity="{severity}"'
    assert limit in annotations["description"]
    assert annotations["runbook_url"].endswith(f"/docs/runbooks/{alert['alert']}.md")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_who_looks_for_it_on_two_tiers_finds_both(entry: Entry) -> None:
    tiers = [alert["labels"]["severity"] for alert in ALERTS if alert["alert"] == entry.name]
    assert sorted(tiers) == ["critical", "warning"]
