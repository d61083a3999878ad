"""Rendering: the form of each layer, beside what promtool says of their meaning (tests/rules)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from threshold_operator.model.catalogue import Catalogue, Entry
from threshold_operator.model.threshold import AlertThreshold
from threshold_operator.promql.rules import alert_group, threshold_group
from threshold_operator.promql.series import number
from threshold_operator.promql.text import rule_file

FILES = Path(__file__).parents[3] / "charts" / "stocks-fastapi" / "files"
CATALOGUE = Catalogue.load(FILES / "catalogue.yaml")
ENTRIES = list(CATALOGUE)
PNL = CATALOGUE["StocksPnlMoveUnusual"]


def threshold(match: dict[str, str] | None = None, **spec: Any) -> AlertThreshold:
    fields = {"alert": "StocksPnlMoveUnusual", "critical": {"threshold": 0.03}} | spec
    return AlertThreshold.parse(
        {
            "apiVersion": "stocks-fastapi.io/v1alpha1",
            "kind": "AlertThreshold",
            "metadata": {"name": "tsla-pnl", "namespace": "trading"},
            "spec": fields | ({"match": match} if match else {}),
        }
    )


def test_an_object_becomes_one_series_for_each_tier_that_it_sets() -> None:
    group = threshold_group(threshold({"symbol": "TSLA"}, warning={"threshold": 0.02}), PNL)
    labels = {"namespace": "trading", "alert": "StocksPnlMoveUnusual", "source": "tsla-pnl"}
    assert group == {
        "name": "at.tsla-pnl",
        "interval": "5s",
        "rules": [
            {
                "record": "stocks:alert_threshold",
                "expr": f"vector({value})",
                "labels": labels | {"severity": severity, "symbol": "TSLA"},
            }
            for severity, value in (("warning", 0.02), ("critical", 0.03))
        ],
    }


def alerts_of(**spec: Any) -> list[tuple[Any, ...]]:
    """Severity label, for and keep_firing_for of each alert that an object adds."""
    rules = threshold_group(threshold(**spec), PNL)["rules"]
    fields = ("labels", "for", "keep_firing_for")
    return [tuple(rule.get(name) for name in fields) for rule in rules if "alert" in rule]


CRITICAL: dict[str, str] = {"severity": "critical"}
SHADOW = {"severity": "none", "shadow": "critical"}

ALERTS: dict[str, tuple[dict[str, Any], list[tuple[Any, ...]]]] = {
    "a number": ({}, []),
    "a recover number": ({"critical": {"threshold": 0.03, "recover": 0.02}}, []),
    "silence": ({"critical": {"enabled": False}}, []),
    "its own for": ({"critical": {"threshold": 0.03, "for": "2m"}}, [(CRITICAL, "2m", None)]),
    "its own keepFiringFor": (
        {"critical": {"threshold": 0.03, "keepFiringFor": "5m"}},
        [(CRITICAL, "30s", "5m")],
    ),
    "own timing of one tier only": (
        {"warning": {"threshold": 0.01}, "critical": {"threshold": 0.03, "for": "0s"}},
        [(CRITICAL, "5s", None)],
    ),
    "a for of less than one interval, which waits for one": (
        {"critical": {"threshold": 0.03, "for": "4s"}},
        [(CRITICAL, "5s", None)],
    ),
    "a Shadow": ({"mode": "Shadow"}, [(SHADOW, "30s", None)]),
    "a Shadow with own timing": (
        {"mode": "Shadow", "critical": {"threshold": 0.03, "for": "2m", "keepFiringFor": "1h"}},
        [(SHADOW, "2m", "1h")],
    ),
}


@pytest.mark.parametrize(("spec", "alerts"), ALERTS.values(), ids=ALERTS)
def test_a_rule_of_its_own_is_made_for_timing_and_shadows_only(
    spec: dict[str, Any], alerts: list[tuple[Any, ...]]
) -> None:
    assert alerts_of(**spec) == alerts


def test_a_preview_adds_no_rule() -> None:
    assert threshold_group(threshold(mode="Preview"), PNL)["rules"] == []


def test_the_token_of_a_namespace_in_a_label_is_left_alone() -> None:
    scoped = threshold({"symbol": "__NAMESPACE__"}, critical={"threshold": 0.03, "for": "2m"})
    series, alert = threshold_group(scoped, PNL)["rules"]
    assert series["labels"]["symbol"] == "__NAMESPACE__"
    assert "__NAMESPACE__" not in json.dumps(alert)


def test_expiry_lives_in_the_expression() -> None:
    (rule,) = threshold_group(threshold(expiresAt="2026-12-24T21:00:00Z"), PNL)["rules"]
    assert rule["expr"] == "vector(0.03) and on () (vector(time()) < 1798146000)"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_layers_stand_in_the_order_of_evaluation(entry: Entry) -> None:
    names = [rule.get("record") or rule["alert"] for rule in alert_group(entry)["rules"]]
    defaults = sum(entry.default(severity) is not None for severity in entry.tiers)
    defaults += sum(tier.recover is not None for tier in entry.tiers.values())
    signals = [*(helper.name for helper in entry.helpers), entry.signal.name]
    assert names[: len(signals)] == signals
    numbers = names[len(signals) : len(signals) + defaults]
    assert set(numbers) <= {"stocks:alert_threshold", "stocks:alert_recover"}
    in_force = [
        "stocks:alert_threshold:effective",
        "stocks:alert_recover:effective",
        "stocks:alert_threshold:own_rule",
    ]
    assert names[len(signals) + defaults :] == [*in_force * 2, entry.name, entry.name]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_expression_parses(entry: Entry) -> None:
    for rule in alert_group(entry, "stocks")["rules"]:
        promql_parser.parse(rule["expr"])


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_no_number_and_no_source_is_a_label_of_an_alert(entry: Entry) -> None:
    alerts = [rule for rule in alert_group(entry)["rules"] if "alert" in rule]
    assert [rule["labels"] for rule in alerts] == [
        {"severity": "warning"},
        {"severity": "critical"},
    ]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_namespace_leaves_no_token_behind(entry: Entry) -> None:
    assert "__NAMESPACE__" in json.dumps(alert_group(entry))
    assert "__NAMESPACE__" not in json.dumps(alert_group(entry, "stocks"))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_promql_reads_the_number_that_was_written(value: float) -> None:
    parsed = promql_parser.parse(number(abs(value)))
    assert isinstance(parsed, promql_parser.NumberLiteral)
    assert parsed.val == abs(value)


@given(st.text(min_size=1, max_size=40))
def test_whatever_a_label_holds_stays_a_label(value: str) -> None:
    """Nothing that a user writes can get into PromQL or out of the YAML of a rule file."""
    scoped = threshold({"symbol": value})
    (read,) = yaml.safe_load(rule_file([threshold_group(scoped, PNL)]))["groups"]
    assert read == threshold_group(scoped, PNL)
    assert read["rules"][0]["expr"] == "vector(0.03)"
