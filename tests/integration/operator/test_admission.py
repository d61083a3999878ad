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
    "a scope that the alert doesn't have": (
        threshold("bad", match={"symbol": "TSLA"}, critical={"threshold": 0.1}),
        f"spec.match: {ALERT} has no scope label; remove match",
    ),
    "another scope than the alert's": (
        threshold("bad", PNL, match={"route": "/"}, critical={"threshold": 0.1}),
        f"spec.match: {PNL} can only be matched by symbol",
    ),
}

GOOD_ONES = {
    "both tiers": threshold("good", warning={"threshold": 0.02}, critical={"threshold": 0.05}),
    "a whole number": threshold("good", "StocksGatewayConnectionLost", critical={"threshold": 60}),
    "the upper bound itself": threshold("good", critical={"threshold": 1}),
    "its own scope": threshold("good", PNL, match={"symbol": "A"}, critical={"threshold": 0.1}),
}


@pytest.fixture
def guarded(desk: Desk) -> Desk:
    """The desk, with the policy in force."""
    desk.server.apply(desk.namespace, *rendered(desk.namespace, "admission"))
    unknown = threshold("bad", "StocksNothing", critical={"threshold": 1})
    eventually(lambda: answer(desk, unknown), lambda text: "denied" in text, within=SOON, every=0.5)
    return desk


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
