"""Decides from everything in the store what should be in force; remembers what was accepted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Protocol

from threshold_operator.model.body import Body
from threshold_operator.model.catalogue import Catalogue
from threshold_operator.model.precedence import Candidate, Decision, Refusal, check, decide
from threshold_operator.model.threshold import AlertThreshold
from threshold_operator.model.times import parse_time

#: Objects that claim something in common may stand in each other's way: alert, scope.
Claim = tuple[str, str]


class Objects(Protocol):
    """The AlertThresholds of one namespace by name."""

    def get(self, name: str) -> Body | None:
        """The object, if it exists."""
        ...

    def snapshot(self) -> Mapping[str, Body]:
        """What is known now."""
        ...


#: Reads the last accepted generation of an object back from where it was noted, if it was.
Recall = Callable[[Body], AlertThreshold | None]


class Planner:
    """Keeps the decisions of the last plan, so that only what changed is decided again."""

    def __init__(self, objects: Objects, recall: Recall, catalogue: Catalogue) -> None:
        self._objects, self._recall = objects, recall
        self._catalogue = catalogue
        self._checked: dict[str, tuple[int, AlertThreshold | Refusal]] = {}
        self._accepted: dict[str, AlertThreshold] = {}
        self._candidates: dict[str, Candidate] = {}
        self._claimants: dict[Claim, set[str]] = {}
        self._expiries: dict[str, set[datetime]] = {}
        self._planned_at: datetime | None = None
        self.decisions: dict[str, Decision] = {}

    def plan(self, now: datetime, dirty: Iterable[str] = ()) -> set[str]:
        """Decide anew where objects of these names are concerned; at first, everything.

        :return: names whose decision changed, or whose numbers expired since the last plan.
        """
        expired = self._expired_by(now)
        if self._planned_at is None:
            dirty = self._objects.snapshot()
        concerned = self._concerned({*dirty, *expired})
        before = {name: self.decisions.pop(name, None) for name in concerned}
        known = [self._candidates[name] for name in concerned & self._candidates.keys()]
        self.decisions |= decide(known, now)
        self._accept(concerned)
        self._planned_at = now
        return {n for n in concerned if before[n] != self.decisions.get(n)} | expired

    def _concerned(self, names: set[str]) -> set[str]:
        """And all who claim what these claim or claimed, and what those do."""
        concerned: set[str] = set()
        while names:
            concerned |= names
            claims = {claim for name in names for claim in self._claims_before_and_now(name)}
            rivals = (self._claimants.get(claim, set()) for claim in claims)
            names = set().union(*rivals) - concerned
        return concerned

    def _claims_before_and_now(self, name: str) -> set[Claim]:
        known, body = self._candidates.pop(name, None), self._objects.get(name)
        before = _claims(known)
        for claim in before:
            self._claimants[claim].discard(name)
            if not self._claimants[claim]:
                del self._claimants[claim]
        self._expiries.pop(name, None)
        if known is not None and (body is None or body["metadata"]["uid"] != known.uid):
            self._checked.pop(known.uid, None)
            self._accepted.pop(known.uid, None)
        return before if body is None else before | self._take_in(name, body)

    def _take_in(self, name: str, body: Body) -> set[Claim]:
        candidate = self._candidates[name] = self._candidate(body)
        claims = _claims(candidate)
        for claim in claims:
            self._claimants.setdefault(claim, set()).add(name)
        if times := {o.spec.expiresAt for o in candidate.options if o.spec.expiresAt}:
            self._expiries[name] = times
        return claims

    def _accept(self, names: set[str]) -> None:
        for name in names & self.decisions.keys():
            decision = self.decisions[name]
            if decision.accepted and decision.in_force is not None:
                self._accepted[decision.uid] = decision.in_force

    def previous(self, body: Body) -> AlertThreshold | None:
        """The last generation of an object that was accepted, before a restart or since."""
        # What was noted may be newer than all that this operator has seen yet.
        known = self._accepted.get(body["metadata"]["uid"]), self._recall(body)
        return max(filter(None, known), key=lambda each: each.generation, default=None)

    def next_expiry(self, now: datetime) -> datetime | None:
        """When the plan changes by itself."""
        times = (time for times in self._expiries.values() for time in times if time > now)
        return min(times, default=None)

    def _candidate(self, body: Body) -> Candidate:
        meta = body["metadata"]
        return Candidate(
            name=meta["name"],
            uid=meta["uid"],
            generation=meta.get("generation", 1),
            created=parse_time(meta.get("creationTimestamp")),
            current=self._check(body),
            previous=self.previous(body),
        )

    def _check(self, body: Body) -> AlertThreshold | Refusal:
        uid, generation = body["metadata"]["uid"], body["metadata"].get("generation", 1)
        if uid not in self._checked or self._checked[uid][0] != generation:
            self._checked[uid] = generation, check(body, self._catalogue)
        return self._checked[uid][1]

    def _expired_by(self, now: datetime) -> set[str]:
        """Names with numbers that held at the last plan and no longer do, or do again."""
        first, last = sorted([self._planned_at or now, now])
        return {
            name
            for name, times in self._expiries.items()
            if any(first < time <= last for time in times)
        }


def _claims(candidate: Candidate | None) -> set[Claim]:
    options = candidate.options if candidate else ()
    return {(option.spec.alert, option.scope) for option in options}
