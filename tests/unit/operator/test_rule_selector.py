"""Selectors of a Prometheus object, against the labels of our rules and of their namespace."""

from __future__ import annotations

from typing import Any

import pytest

from threshold_operator.evidence.selectors import Selection, looks_at_namespaces, selection

RULE = {"release": "stack", "app.kubernetes.io/managed-by": "threshold-operator"}
ALL: dict[str, Any] = {}


def prometheus(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "monitoring", "name": "main"}, "spec": spec}


def refusal(labels: dict[str, str] | None = None, **spec: Any) -> str:
    found = selection(prometheus(**spec), RULE, "trading", labels)
    assert found.prometheus == "monitoring/main"
    return found.refusal


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


TAKEN = {
    "everything": ALL,
    "the label": {"matchLabels": {"release": "stack"}},
    "one of several": expression("release", "In", "other", "stack"),
    "none of several": expression("release", "NotIn", "other", "another"),
    "the absence of one of several": expression("team", "NotIn", "desk"),
    "a label that is there": expression("release", "Exists"),
    "no label that isn't": expression("team", "DoesNotExist"),
    "what only a later Kubernetes knows": expression("release", "Near", "stuck"),
}


@pytest.mark.parametrize("selector", TAKEN.values(), ids=TAKEN)
def test_a_rule_is_taken_by_a_selector_of(selector: dict[str, Any]) -> None:
    assert refusal(ruleSelector=selector, ruleNamespaceSelector=ALL) == ""


HAS = "and the rule has release=stack; set monitoring.ruleLabels of the chart"
REFUSED = {
    "another value": (
        {"matchLabels": {"release": "other"}},
        f"its ruleSelector wants release=other, {HAS}",
    ),
    "two labels of which one is met": (
        {"matchLabels": {"release": "stack", "team": "desk"}},
        "its ruleSelector wants team=desk, and the rule has no team;"
        " set monitoring.ruleLabels of the chart",
    ),
    "one of several": (
        expression("release", "In", "a", "b"),
        f"its ruleSelector wants release in (a, b), {HAS}",
    ),
    "none of several": (
        expression("release", "NotIn", "stack", "b"),
        f"its ruleSelector wants release notin (stack, b), {HAS}",
    ),
    "a label that isn't there": (
        expression("team", "Exists"),
        "its ruleSelector wants team, and the rule has no team;"
        " set monitoring.ruleLabels of the chart",
    ),
    "no label that is": (
        expression("release", "DoesNotExist"),
        f"its ruleSelector wants !release, {HAS}",
    ),
    "labels and expressions": (
        {"matchLabels": {"team": "desk"}} | expression("release", "In", "other"),
        "its ruleSelector wants team=desk, release=other, and the rule has no team, release=stack;"
        " set monitoring.ruleLabels of the chart",
    ),
    "nothing": (None, "its ruleSelector isn't set, so it takes no rules at all"),
}


@pytest.mark.parametrize(("selector", "text"), REFUSED.values(), ids=REFUSED)
def test_a_rule_is_refused_by_a_selector_of(selector: dict[str, Any] | None, text: str) -> None:
    assert refusal(ruleSelector=selector, ruleNamespaceSelector=ALL) == text


NAMESPACES: dict[str, tuple[dict[str, Any] | None, dict[str, str] | None, str]] = {
    "all": (ALL, None, ""),
    "its own alone": (
        None,
        {"team": "desk"},
        "its ruleNamespaceSelector isn't set, so it takes rules of monitoring alone",
    ),
    "those of a team, and ours is": ({"matchLabels": {"team": "desk"}}, {"team": "desk"}, ""),
    "those of a team, and ours isn't": (
        {"matchLabels": {"team": "desk"}},
        {"kubernetes.io/metadata.name": "trading"},
        "its ruleNamespaceSelector wants team=desk, and the namespace trading has no team;"
        " label it",
    ),
    "those of a team, and ours can't be read": ({"matchLabels": {"team": "desk"}}, None, ""),
}


@pytest.mark.parametrize(("selector", "labels", "text"), NAMESPACES.values(), ids=NAMESPACES)
def test_of_namespaces_it_takes(
    selector: dict[str, Any] | None, labels: dict[str, str] | None, text: str
) -> None:
    assert refusal(labels, ruleSelector=ALL, ruleNamespaceSelector=selector) == text


def test_its_own_namespace_needs_no_selector() -> None:
    own = selection(prometheus(ruleSelector=ALL), RULE, "monitoring", None)
    assert own == Selection("monitoring/main")


def test_a_namespace_is_looked_at_where_its_labels_decide() -> None:
    by_label = {"matchLabels": {"team": "desk"}}
    assert looks_at_namespaces(prometheus(ruleNamespaceSelector=by_label))
    assert not looks_at_namespaces(prometheus(ruleNamespaceSelector=ALL))
    assert not looks_at_namespaces(prometheus())
