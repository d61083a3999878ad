"""One loop for each namespace: makes the cluster what its objects ask for, and reports the effect.

Level-triggered: a turn computes what should be from everything that exists, compares it with what
is, and writes the difference. An event only says where to look sooner; the next list makes up for
one that gets lost. A turn over unchanged objects writes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from threshold_operator.cluster.api import GoneError, KubeError
from threshold_operator.cluster.objects import (
    Manifest,
    belongs_to,
    manifest,
    out_of_step,
    rule_name,
)
from threshold_operator.cluster.status import Status, desired_status
from threshold_operator.model.body import Body, version
from threshold_operator.model.condition import REJECTED, Verdict, condition_of
from threshold_operator.model.plan import Planner
from threshold_operator.model.precedence import Decision
from threshold_operator.model.threshold import Mode
from threshold_operator.reconcile.backoff import Backoff
from threshold_operator.reconcile.context import Context
from threshold_operator.reconcile.judge import Judge
from threshold_operator.reconcile.orphans import Orphans
from threshold_operator.reconcile.previews import Previews
from threshold_operator.reconcile.probe import CALM_SECONDS
from threshold_operator.reconcile.writer import RefusedError, Writer

log = logging.getLogger(__name__)

#: Collects a burst of events into one turn.
GATHER_SECONDS = 0.1
#: The longest rest between two turns: health wants to see one now and then.
IDLE_SECONDS = 60.0
#: Writes under way at once: enough to keep the API server busy, too few to be throttled.
CONCURRENCY = 8


class Reconciler:
    """Owns every write in one namespace, for as long as this replica leads.

    :param labels: of each rule, besides our own: those that Prometheus selects by.
    """

    def __init__(
        self,
        context: Context,
        writer: Writer,
        judge: Judge,
        previews: Previews,
        orphans: Orphans,
        labels: Mapping[str, str],
    ) -> None:
        self._context, self._writer, self._judge = context, writer, judge
        self._previews, self._orphans, self._labels = previews, orphans, labels
        self._store, self._metrics = context.store, context.metrics
        self._now, self._clock = context.clocks.now, context.clocks.seconds
        store, catalogue = context.store, context.catalogue
        self._planner = Planner(store.thresholds, store.recaller(catalogue), catalogue)
        self._backoff = Backoff()
        self._weighed_at = float("-inf")
        #: By name: alert, and what holds for the object.
        self._states: dict[str, tuple[str, str]] = {}
        #: By name: versions of an object and its rule whose newer ones were waited for.
        self._awaited: dict[str, tuple[str, str]] = {}

    async def run(self) -> None:
        """Turn after turn, for ever."""
        while True:
            await self.turn()
            await self._rest()

    async def turn(self) -> None:
        """Bring everything that may be out of line back in line."""
        if self._store.complete:  # else a newer object might pass for the older one
            await self._reconcile_all(await self._names())
            await self._judge.hurry()
            await self._orphans.sweep()
            await self._weigh()
            self._metrics.ended(self._context.namespace, well=not self._backoff)
        else:
            self._store.changed.clear()  # the list is waited for, nothing else
        self._context.health.turned(self._context.namespace)

    async def _weigh(self) -> None:
        """Say it on the newest object where the rules come near to what fits in one ConfigMap."""
        if self._clock() < self._weighed_at + CALM_SECONDS:
            return
        self._weighed_at = self._clock()
        rules = self._store.rules.all()
        change = self._context.rule_files.weigh(self._context.namespace, rules)
        objects = self._store.thresholds.all()
        if change is not None and objects:
            newest = max(objects, key=lambda body: str(body["metadata"].get("creationTimestamp")))
            if await self._writer.report(newest, change):
                self._context.rule_files.said()

    async def _rest(self) -> None:
        """Until something happens, or is due."""
        pause = min(self._dues()) - self._clock()
        try:
            async with asyncio.timeout(max(pause, 0.0)):
                await self._store.changed.wait()
        except TimeoutError:
            return
        await asyncio.sleep(GATHER_SECONDS)

    def _dues(self) -> Iterable[float]:
        yield self._clock() + IDLE_SECONDS
        yield self._backoff.next()
        yield self._orphans.due()
        if self._planner.decisions:
            yield self._judge.due()
        expiry = self._planner.next_expiry(self._now())
        if expiry is not None:
            yield self._clock() + (expiry - self._now()).total_seconds()

    async def _names(self) -> set[str]:
        """The objects to look at in this turn."""
        names = self._store.take_dirty() | self._backoff.take_due(self._clock())
        changed = self._planner.plan(self._now(), names)
        for name in changed:
            decision = self._planner.decisions.get(name)
            self._judge.note(name, decision)
            self._previews.note(name, decision)
        names |= changed
        if self._planner.decisions:
            judged = await self._judge.look(self._planner.decisions)
            # A look at Prometheus is no reason to try sooner what the API server refuses.
            names |= judged - self._backoff.resting()
        return names

    async def _reconcile_all(self, names: set[str]) -> None:
        limit = asyncio.Semaphore(CONCURRENCY)

        async def one(name: str) -> None:
            async with limit:
                await self._reconcile(name)

        await asyncio.gather(*map(one, sorted(names)))
        self._count_objects(names)

    async def _reconcile(self, name: str) -> None:
        """One object; whatever goes wrong with it is its own problem, and tried again."""
        result = "error"
        try:
            with self._metrics.duration.time():
                changed = await self._bring_in_line(name)
            result = "changed" if changed else "unchanged"
        except GoneError:
            self._forget_deleted(name)
        except KubeError as error:
            log.warning("%s: %s", name, error)
            self._backoff.failed(name, self._clock())
        except Exception:
            log.exception("%s: a mistake of ours", name)
            self._backoff.failed(name, self._clock())
        self._metrics.reconciles.labels(result).inc()
        # A turn over very many objects takes its time.
        self._context.health.turned(self._context.namespace)

    async def _bring_in_line(self, name: str) -> bool:
        """Returns whether anything was written."""
        body, decision = self._store.thresholds.get(name), self._planner.decisions.get(name)
        if body is None or decision is None:
            return self._forget(name)
        if self._awaits_news(body):
            self._backoff.failed(name, self._clock())
            return False
        obstacle, wrote_rule = None, False
        wanted = self._wanted_rule(body, decision)
        try:
            if wanted is not None:
                wrote_rule = await self._writer.sync_rule(wanted, decision.uid)
        except RefusedError as error:
            obstacle = Verdict("False", REJECTED, str(error))
        wrote_status = await self._writer.sync_status(
            body, self._wanted_status(body, decision, obstacle)
        )
        if obstacle is None:
            self._backoff.succeeded(name)  # not sooner: a status refused for ever would be hot
        else:
            self._backoff.failed(name, self._clock())
        return wrote_status or wrote_rule

    def _awaits_news(self, body: Body) -> bool:
        """Whether a list was older than the last writes: the watch has yet to bring the rest.

        An older number would be put in force, and the newer one forgotten. It is waited for only
        once: the rule may have been refused, or its annotation edited by hand.
        """
        name = body["metadata"]["name"]
        rule = self._store.rules.get(rule_name(name))
        if rule is None or not out_of_step(body, rule):
            return False
        versions = version(body), version(rule)
        waited, self._awaited[name] = self._awaited.get(name) == versions, versions
        return not waited

    def _wanted_rule(self, body: Body, decision: Decision) -> Manifest | None:
        """None where there is no rule and none is needed."""
        threshold = decision.in_force or self._planner.previous(body)
        live = self._store.rules.get(rule_name(decision.name))
        unheard = decision.in_force is None or decision.in_force.spec.mode is Mode.PREVIEW
        if unheard and (live is None or not belongs_to(live, decision.uid)):
            return None
        in_force = decision.in_force is not None
        catalogue = self._context.catalogue
        return manifest(body, threshold, catalogue, self._labels, in_force=in_force)

    def _wanted_status(self, body: Body, decision: Decision, obstacle: Verdict | None) -> Status:
        before = body.get("status") or {}
        found = self._judge.findings(decision, before, obstacle)
        found = replace(found, preview=self._previews.of(decision, before))
        return desired_status(decision, found, self._context.catalogue, body, self._now())

    def _forget(self, name: str) -> bool:
        """Deleted: its rule goes with it, by garbage collection."""
        self._backoff.succeeded(name)
        self._judge.forget(name)
        self._awaited.pop(name, None)
        self._writer.forget(rule_name(name))
        return False

    def _forget_deleted(self, name: str) -> None:
        """The API server says that it is gone; the event that says so is late, or lost."""
        body = self._store.thresholds.get(name)
        if body is not None:
            self._store.thresholds.drop(body)

    def _count_objects(self, names: Iterable[str]) -> None:
        for name in names:
            self._states.pop(name, None)
            if (body := self._store.thresholds.get(name)) is not None:
                ready = condition_of(body.get("status") or {}, "Ready")
                alert = str(body.get("spec", {}).get("alert", ""))
                self._states[name] = (alert, ready.get("reason", "New"))
        self._metrics.count_objects(self._context.namespace, Counter(self._states.values()))
