"""Decides from everything in the store what should be in force; remembers what was accepted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from threshold_operator.catalogue import Catalogue
from threshold_operator.manifest import remembered
from threshold_operator.model import AlertThreshold, parse_time
from threshold_operator.precedence import Candidate, Decision, Refusal, check, decide
from threshold_operator.store import Store

Body = Mapping[str, Any]


class Planner:
    """Keeps the decisions of the last plan, so that only what changed is looked at."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self._store = store
        self._catalogue = catalogue
        self._checked: dict[str, tuple[int, AlertThreshold | Refusal]] = {}
        self._accepted: dict[str, AlertThreshold] = {}
        self._planned_at: datetime | None = None
        self.decisions: dict[str, Decision] = {}

    def plan(self, now: datetime) -> set[str]:
        """Decide anew.

        :return: names whose decision changed, or whose numbers expired since the last plan.
        """
        bodies = list(self._store.thresholds.all())
        self._forget_all_but({body["metadata"]["uid"] for body in bodies})
        before, self.decisions = self.decisions, decide(map(self._candidate, bodies), now)
        for decision in self.decisions.values():
            if decision.accepted and decision.in_force is not None:
                self._accepted[decision.uid] = decision.in_force
        changed = {name for name, d in self.decisions.items() if before.get(name) != d}
        changed |= self._expired_by(now) | (before.keys() - self.decisions.keys())
        self._planned_at = now
        return changed

    def previous(self, body: Body) -> AlertThreshold | None:
        """The last generation of an object that was accepted, before a restart or since."""
        uid, name = body["metadata"]["uid"], body["metadata"]["name"]
        rule = self._store.last_rule(name)
        if uid not in self._accepted and rule is not None:
            found = remembered(rule, body, self._catalogue)
            if found is not None:
                self._accepted[uid] = found
        return self._accepted.get(uid)

    def next_expiry(self, now: datetime) -> datetime | None:
        """When the plan changes by itself."""
        times = (d.in_force.spec.expiresAt for d in self.decisions.values() if d.in_force)
        return min((time for time in times if time is not None and time > now), default=None)

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

    def _forget_all_but(self, uids: set[str]) -> None:
        for memory in (self._checked, self._accepted):
            for uid in memory.keys() - uids:
                del memory[uid]

    def _expired_by(self, now: datetime) -> set[str]:
        """Names whose numbers held at the last plan, and no longer do."""
        last = self._planned_at
        if last is None:
            return set()
        return {
            name
            for name, decision in self.decisions.items()
            if decision.in_force is not None
            and decision.in_force.expired(now)
            and not decision.in_force.expired(last)
        }
