"""The rule object: what is ours in it, and what it remembers."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.operator.objects import CATALOGUE, PNL, body, threshold

from threshold_operator.cluster.objects import (
    ACCEPTED,
    applied_at,
    belongs_to,
    in_sync,
    manifest,
    rejection,
    remembered,
)

LABELS = {"release": "stack"}
OWNER = body(reason="router")


def wanted(in_force: bool = True) -> dict[str, Any]:
    return manifest(OWNER, threshold(), CATALOGUE, LABELS, in_force=in_force)


def live() -> dict[str, Any]:
    """As the API server gives it back."""
    rule = copy.deepcopy(wanted())
    rule["metadata"] |= {"uid": "r1", "resourceVersion": "7"}
    return rule


def test_the_rule_is_owned_labelled_and_named_after_the_object() -> None:
    meta = wanted()["metadata"]
    assert (meta["name"], meta["namespace"]) == ("threshold-tight", "trading")
    assert meta["labels"] == LABELS | {"app.kubernetes.io/managed-by": "threshold-operator"}
    assert meta["ownerReferences"] == [
        {
            "apiVersion": "stocks-fastapi.io/v1alpha1",
            "kind": "AlertThreshold",
            "name": "tight",
            "uid": "uid-of-tight",
            "controller": True,
        }
    ]


def test_a_rule_that_lost_its_claim_has_an_empty_group_and_forgets_nothing() -> None:
    rule = wanted(in_force=False)
    assert [group["rules"] for group in rule["spec"]["groups"]] == [[]]
    assert rule["metadata"]["annotations"] == wanted()["metadata"]["annotations"]


Change = Callable[[dict[str, Any]], Any]

OTHERS: dict[str, Change] = {
    "a label": lambda rule: rule["metadata"]["labels"].update(team="desk"),
    "an annotation": lambda rule: rule["metadata"]["annotations"].update(validated="true"),
    "another owner": lambda rule: rule["metadata"]["ownerReferences"].append({"uid": "x"}),
    "a group of their own": lambda rule: rule["spec"]["groups"].append({"name": "theirs"}),
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_what_others_add_is_theirs(change: Change) -> None:
    rule = live()
    change(rule)
    assert in_sync(rule, wanted())


OURS: dict[str, Change] = {
    "another number": lambda rule: rule["spec"]["groups"][0]["rules"][0].update(expr="vector(9)"),
    "a label added to a series": lambda rule: rule["spec"]["groups"][0]["rules"][0][
        "labels"
    ].update(symbol="A"),
    "another interval": lambda rule: rule["spec"]["groups"][0].update(interval="1h"),
    "no groups": lambda rule: rule["spec"].update(groups=None),
    "no spec": lambda rule: rule.update(spec=None),
    "another release": lambda rule: rule["metadata"]["labels"].update(release="x"),
    "no labels": lambda rule: rule["metadata"].pop("labels"),
    "no annotations": lambda rule: rule["metadata"].pop("annotations"),
    "no owner": lambda rule: rule["metadata"].pop("ownerReferences"),
    "an owner of another life": lambda rule: rule["metadata"]["ownerReferences"][0].update(uid="x"),
}


@pytest.mark.parametrize("change", OURS.values(), ids=OURS)
def test_what_is_ours_is_missed(change: Change) -> None:
    rule = live()
    assert in_sync(rule, wanted())
    change(rule)
    assert not in_sync(rule, wanted())


@pytest.mark.parametrize(
    "before",
    [
        threshold(),
        threshold(alert=PNL, match={"symbol": 'T"S'}, warning={"threshold": 1e-4}),
        threshold(generation=4, expiresAt="2026-12-24T21:00:00+01:00"),
    ],
    ids=["numbers", "a scope", "an expiry"],
)
def test_the_accepted_generation_is_read_back_as_it_was(before: Any) -> None:
    rule = manifest(OWNER, before, CATALOGUE, LABELS, in_force=True)
    edited = body(generation=9, critical={"threshold": 7})
    assert remembered(rule, edited, CATALOGUE) == before


def test_the_reason_is_for_people_and_not_remembered() -> None:
    memo = manifest(OWNER, threshold(reason="x" * 200), CATALOGUE, LABELS, in_force=True)
    assert "reason" not in memo["metadata"]["annotations"][ACCEPTED]


WORTHLESS: dict[str, Change] = {
    "gone": lambda rule: rule["metadata"].pop("annotations"),
    "no JSON": lambda rule: rule["metadata"]["annotations"].update({ACCEPTED: "{"}),
    "no object": lambda rule: rule["metadata"]["annotations"].update({ACCEPTED: "[]"}),
    "out of bounds": lambda rule: _remember(rule, {"critical": {"threshold": 7}}),
    "promql": lambda rule: _remember(rule, {"critical": {"threshold": "up"}}),
    "of an object of another life": lambda rule: rule["metadata"]["ownerReferences"][0].update(
        uid="another"
    ),
}


def _remember(rule: dict[str, Any], spec: dict[str, Any]) -> None:
    memo = {"generation": 1, "spec": {"alert": "StocksOrderRejectionRateHigh"} | spec}
    rule["metadata"]["annotations"][ACCEPTED] = json.dumps(memo)


@pytest.mark.parametrize("change", WORTHLESS.values(), ids=WORTHLESS)
def test_a_memory_is_worth_nothing_that_is(change: Change) -> None:
    rule = live()
    assert remembered(rule, OWNER, CATALOGUE) == threshold()
    change(rule)
    assert remembered(rule, OWNER, CATALOGUE) is None


def test_a_rule_is_ours_by_label_or_by_owner() -> None:
    rule = live()
    assert belongs_to(rule, "another")
    del rule["metadata"]["labels"]
    assert belongs_to(rule, "uid-of-tight")
    assert not belongs_to(rule, "another")


def bound(**condition: Any) -> dict[str, Any]:
    """With the status that prometheus-operator gives a rule, of a Prometheus in monitoring."""
    said = {"type": "Accepted", "status": "False", "observedGeneration": 3, "message": "bad expr"}
    binding = {"namespace": "monitoring", "name": "k8s", "conditions": [said | condition]}
    rule = live()
    rule["metadata"]["generation"] = 3
    return rule | {"status": {"bindings": [binding]}}


def test_what_prometheus_operator_says_of_the_rule_is_passed_on() -> None:
    text = "prometheus-operator rejects the rule for monitoring/k8s: bad expr"
    assert rejection(bound()) == text


@pytest.mark.parametrize(
    "rule",
    [live(), live() | {"status": {}}, bound(status="True"), bound(observedGeneration=2)],
    ids=["no status", "no bindings", "accepted", "of an older generation"],
)
def test_a_rule_is_not_rejected_that_is(rule: dict[str, Any]) -> None:
    assert rejection(rule) == ""


def test_the_time_of_our_last_write_is_that_of_our_field_manager() -> None:
    rule = live()
    assert applied_at(rule) is None
    rule["metadata"]["managedFields"] = [
        {"manager": "kubectl", "time": "2026-11-23T12:00:09Z"},
        {"manager": "threshold-operator", "time": "2026-11-23T12:00:05Z"},
    ]
    assert applied_at(rule) == "2026-11-23T12:00:05Z"
