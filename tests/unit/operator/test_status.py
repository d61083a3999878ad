"""The status as a whole, and the Events that go with it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.operator.objects import CATALOGUE, LATENCY, NOW, PNL, body, threshold

from threshold_operator.cluster.status import Findings, desired_status, same_status, transitions
from threshold_operator.model.condition import Verdict
from threshold_operator.model.precedence import Decision, Refusal

CRD = Path(__file__).parents[3] / "charts/stocks-fastapi/templates/operator/crd.yaml"

GOOD = Decision("tight", "u", 1, threshold(), None)
REFUSED = Decision("tight", "u", 2, threshold(), Refusal("OutOfBounds", "is 7"))
NOTHING = Decision("tight", "u", 1, None, Refusal("UnknownAlert", "no such"))

PROVEN = Verdict("True", "Effective", "Prometheus evaluates critical 0.05")
ON_ITS_WAY = Verdict("False", "Propagating", "not yet")
SILENT = Verdict("Unknown", "PrometheusUnreachable", "no answer")


def status(
    decision: Decision = GOOD,
    verdict: Verdict | None = PROVEN,
    previous: dict[str, Any] | None = None,
    seconds: int = 0,
    **more: Any,
) -> dict[str, Any]:
    now = NOW + timedelta(seconds=seconds)
    live = {**body(), "status": previous or {}}
    found = Findings(verdict, "inactive", **more)
    return desired_status(decision, found, CATALOGUE, live, now)


def conditions(found: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in found["conditions"]}


def test_a_status_says_what_is_in_force_beside_the_defaults() -> None:
    found = status(Decision("lat", "u", 3, threshold("lat", LATENCY, match={"route": "/x"},
        warning={"threshold": 1}, critical={"threshold": 2}, generation=3), None))  # fmt: skip
    del found["conditions"]
    assert found == {
        "observedGeneration": 3,
        "acceptedGeneration": 3,
        "scope": "route=/x",
        "rule": "threshold-lat",
        "state": "inactive",
        "tiers": {"warning": {"threshold": 1, "default": 0.5}, "critical": {"threshold": 2}},
    }


def test_every_number_of_a_tier_is_shown_and_silence_too() -> None:
    tiers: dict[str, Any] = {
        "warning": {"enabled": False},
        "critical": {"threshold": 0.05, "recover": 0.03},
    }
    found = status(Decision("tight", "u", 1, threshold(**tiers), None))
    assert found["tiers"] == {
        "warning": {"silenced": True, "default": 0.1},
        "critical": {"threshold": 0.05, "recover": 0.03, "default": 0.2},
    }


NO_RULE = Verdict("False", "Preview", "a Preview puts nothing in force: see status.preview")
OVER = Verdict("False", "Expired", "expired at 2026-11-23T12:00:30Z: its numbers no longer hold")

READY = {
    "accepted and effective": (GOOD, PROVEN, ("True", "Ready")),
    "accepted and on its way": (GOOD, ON_ITS_WAY, ("False", "Propagating")),
    "accepted and nobody to ask": (GOOD, SILENT, ("Unknown", "PrometheusUnreachable")),
    "a preview, which is to put nothing in force": (GOOD, NO_RULE, ("True", "Preview")),
    "expired, so nothing is left to do": (GOOD, OVER, ("True", "Expired")),
    "refused with an older generation in force": (REFUSED, None, ("False", "OutOfBounds")),
    "refused with nothing in force": (NOTHING, None, ("False", "UnknownAlert")),
}


@pytest.mark.parametrize(("decision", "verdict", "ready"), READY.values(), ids=READY)
def test_row_d_ready_is_to_do_what_was_asked(
    decision: Decision, verdict: Verdict | None, ready: tuple[str, str]
) -> None:
    assert conditions(status(decision, verdict))["Ready"] == ready


def kstatus(body: dict[str, Any]) -> str:
    """What kstatus makes of a custom resource (cli-utils, pkg/kstatus/status: GetStatus).

    Flux, Argo CD, ``kpt live`` and Helm 4 wait by these rules.
    """
    found = body["status"]
    if found.get("observedGeneration") not in (None, body["metadata"]["generation"]):
        return "InProgress"
    said = {c["type"]: c["status"] for c in found.get("conditions", [])}
    if said.get("Reconciling") == "True":
        return "InProgress"
    if said.get("Stalled") == "True":
        return "Failed"
    return {"True": "Current", None: "Current"}.get(said.get("Ready"), "InProgress")


WAITS = {
    "in force": (GOOD, PROVEN, "Current"),
    "a preview": (GOOD, NO_RULE, "Current"),
    "expired": (GOOD, OVER, "Current"),
    "on its way": (GOOD, ON_ITS_WAY, "InProgress"),
    "nobody to ask": (GOOD, SILENT, "InProgress"),
    "refused, and an older generation holds": (REFUSED, None, "Failed"),
    "refused": (NOTHING, None, "Failed"),
}


@pytest.mark.parametrize(("decision", "verdict", "result"), WAITS.values(), ids=WAITS)
def test_row_d_who_waits_by_kstatus_hears_of(
    decision: Decision, verdict: Verdict | None, result: str
) -> None:
    found = status(decision, verdict)
    assert kstatus({"metadata": {"generation": decision.generation}, "status": found}) == result
    newer = {"metadata": {"generation": decision.generation + 1}, "status": found}
    assert kstatus(newer) == "InProgress", "the status speaks of an older generation"


def test_row_d_an_object_that_is_new_is_in_progress_for_kstatus() -> None:
    """The CRD's default: without it an object without a status would count as done."""
    crd = yaml.safe_load(CRD.read_text().partition("\nspec:")[2].partition("{{")[0])
    schema = crd["versions"][0]["schema"]["openAPIV3Schema"]
    default = schema["properties"]["status"]["default"]
    assert kstatus({"metadata": {"generation": 1}, "status": default}) == "InProgress"
    found = status(verdict=SILENT, previous=default)
    assert {c["lastTransitionTime"] for c in found["conditions"]} == {"2026-11-23T12:00:00Z"}


