"""Rules whose AlertThreshold is gone, and that garbage collection left (``--cascade=orphan``).

Their numbers stay in force and no object tells of them. Each is reported at once, and removed when
it has had no owner for a while.
"""

from __future__ import annotations

import logging
from typing import Protocol

from threshold_operator.cluster.api import KubeError
from threshold_operator.cluster.events import Change
from threshold_operator.cluster.objects import PREFIX, is_ours
from threshold_operator.model.body import Body
from threshold_operator.reconcile.context import Context
from threshold_operator.reconcile.writer import Reporting, tell

log = logging.getLogger(__name__)

#: Garbage collection needs seconds; a backup that is restored needs minutes for all its objects.
GRACE_SECONDS = 300.0


class Cluster(Reporting, Protocol):
    """What is needed of the Kubernetes API."""

    async def delete_rule(self, rule: Body) -> None:
        """Delete this very version of a rule."""
        ...


class Orphans:
    """Those of one namespace; ``grace`` in seconds."""

    def __init__(self, context: Context, cluster: Cluster, grace: float = GRACE_SECONDS) -> None:
        self._context, self._cluster, self._grace = context, cluster, grace
        self._clock = context.clocks.seconds
        #: By uid: when the rule was first seen without an owner.
        self._since: dict[str, float] = {}
        #: By uid: those whose Event failed, and that are reported again when they are removed.
        self._unreported: set[str] = set()

    def due(self) -> float:
        """When there is one to be removed."""
        return min(self._since.values(), default=float("inf")) + self._grace

    async def sweep(self) -> None:
        """Report what is new, remove what is old."""
        orphans = {rule["metadata"]["uid"]: rule for rule in self._found()}
        self._since = {uid: at for uid, at in self._since.items() if uid in orphans}
        self._unreported &= orphans.keys()
        for uid, rule in orphans.items():
            if uid not in self._since:
                self._since[uid] = self._clock()
                await self._report(rule)
            elif self._clock() >= self._since[uid] + self._grace:
                if uid in self._unreported:
                    await self._report(rule)
                await self._remove(rule)
        self._context.metrics.count_orphans(self._context.namespace, len(orphans))

    def _found(self) -> list[Body]:
        store = self._context.store
        return [
            rule
            for rule in store.rules.all()
            if is_ours(rule)
            and rule["metadata"]["name"].removeprefix(PREFIX) not in store.thresholds
        ]

    async def _report(self, rule: Body) -> None:
        name, uid = rule["metadata"]["name"], rule["metadata"]["uid"]
        text = (
            f"the AlertThreshold of {name} is gone, and its numbers stay in force: "
            f"the rule is removed in {self._grace:g} s; create the object again to keep it"
        )
        log.warning("%s: %s", self._context.namespace, text)
        change = Change("Warning", "Orphaned", text, uid)
        self._unreported.discard(uid)
        if not await tell(self._cluster, rule, change, self._context.clocks.now()):
            self._unreported.add(uid)

    async def _remove(self, rule: Body) -> None:
        name = rule["metadata"]["name"]
        try:
            await self._cluster.delete_rule(rule)
        except KubeError as error:
            log.warning("can't remove the orphan %s: %s", name, error)
            self._since[rule["metadata"]["uid"]] = self._clock()  # try again after the same time
            return
        log.warning("%s: removed %s, which had no owner", self._context.namespace, name)
        self._context.store.rules.drop(rule)
