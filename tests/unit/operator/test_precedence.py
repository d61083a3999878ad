"""Who wins, told as the answers that people get; and the same by a model for random objects."""

from __future__ import annotations

import re
from itertools import product
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.operator.crowd import DEFAULTS, SYMBOLS, TIERS, Model, crowd
from tests.unit.operator.objects import CATALOGUE, LATENCY, NOW, PNL, RATE, body, threshold

from threshold_operator.model.precedence import Candidate, Decision, Refusal, check, decide
from threshold_operator.model.threshold import AlertThreshold
from threshold_operator.model.times import parse_time
from threshold_operator.promql.rules import threshold_group


def candidate(raw: dict[str, Any], previous: AlertThreshold | None = None) -> Candidate:
    meta = raw["metadata"]
    return Candidate(
        name=meta["name"],
        uid=meta["uid"],
        generation=meta["generation"],
        created=parse_time(meta["creationTimestamp"]),
        current=check(raw, CATALOGUE),
        previous=previous,
    )


def decisions(*bodies: dict[str, Any]) -> dict[str, Decision]:
    return decide([candidate(raw) for raw in bodies], NOW)


LATER = "2026-11-23T11:00:00Z"

REFUSALS = {
    "an alert that isn't in the catalogue": (
        body(alert="StocksNothing"),
        "UnknownAlert",
        "spec.alert: StocksNothing is not in the catalogue; known: ",
    ),
    "a number out of bounds": (
        body(critical={"threshold": 7}),
        "OutOfBounds",
        "spec.critical.threshold: is 7, must lie between 0.001 and 1 ratio",
    ),
    "warning beyond critical": (
        body(warning={"threshold": 0.3}, critical={"threshold": 0.1}),
        "OutOfBounds",
        "spec.critical.threshold: is 0.1, must lie above warning.threshold (0.3)",
    ),
    "a scope that the alert doesn't have": (
        body(match={"symbol": "TSLA"}),
        "ScopeNotAllowed",
        f"spec.match: {RATE} has no scope label; remove match",
    ),
    "another scope than the alert's": (
        body(alert=PNL, match={"route": "/"}),
        "ScopeNotAllowed",
        f"spec.match.route: {PNL} can only be matched by symbol",
    ),
    "a spec that isn't one": (
        body() | {"spec": "critical: 3"},
        "InvalidSpec",
        "spec: is missing",
    ),
    "a number that is none": (
        body(critical={"threshold": "much"}),
        "InvalidSpec",
        "spec.critical.threshold: Input should be a valid number",
    ),
    "a field that nobody knows": (
        body(critcal={"threshold": 0.1}, warning={"threshold": 0.1}),
        "InvalidSpec",
        "spec.critcal: is not a field of AlertThreshold; remove it",
    ),
}


@pytest.mark.parametrize(("raw", "reason", "message"), REFUSALS.values(), ids=REFUSALS)
def test_what_is_wrong_is_said_with_field_limit_and_fix(
    raw: dict[str, Any], reason: str, message: str
) -> None:
    (decision,) = decisions(raw).values()
    assert decision.in_force is None
    assert decision.refusal is not None
    assert decision.refusal.reason == reason
    assert decision.refusal.message.startswith(message)
    assert decision.refusal.message.endswith("no number of this object is in force")


def test_a_valid_object_is_in_force() -> None:
    (decision,) = decisions(body()).values()
    assert decision.accepted
    assert decision.in_force == threshold()


def test_the_older_of_two_wins_and_the_newer_names_it() -> None:
    found = decisions(body("a", created=LATER), body("b"))
    assert found["b"].accepted
    assert found["a"].refusal == Refusal(
        "Conflict",
        f"b is older and already sets critical of {RATE} for *; change or delete one of them;"
        " no number of this object is in force",
        by="b",
    )


def test_within_the_same_second_the_name_decides() -> None:
    found = decisions(body("b"), body("a"))
    assert (found["a"].accepted, found["b"].accepted) == (True, False)