def test_row_o_a_disorder_is_a_condition_of_its_own_and_one_warning() -> None:
    found = status(out_of_order="critical 0.05 is reached no later than warning 0.1")
    assert conditions(found)["OutOfOrder"] == ("True", "CriticalBeforeWarning")
    assert conditions(found)["Ready"] == ("True", "Ready")
    told = [change for change in transitions({}, found, body()) if "reached" in change.message]
    assert [(change.level, change.reason) for change in told] == [
        ("Warning", "CriticalBeforeWarning")
    ]
    assert not list(transitions(found, found, body()))
    assert not same_status(found, status(previous=found)), "it goes when it no longer holds"


def test_a_wide_object_names_the_scopes_that_others_take_from_it() -> None:
    few = ["symbol=AAPL", "symbol=TSLA"]
    assert status(except_for=few)["exceptFor"] == few
    many = [f"symbol=S{number:03}" for number in range(500)]
    assert status(except_for=many)["exceptFor"] == [*many[:20], "and 480 more"]
    assert "exceptFor" not in status()


def test_a_beaten_object_names_the_one_that_governs() -> None:
    beaten = Decision("late", "u", 1, None, Refusal("Conflict", "early is older", by="early"))
    assert status(beaten)["governedBy"] == "early"
    assert "governedBy" not in status(REFUSED)


def test_what_was_stalled_and_no_longer_is_is_taken_away() -> None:
    live = status(REFUSED, None)
    assert not same_status(live, status(previous=live))
    assert "Stalled" not in conditions(status(previous=live))


def test_a_refused_edit_is_not_effective_and_says_what_is() -> None:
    found = status(REFUSED, None)
    assert conditions(found)["Effective"] == ("False", "NotAccepted")
    assert found["conditions"][1]["message"] == "not accepted; generation 1 stays in force"
    assert (found["observedGeneration"], found["acceptedGeneration"]) == (2, 1)


def test_where_nothing_is_in_force_no_numbers_are_shown() -> None:
    found = status(NOTHING, None)
    assert found.keys() == {"observedGeneration", "conditions"}
    assert found["conditions"][1]["message"] == "not accepted, so Prometheus never sees it"


def test_the_time_of_a_transition_moves_only_with_the_status() -> None:
    first = status(verdict=ON_ITS_WAY)
    later = Verdict("False", "NotSelected", "not at all")
    second = status(verdict=later, previous=first, seconds=60)
    third = status(verdict=PROVEN, previous=second, seconds=90)
    times = [found["conditions"][1]["lastTransitionTime"] for found in (first, second, third)]
    assert times == ["2026-11-23T12:00:00Z", "2026-11-23T12:00:00Z", "2026-11-23T12:01:30Z"]


def test_the_same_again_is_the_same() -> None:
    first = status()
    assert same_status(first, status(previous=first, seconds=300))


def test_what_others_note_in_the_status_is_theirs() -> None:
    live = status()
    live["conditions"].append({"type": "Reviewed", "status": "True"})
    assert same_status(live, status(previous=live))


DIFFERENT: dict[str, dict[str, Any]] = {
    "nothing yet": {},
    "another state": status() | {"state": "firing"},
    "another generation": status() | {"observedGeneration": 0},
    "a condition that is missing": status() | {"conditions": status()["conditions"][1:]},
    "no conditions": status() | {"conditions": None},
    "numbers of another time": status() | {"tiers": {}},
}


@pytest.mark.parametrize("live", DIFFERENT.values(), ids=DIFFERENT)
def test_a_status_is_written_over(live: dict[str, Any]) -> None:
    assert not same_status(live, status())


def test_a_field_that_no_longer_holds_is_taken_away() -> None:
    live = status()
    assert not same_status(live, status(NOTHING, None, previous=live))


EVENTS = {
    "arrival": (status(verdict=ON_ITS_WAY), PROVEN, GOOD, [("Normal", "Effective")]),
    "no news": (status(), PROVEN, GOOD, []),
    "on its way, which is no news": ({}, ON_ITS_WAY, GOOD, []),
    "a refusal, told once": (status(), None, REFUSED, [("Warning", "OutOfBounds")]),
    "silence": (status(), SILENT, GOOD, [("Warning", "PrometheusUnreachable")]),
}


@pytest.mark.parametrize(("before", "verdict", "decision", "events"), EVENTS.values(), ids=EVENTS)
def test_people_are_told_of(
    before: dict[str, Any],
    verdict: Verdict | None,
    decision: Decision,
    events: list[tuple[str, str]],
) -> None:
    wanted = status(decision, verdict, before)
    told = transitions(before, wanted, body())
    assert [(change.level, change.reason) for change in told] == events


def test_numbers_are_shown_as_the_user_wrote_them() -> None:
    found = status(Decision("a", "u", 1, threshold(alert=PNL, critical={"threshold": 1e-4}), None))
    assert found["tiers"]["critical"]["threshold"] == 0.0001
