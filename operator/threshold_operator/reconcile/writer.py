"""The writes about one object: rule, Events, status; each only where something differs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from threshold_operator.cluster.api import CONFLICT, GoneError, KubeError
from threshold_operator.cluster.events import Change, event
from threshold_operator.cluster.objects import Manifest, belongs_to, in_sync
from threshold_operator.cluster.status import Status, same_status, transitions
from threshold_operator.model.body import Body, version
from threshold_operator.reconcile.context import Context

log = logging.getLogger(__name__)

#: Answers that the same request would get again: wrong, forbidden, too large, invalid.
LASTING = (400, 403, 413, 422)


class RefusedError(Exception):
    """The rule can't be written, and the object's author should know why."""


class Reporting(Protocol):
    """The part of the Kubernetes API that takes Events."""

    async def create_event(self, event: Body) -> None:
        """Report in ``kubectl describe``."""
        ...


class Cluster(Reporting, Protocol):
    """What is needed of the Kubernetes API."""

    async def apply_rule(self, manifest: Manifest) -> dict[str, Any]:
        """Write a rule."""
        ...

    async def apply_status(self, body: Body, status: Status) -> dict[str, Any]:
        """Write a status."""
        ...


class Writer:
    """Writes, and notes in the store what the API server made of it."""

    def __init__(self, context: Context, cluster: Cluster) -> None:
        self._store, self._metrics = context.store, context.metrics
        self._now, self._cluster = context.clocks.now, cluster
        #: What was last written of each rule, and the version that the API server made of it.
        self._written: dict[str, tuple[Manifest, str]] = {}
        #: Names of Events that failed once: a second failure doesn't hold up the status.
        self._postponed: set[str] = set()

    def forget(self, rule: str) -> None:
        """The object of this rule is gone."""
        self._written.pop(rule, None)

    async def sync_rule(self, wanted: Manifest, owner_uid: str) -> bool:
        """Write the rule if it differs; returns whether that was so.

        :raises RefusedError: it can't be written, for a reason that a person can mend.
        :raises KubeError: the API server refused or didn't answer; it may later.
        """
        name = wanted["metadata"]["name"]
        live = self._store.rules.get(name)
        if live is not None:
            if not belongs_to(live, owner_uid):
                text = f"a PrometheusRule {name} exists that isn't ours; rename it or this object"
                raise RefusedError(text)
            if in_sync(live, wanted) or self._written.get(name) == (wanted, version(live)):
                return False
        self._metrics.writes.labels("rule").inc()
        try:
            live = await self._cluster.apply_rule(wanted)
        except KubeError as error:
            raise _explained(error) from error
        self._store.rules.put(live, ours=True)
        self._written[name] = (wanted, version(live))
        return True

    async def sync_status(self, body: Body, wanted: Status) -> bool:
        """Write the status if it differs, and first the Events of what changes.

        In this order no Event is lost between two writes; its name, the same for the same
        transition, keeps a repetition from doubling it.
        """
        before = body.get("status") or {}
        if same_status(before, wanted):
            return False
        await self._report(body, before, wanted)
        self._metrics.writes.labels("status").inc()
        after = await self._cluster.apply_status(body, wanted)
        self._store.thresholds.put(after, ours=True)
        if after["metadata"].get("generation") != body["metadata"].get("generation"):
            # Edited meanwhile: the watch event of the edit is no news to the store now.
            self._store.touch(body["metadata"]["name"])
        return True

    async def report(self, body: Body, change: Change) -> bool:
        """One Event that isn't about a status; returns whether it is written."""
        self._metrics.writes.labels("event").inc()
        log.warning("%s: %s", body["metadata"]["name"], change.message)
        return await tell(self._cluster, body, change, self._now())

    async def _report(self, body: Body, before: Mapping[str, Any], wanted: Status) -> None:
        for change in transitions(before, wanted, body):
            self._metrics.writes.labels("event").inc()
            await self._create(event(body, change, self._now()))

    async def _create(self, report: Body) -> None:
        """Create an Event; one that may work later is tried twice, then the status goes first."""
        name = report["metadata"]["name"]
        try:
            await self._cluster.create_event(report)
        except GoneError:
            raise  # so is the object's namespace, or the object
        except KubeError as error:
            if error.status == CONFLICT:
                return  # it was reported before a restart
            if error.status not in LASTING and name not in self._postponed:
                self._postponed.add(name)
                raise
            log.warning("can't report %s: %s", report["reason"], error)  # the status says it
        self._postponed.discard(name)


async def tell(cluster: Reporting, body: Body, change: Change, now: datetime) -> bool:
    """Create one Event; returns whether it is there, now or from before a restart."""
    try:
        await cluster.create_event(event(body, change, now))
    except KubeError as error:
        if error.status != CONFLICT:
            log.warning("can't report %s of %s: %s", change.reason, body["metadata"]["name"], error)
            return False
    return True


def _explained(error: KubeError) -> Exception:
    """What a person can mend goes into the status; temporary errors are retried."""
    if isinstance(error, GoneError):
        return RefusedError(
            "the API server knows no PrometheusRule here: install prometheus-operator's CRDs"
        )
    if error.status in LASTING:
        return RefusedError(f"the API server refuses the rule: {error}")
    return error
