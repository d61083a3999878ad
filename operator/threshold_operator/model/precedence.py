"""Which objects' numbers are in force: accepted or not, why, and who wins where two claim the same.

Pure functions over the whole set of objects, so that the answer depends on what exists and never
on the order in which it was seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from threshold_operator.model.catalogue import Catalogue
from threshold_operator.model.threshold import (
    AlertThreshold,
    InvalidThresholdError,
    Mode,
    Problem,
    Severity,
)

#: One number can govern this: alert, tier, scope; and one Shadow can watch it.
Claim = tuple[str, Severity, str, Mode]

ACCEPTED = "Accepted"
INVALID_SPEC = "InvalidSpec"
UNKNOWN_ALERT = "UnknownAlert"
SCOPE_NOT_ALLOWED = "ScopeNotAllowed"
OUT_OF_BOUNDS = "OutOfBounds"
CONFLICT = "Conflict"


@dataclass(frozen=True)
class Refusal:
    """Why a generation can't be put in force."""

    reason: str
    message: str
    #: The older object that wins, where that is why.
    by: str = ""


@dataclass(frozen=True)
class Candidate:
    """An object as it is now, and the last generation of it that was accepted."""

    name: str
    uid: str
    generation: int
    created: datetime
    current: AlertThreshold | Refusal
    previous: AlertThreshold | None = None

    @property
    def options(self) -> Iterator[AlertThreshold]:
        """What may be put in force for this object, best first."""
        if isinstance(self.current, AlertThreshold):
            yield self.current
        if self.previous is not None and self.previous != self.current:
            yield self.previous


@dataclass(frozen=True)
class Decision:
    """What holds for one object. ``refusal`` speaks of its newest generation."""

    name: str
    uid: str
    generation: int
    in_force: AlertThreshold | None
    refusal: Refusal | None

    @property
    def accepted(self) -> bool:
        """Whether the newest generation is the one in force."""
        return self.refusal is None


def check(body: Mapping[str, Any], catalogue: Catalogue) -> AlertThreshold | Refusal:
    """The object, if it is valid for itself."""
    try:
        threshold = AlertThreshold.parse(body)
    except InvalidThresholdError as error:
        return Refusal(INVALID_SPEC, str(error))
    problems = catalogue.problems(threshold)
    if problems:
        return Refusal(_reason(problems[0]), "; ".join(map(str, problems)))
    return threshold


def decide(candidates: Iterable[Candidate], now: datetime) -> dict[str, Decision]:
    """Oldest first, each object gets the best of its generations that no older object rules out."""
    taken: dict[Claim, str] = {}
    decisions = {}
    for each in sorted(candidates, key=lambda c: (c.created, c.name)):
        decision = _decide(each, taken, now)
        decisions[each.name] = decision
        for claim in _claims(decision.in_force, now):
            taken[claim] = each.name
    return decisions


def _decide(each: Candidate, taken: Mapping[Claim, str], now: datetime) -> Decision:
    refusal = each.current if isinstance(each.current, Refusal) else None
    for option in each.options:
        rival = _rival(option, taken, now)
        if rival is None:
            return _decision(each, option, refusal)
        refusal = refusal or rival
    return _decision(each, None, refusal)


def _decision(
    each: Candidate, in_force: AlertThreshold | None, refusal: Refusal | None
) -> Decision:
    if refusal is not None:
        refusal = replace(refusal, message=f"{refusal.message}; {_instead(in_force)}")
    return Decision(each.name, each.uid, each.generation, in_force, refusal)


def _instead(in_force: AlertThreshold | None) -> str:
    if in_force is None:
        return "no number of this object is in force"
    return f"generation {in_force.generation} stays in force"


def _rival(option: AlertThreshold, taken: Mapping[Claim, str], now: datetime) -> Refusal | None:
    for claim in _claims(option, now):
        if claim in taken:
            alert, severity, scope, mode = claim
            what = f"{severity} of {alert} for {scope}"
            if mode is Mode.SHADOW:
                what += " in Shadow"
            text = f"{taken[claim]} is older and already sets {what}; change or delete one of them"
            return Refusal(CONFLICT, text, by=taken[claim])
    return None


def _claims(threshold: AlertThreshold | None, now: datetime) -> Iterator[Claim]:
    """Expired numbers govern nothing, nor do previews, so they stand in nobody's way."""
    if threshold is None or threshold.expired(now) or threshold.spec.mode is Mode.PREVIEW:
        return
    for severity in threshold.spec.tiers:
        yield threshold.spec.alert, severity, threshold.scope, threshold.spec.mode


def _reason(problem: Problem) -> str:
    if problem.field == "spec.alert":
        return UNKNOWN_ALERT
    if problem.field.startswith("spec.match"):
        return SCOPE_NOT_ALLOWED
    return OUT_OF_BOUNDS
