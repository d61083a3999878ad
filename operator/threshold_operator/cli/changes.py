"""What applying some objects would change: the numbers in force before and after, by scope.

The same planner that decides in the cluster decides here, over the objects as they are and over
the objects as they would be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from threshold_operator.cluster.store import Store
from threshold_operator.model.body import Body
from threshold_operator.model.catalogue import Catalogue
from threshold_operator.model.governors import Governors, Limit
from threshold_operator.model.plan import Planner
from threshold_operator.model.precedence import Decision
from threshold_operator.model.threshold import (
    API_VERSION,
    KIND,
    AlertThreshold,
    Problem,
    Severity,
)
from threshold_operator.model.times import rfc3339


@dataclass(frozen=True)
class Change:
    """One tier of one alert, within one scope."""

    alert: str
    scope: str
    severity: Severity
    before: Limit
    after: Limit


@dataclass(frozen=True)
class World:
    """The objects and rules of one namespace."""

    thresholds: tuple[Body, ...] = ()
    rules: tuple[Body, ...] = ()

    def decisions(self, catalogue: Catalogue, now: datetime) -> Mapping[str, Decision]:
        """What the operator decides over it."""
        store = Store()
        for body in self.thresholds:
            store.thresholds.put(body)
        for rule in self.rules:
            store.rules.put(rule)
        planner = Planner(store.thresholds, store.recaller(catalogue), catalogue)
        planner.plan(now)
        return planner.decisions

    def applied(self, wanted: Iterable[AlertThreshold], now: datetime) -> World:
        """As it is after ``kubectl apply``."""
        bodies = {body["metadata"]["name"]: body for body in self.thresholds}
        for threshold in wanted:
            bodies[threshold.name] = _edited(bodies.get(threshold.name), threshold, now)
        return World(tuple(bodies.values()), self.rules)


def changes(
    before: Mapping[str, Decision],
    after: Mapping[str, Decision],
    catalogue: Catalogue,
    now: datetime,
) -> list[Change]:
    """Each scope of each tier that would be governed by another number, or for another time."""
    old, new = governors(before, now), governors(after, now)
    found = (
        Change(alert, scope, tier, *(g.limit(catalogue[alert], tier, scope) for g in (old, new)))
        for alert, scope, tier in sorted({*old.claims(), *new.claims()})
    )
    return [change for change in found if change.before.effect != change.after.effect]


def governors(decisions: Mapping[str, Decision], now: datetime) -> Governors:
    """Who governs what, of these objects."""
    found = Governors()
    for name, decision in decisions.items():
        found.note(name, decision, now)
    return found


def refusals(world: World, wanted: Iterable[AlertThreshold]) -> Iterator[tuple[str, Problem]]:
    """What the API server would refuse because of what is there already."""
    live = {body["metadata"]["name"]: body.get("spec") or {} for body in world.thresholds}
    for threshold in wanted:
        there = live.get(threshold.name, {}).get("alert", threshold.spec.alert)
        if there != threshold.spec.alert:
            text = f"can't be changed from {there}; make another object for another alert"
            yield threshold.name, Problem("spec.alert", text)


def _edited(live: Body | None, threshold: AlertThreshold, now: datetime) -> Body:
    made_now: dict[str, Any] = {
        "name": threshold.name,
        "namespace": threshold.namespace,
        "uid": f"new/{threshold.name}",
        # Later than all that is there: times in Kubernetes are whole seconds.
        "creationTimestamp": rfc3339(now + timedelta(seconds=1)),
    }
    meta = dict(live["metadata"]) if live else made_now
    meta["generation"] = meta.get("generation", 0) + 1
    spec = threshold.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": meta, "spec": spec}