@pytest.mark.parametrize(
    "other",
    [
        body("b", PNL, match={"symbol": "TSLA"}, mode="Shadow"),
        body("b", PNL, match={"symbol": "TSLA"}, mode="Preview"),
        body("b", PNL, match={"symbol": "AAPL"}),
        body("b", PNL),
        body("b", LATENCY, critical={"threshold": 1}),
        body("b", PNL, match={"symbol": "TSLA"}, warning={"threshold": 0.01}),
    ],
    ids=[
        "a Shadow",
        "a Preview",
        "another scope",
        "the whole namespace",
        "another alert",
        "another tier",
    ],
)
def test_there_is_no_conflict_with(other: dict[str, Any]) -> None:
    found = decisions(body("a", PNL, match={"symbol": "TSLA"}), other)
    assert all(decision.accepted for decision in found.values())


def test_of_two_shadows_of_the_same_the_older_wins() -> None:
    found = decisions(body("a", mode="Shadow", created=LATER), body("b", mode="Shadow"))
    assert found["b"].accepted
    assert found["a"].refusal is not None
    assert f"b is older and already sets critical of {RATE} for * in Shadow" in (
        found["a"].refusal.message
    )


def test_an_expired_object_stands_in_nobodys_way() -> None:
    found = decisions(body("a", expiresAt="2026-11-23T11:59:59Z"), body("b", created=LATER))
    assert all(decision.accepted for decision in found.values())


def test_a_bad_edit_leaves_the_last_accepted_generation_in_force() -> None:
    before = threshold()
    edited = candidate(body(generation=2, critical={"threshold": 7}), previous=before)
    (decision,) = decide([edited], NOW).values()
    assert decision.in_force == before
    assert decision.refusal is not None
    assert decision.refusal.message.endswith("; generation 1 stays in force")


def test_an_edit_that_runs_into_an_older_object_leaves_the_generation_before_in_force() -> None:
    before = threshold("b", PNL, match={"symbol": "AAPL"}, created=LATER)
    edited = body("b", PNL, match={"symbol": "TSLA"}, created=LATER, generation=2)
    older = candidate(body("a", PNL, match={"symbol": "TSLA"}))
    found = decide([older, candidate(edited, before)], NOW)
    assert found["a"].accepted
    assert found["b"].in_force == before
    assert found["b"].refusal is not None
    assert found["b"].refusal.reason == "Conflict"


def test_an_older_object_takes_over_what_a_newer_one_has() -> None:
    """Also where the newer one was there first with this scope: age decides, not history."""
    newer = body("b", PNL, match={"symbol": "TSLA"}, created=LATER)
    before = threshold("b", PNL, match={"symbol": "TSLA"}, created=LATER)
    older = body("a", PNL, match={"symbol": "TSLA"}, generation=2)
    found = decide([candidate(newer, before), candidate(older)], NOW)
    assert found["a"].accepted
    assert found["b"].in_force is None


@given(st.randoms(use_true_random=False))
def test_random_objects_agree_with_a_model_in_any_order(random: Random) -> None:
    bodies = crowd(random, NOW)
    model = Model.of(bodies, NOW)
    random.shuffle(bodies)
    found = decisions(*bodies)
    assert {name for name, decision in found.items() if decision.accepted} == model.accepted
    for symbol, tier in product(SYMBOLS, TIERS):
        assert rendered(found, symbol, tier) == model.number(symbol, tier, NOW), (symbol, tier)


def rendered(found: dict[str, Decision], symbol: str, tier: str) -> tuple[float, bool]:
    """The number for an instance, from the series that the rules of all objects record."""
    series = [
        rule["labels"] | {"value": value}
        for each in found.values()
        if each.in_force is not None
        for rule in threshold_group(each.in_force, CATALOGUE[PNL])["rules"]
        if "record" in rule and (value := recorded(rule["expr"])) is not None
    ]
    own = [s for s in series if s["severity"] == tier and s.get("rule") != "shadow"]
    for scope in (symbol, None):
        governing = [s for s in own if s.get("symbol") == scope]
        assert len(governing) <= 1, "two objects claim the same"
        if governing:
            return governing[0]["value"], governing[0].get("rule") == "own"
    return DEFAULTS[tier], False


def recorded(expr: str) -> float | None:
    """What a threshold rule evaluates to, at this moment."""
    parts = re.fullmatch(r"vector\((.+?)\)( and on \(\) \(vector\(time\(\)\) < (.+)\))?", expr)
    assert parts is not None, expr
    over = parts[3] is not None and NOW.timestamp() >= float(parts[3])
    return None if over else float(parts[1])
