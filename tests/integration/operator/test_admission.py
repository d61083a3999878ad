"""The admission policy: ``kubectl apply`` says at once what is wrong, without the operator."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from tests.integration.operator.apiserver import rendered
from tests.integration.operator.conftest import ALERT, SOON, Desk, threshold
from tests.waiting import eventually

PNL = "StocksPnlMoveUnusual"
GOOD = threshold("good", critical={"threshold": 0.05})

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown alert": (
        threshold("bad", "StocksNothing", critical={"threshold": 1}),
        "spec.alert: StocksNothing is not in the catalogue; known: Stocks",
    ),
    "a number out of bounds": (
        threshold("bad", critical={"threshold": 7}),
        "spec.critical.threshold: is 7, must lie between 0.001 and 1 ratio",
    ),
    "the mild number out of bounds": (
        threshold("bad", warning={"threshold": 0}),
        "spec.warning.threshold: is 0, must lie between 0.001 and 1 ratio",
    ),
    "warning beyond critical": (
        threshold("bad", warning={"threshold": 0.3}, critical={"threshold": 0.1}),
        "spec.critical.threshold: is 0.1, must lie above warning.threshold (0.3)",
    ),
    "a recover number out of bounds": (
        threshold("bad", critical={"threshold": 0.1, "recover": 0}),
        "spec.critical.recover: is 0, must lie between 0.001 and 1 ratio",
    ),
    "a recover number on the loud side": (
        threshold("bad", warning={"threshold": 0.1, "recover": 0.2}),
        "spec.warning.recover: is 0.2, must lie below threshold (0.1)",
    ),
    "a recover number on the loud side of an alert that fires below": (
        threshold("bad", "StocksApiAbsent", critical={"threshold": 3, "recover": 2}),
        "spec.critical.recover: is 2, must lie above threshold (3)",
    ),
    "a scope that the alert doesn't have": (
        threshold("bad", match={"symbol": "TSLA"}, critical={"threshold": 0.1}),
        f"spec.match: {ALERT} has no scope label; remove match",
    ),
    "another scope than the alert's": (
        threshold("bad", PNL, match={"route": "/"}, critical={"threshold": 0.1}),
        f"spec.match: {PNL} can only be matched by symbol",
    ),
}

#: What one object can tell for itself: the schema says it, with or without the policy.
BY_SCHEMA: dict[str, tuple[dict[str, Any], str]] = {
    "no tier": (threshold("bad"), "sets nothing; give warning, critical or both"),
    "a tier without a number": (
        threshold("bad", critical={}),
        "sets no number; give threshold, or enabled: false to silence it",
    ),
    "a silenced tier with a number": (
        threshold("bad", critical={"enabled": False, "threshold": 1}),
        "is silenced by enabled: false; remove that, or the other fields",
    ),
    "a silenced tier with a duration": (
        threshold("bad", critical={"enabled": False, "for": "1m"}),
        "is silenced by enabled: false; remove that, or the other fields",
    ),
    "a recover number that is the threshold": (
        threshold("bad", critical={"threshold": 1, "recover": 1}),
        "recover must lie on the quiet side of threshold",
    ),
    "a duration without a unit": (
        threshold("bad", critical={"threshold": 1, "for": "55"}),
        "must be a duration such as 30s, 5m or 1h30m (units w, d, h, m, s)",
    ),
    "a negative duration": (
        threshold("bad", critical={"threshold": 1, "keepFiringFor": "-1m"}),
        "must be a duration such as 30s",
    ),
    "a duration of more than a week": (
        threshold("bad", critical={"threshold": 1, "keepFiringFor": "6d23h61m"}),
        "must be at most 7d",
    ),
    "a window that is too short": (
        threshold("bad", critical={"threshold": 1}, preview={"window": "59m"}),
        "must lie between 1h and 30d",
    ),
    "a window that is too long": (
        threshold("bad", critical={"threshold": 1}, preview={"window": "4w3d"}),
        "must lie between 1h and 30d",
    ),
    "a mode that nobody knows": (
        threshold("bad", critical={"threshold": 1}, mode="Loud"),
        'supported values: "Enforce", "Shadow", "Preview"',
    ),
    "the name of the defaults": (
        threshold("default", critical={"threshold": 1}),
        "'default' stands for the chart's own numbers",
    ),
}

#: By what an object may not have; no client prunes them, and none is asked to.
UNKNOWN_FIELDS = {
    "spec.critcal": threshold("bad", critcal={"threshold": 1}, warning={"threshold": 0.1}),
    "spec.warning.expr": threshold("bad", warning={"threshold": 0.1, "expr": "up"}),
    "spec.critical.keep_firing_for": threshold(
        "bad", critical={"threshold": 0.1, "keep_firing_for": "1m"}
    ),
    "spec.preview.days": threshold("bad", critical={"threshold": 0.1}, preview={"days": 7}),
}

GOOD_ONES = {
    "both tiers": threshold("good", warning={"threshold": 0.02}, critical={"threshold": 0.05}),
    "a whole number": threshold("good", "StocksGatewayConnectionLost", critical={"threshold": 60}),
    "the upper bound itself": threshold("good", critical={"threshold": 1}),
    "own timing": threshold(
        "good", critical={"threshold": 0.5, "for": "0s", "keepFiringFor": "6d23h60m"}
    ),
    "hysteresis": threshold("good", critical={"threshold": 0.5, "recover": 0.3}),
    "a silenced tier": threshold("good", warning={"enabled": False}),
    "a shadow": threshold("good", critical={"threshold": 0.5, "enabled": True}, mode="Shadow"),
    "a preview": threshold(
        "good", critical={"threshold": 0.5}, mode="Preview", preview={"window": "30d"}
    ),
    "an expiry to come": threshold(
        "good", critical={"threshold": 0.5}, expiresAt="2099-12-24T21:00:00Z"
    ),
    "its own scope": threshold("good", PNL, match={"symbol": "A"}, critical={"threshold": 0.1}),
}


@pytest.fixture
def guarded(desk: Desk) -> Desk:
    """The desk, with the policy in force."""
    desk.server.apply(desk.namespace, *rendered(desk.namespace, "admission"))
    wait_guarded(desk)
    return desk


def wait_guarded(desk: Desk) -> None:
    body, _ = BAD["an unknown alert"]
    eventually(lambda: answer(desk, body), lambda text: "denied" in text, within=SOON, every=0.5)


def answer(desk: Desk, body: dict[str, Any]) -> str:
    """What kubectl apply prints, whether it works or not; nothing is stored."""
    try:
        return desk.server.kubectl(
            desk.namespace, "apply", "--dry-run=server", "-f", "-", stdin=json.dumps(body)
        )
    except subprocess.CalledProcessError as refused:
        return str(refused.output)


def test_bad_input_is_refused_with_field_limit_and_fix(guarded: Desk) -> None:
    for case, (body, message) in BAD.items():
        assert message in answer(guarded, body), case


def test_what_one_object_can_tell_is_refused_by_the_schema_alone(desk: Desk) -> None:
    for case, (body, message) in BY_SCHEMA.items():
        assert message in answer(desk, body), case


def test_a_field_that_nobody_knows_is_refused(guarded: Desk) -> None:
    for field, body in UNKNOWN_FIELDS.items():
        assert f"{field}: is not a field of AlertThreshold; remove it" in answer(guarded, body)


def test_an_object_may_outlive_its_expiry(guarded: Desk) -> None:
    """Only its creation asks for a time to come: an edit may end it."""
    guarded.server.apply(guarded.namespace, GOOD)
    ended = threshold("good", critical={"threshold": 0.05}, expiresAt="2020-01-01T00:00:00Z")
    assert "configured" in answer(guarded, ended)


def test_good_input_passes(guarded: Desk) -> None:
    for case, body in GOOD_ONES.items():
        assert "created" in answer(guarded, body), case


def test_an_object_that_a_new_catalogue_refuses_can_still_be_labelled(guarded: Desk) -> None:
    guarded.server.apply(guarded.namespace, GOOD)
    bounds = '{"data":{"StocksOrderRejectionRateHigh":"> 0.5 1 ratio -"}}'
    guarded.kubectl("patch", "configmap", "stocks-operator-bounds", "-p", bounds)
    tightened = "must lie between 0.5 and 1"
    changed = threshold("good", critical={"threshold": 0.06})
    eventually(lambda: answer(guarded, changed), lambda t: tightened in t, within=SOON, every=0.5)
    assert "labeled" in guarded.kubectl("label", "at", "good", "team=desk")


def test_another_namespace_is_left_alone(guarded: Desk) -> None:
    body, _ = BAD["an unknown alert"]
    elsewhere = Desk(guarded.server, "default")
    assert "created" in answer(elsewhere, body)
    assert "denied" in answer(guarded, body)


def test_where_all_namespaces_are_served_all_are_guarded(guarded: Desk, other_desk: Desk) -> None:
    everywhere = rendered(guarded.namespace, "admission", **{"operator.clusterWide": "true"})
    guarded.server.apply(guarded.namespace, *everywhere)
    try:
        wait_guarded(other_desk)
        body, message = BAD["a number out of bounds"]
        assert message in answer(other_desk, body)
        assert "created" in answer(other_desk, GOOD)
    finally:
        for body in everywhere:
            guarded.kubectl("delete", body["kind"], body["metadata"]["name"])
