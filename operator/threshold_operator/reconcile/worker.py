"""The one actor: makes the cluster what the objects ask for, and says what Prometheus makes of it.

Level-triggered: a turn computes what should be from everything that exists, compares it with what
is, and writes the difference. An event only says where to look sooner; one that gets lost is made
up for by the next list. A turn over unchanged objects writes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from threshold_operator.cluster.api import GoneError, KubeError
from threshold_operator.cluster.events import event
from threshold_operator.cluster.objects import (
    Manifest,
    applied_at,
    belongs_to,
    in_sync,
    manifest,
    rejection,
    rule_name,
)
from threshold_operator.cluster.status import Status, desired_status, same_status, transitions
from threshold_operator.cluster.store import Store
from threshold_operator.evidence.effect import alert_state, judge
from threshold_operator.model.body import Body
from threshold_operator.model.catalogue import Catalogue
from threshold_operator.model.condition import (
    PASSING,
    PROPAGATING,
    REJECTED,
    UNKNOWN,
    Verdict,
    condition_of,
)
from threshold_operator.model.governors import Overrides
from threshold_operator.model.plan import Planner
from threshold_operator.model.precedence import Decision
from threshold_operator.model.threshold import Mode, parse_time
from threshold_operator.reconcile.backoff import Backoff
from threshold_operator.reconcile.previews import Previews
from threshold_operator.reconcile.probe import CALM_SECONDS, Probe
from threshold_operator.telemetry import Health, Metrics

log = logging.getLogger(__name__)

#: Collects a burst of events into one turn.
GATHER_SECONDS = 0.1
#: The longest rest between two turns: health wants to see one now and then.
IDLE_SECONDS = 60.0
#: How long a proof outlives its last repetition: a restart of Prometheus is no news.
PROOF_SECONDS = 60.0
#: A rule that takes longer is held up by something that no hurry cures.
HURRY_WITHIN = timedelta(minutes=5)
#: Writes under way at once: enough to keep the API server busy, too few to be throttled.
CONCURRENCY = 8


class Cluster(Protocol):
    """What we need of the Kubernetes API."""

    async def apply_rule(self, manifest: Manifest) -> dict[str, Any]:
        """Write a rule."""
        ...

    async def apply_status(self, body: Body, status: Status) -> dict[str, Any]:
        """Write a status."""
        ...

    async def create_event(self, event: Body) -> None:
        """Tell people."""
        ...


class Reconciler:
    """Owns every write in one namespace, for as long as we lead.

    ``now`` is the wall clock, ``clock`` counts seconds and never jumps.
    """

    def __init__(
        self,
        namespace: str,
        cluster: Cluster,
        probe: Probe,
        catalogue: Catalogue,
        store: Store,
        rule_labels: Mapping[str, str],
        health: Health,
        metrics: Metrics,
        previews: Previews,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._namespace = namespace
        self._cluster, self._probe, self._catalogue = cluster, probe, catalogue
        self._store, self._rule_labels = store, rule_labels
        self._health, self._metrics, self._previews = health, metrics, previews
        self._now, self._clock = now, clock
        self._planner = Planner(store.thresholds, store.recaller(catalogue), catalogue)
        self._backoff = Backoff()
        self._overrides = Overrides()
        self._judged_at = float("-inf")
        self._started = clock()
        #: By name: the object and generation last proven, and when.
        self._proven: dict[str, tuple[str, int, float]] = {}
        self._waiting: set[str] = set()
        #: Replicas of Prometheus that have yet to load a rule which was written lately.
        self._lagging: set[str] = set()
        self._states: dict[str, str] = {}
        #: What we last wrote of each rule, and the version that the API server made of it.
        self._written: dict[str, tuple[Manifest, str]] = {}

    async def run(self) -> None:
        """Turn after turn, for ever."""
        while True:
            await self.turn()
            await self._rest()

    async def turn(self) -> None:
        """Bring everything that may be out of line back in line."""
        if self._store.complete:  # else a newer object might pass for the older one
            self._lagging.clear()
            await self._reconcile_all(await self._names())
            await self._probe.hurry(self._lagging)
            self._metrics.ended(self._namespace, well=not self._backoff)
        else:
            self._store.changed.clear()  # the list is waited for, nothing else
        self._health.turned(self._namespace)

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
        if self._planner.decisions:
            yield self._probe.due(eager=bool(self._waiting))
        expiry = self._planner.next_expiry(self._now())
        if expiry is not None:
            yield self._clock() + (expiry - self._now()).total_seconds()

    async def _names(self) -> set[str]:
        """The objects to look at in this turn."""
        names = self._store.take_dirty() | self._backoff.take_due(self._clock())
        changed = self._planner.plan(self._now(), names)
        if changed:
            names |= changed
            self._note(changed)
        if self._planner.decisions and self._clock() >= self._probe.due(eager=bool(self._waiting)):
            await self._probe.look(self._clock())
            # A look at Prometheus is no reason to try sooner what the API server refuses.
            names |= self._to_be_judged() - self._backoff.resting()
        return names

    def _note(self, changed: Iterable[str]) -> None:
        for name in changed:
            decision = self._planner.decisions.get(name)
            self._overrides.note(name, decision, self._now())
            self._previews.note(name, decision)

    def _to_be_judged(self) -> set[str]:
        """Those on their way at every look; all of them, however many, only now and then."""
        if self._clock() < self._judged_at + CALM_SECONDS:
            return set(self._waiting)
        self._judged_at = self._clock()
        return set(self._planner.decisions)

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
        self._health.turned(self._namespace)  # a turn over very many objects takes its time

    async def _bring_in_line(self, name: str) -> bool:
        """Returns whether anything was written."""
        body, decision = self._store.thresholds.get(name), self._planner.decisions.get(name)
        if body is None or decision is None:
            return self._forget(name)
        obstacle, wrote_rule = None, False
        try:
            wrote_rule = await self._sync_rule(body, decision)
        except RefusedError as error:
            obstacle = Verdict("False", REJECTED, str(error))
        wrote_status = await self._sync_status(body, decision, obstacle)
        if obstacle is None:
            self._backoff.succeeded(name)  # not sooner: a status refused for ever would be hot
        else:
            self._backoff.failed(name, self._clock())
        return wrote_status or wrote_rule

    async def _sync_rule(self, body: Body, decision: Decision) -> bool:
        wanted = self._wanted_rule(body, decision)
        if wanted is None:
            return False
        name = wanted["metadata"]["name"]
        live = self._store.rules.get(name)
        if live is not None:
            _refuse_foreign(live, decision.uid)
            if in_sync(live, wanted) or self._written.get(name) == (wanted, _version(live)):
                return False
        await self._apply_rule(wanted)
        return True

    def _wanted_rule(self, body: Body, decision: Decision) -> Manifest | None:
        threshold = decision.in_force or self._planner.previous(body)
        live = self._store.rules.get(rule_name(decision.name))
        unheard = decision.in_force is None or decision.in_force.spec.mode is Mode.PREVIEW
        if unheard and (live is None or not belongs_to(live, decision.uid)):
            return None
        in_force = decision.in_force is not None
        return manifest(body, threshold, self._catalogue, self._rule_labels, in_force=in_force)

    async def _apply_rule(self, wanted: Manifest) -> None:
        name = wanted["metadata"]["name"]
        self._metrics.writes.labels("rule").inc()
        try:
            live = await self._cluster.apply_rule(wanted)
        except KubeError as error:
            raise _explained(error) from error
        self._store.rules.put(live, ours=True)
        self._written[name] = (wanted, _version(live))

    async def _sync_status(self, body: Body, decision: Decision, obstacle: Verdict | None) -> bool:
        before = body.get("status") or {}
        wanted = self._wanted_status(decision, obstacle, before)
        if same_status(before, wanted):
            return False
        self._metrics.writes.labels("status").inc()
        after = await self._cluster.apply_status(body, wanted)
        self._store.thresholds.put(after, ours=True)
        if after["metadata"].get("generation") != body["metadata"].get("generation"):
            self._store.touch(decision.name)  # edited meanwhile: the event of it is no news now
        await self._announce(body, before, wanted)
        return True

    def _wanted_status(self, decision: Decision, obstacle: Verdict | None, before: Body) -> Status:
        self._waiting.discard(decision.name)
        verdict = None
        if decision.accepted:
            verdict = obstacle or self._verdict(decision, before)
        state = self._state(decision, before)
        preview = self._previews.of(decision, before)
        return desired_status(
            decision, verdict, state, self._catalogue, before, self._now(), preview
        )

    def _state(self, decision: Decision, before: Body) -> str:
        """Where nothing was heard for a moment only, what was known before."""
        threshold = decision.in_force
        if threshold is None:
            return UNKNOWN
        entry = self._catalogue[threshold.spec.alert]
        state = alert_state(threshold, entry, self._probe.seen, self._overrides)
        if state == UNKNOWN and self._probe.lost_for(self._clock()) < PROOF_SECONDS:
            return str(before.get("state", UNKNOWN))
        return state

    def _verdict(self, decision: Decision, before: Body) -> Verdict:
        assert decision.in_force is not None  # noqa: S101 - the caller made sure
        verdict = judge(
            decision.in_force,
            self._catalogue[decision.in_force.spec.alert],
            self._probe.seen,
            self._overrides,
            applied=self._applied(decision.name),
            rejected=self._rejection(decision.name),
            now=self._now(),
        )
        if verdict.reason == PROPAGATING:
            self._waiting.add(decision.name)
            if self._now() - self._applied(decision.name) < HURRY_WITHIN:
                self._lagging.update(verdict.lagging)
        if verdict.status == "True":
            self._note_proof(decision, before)
        elif verdict.reason in PASSING and self._proof_holds(decision, before):
            old = condition_of(before, "Effective")
            return Verdict("True", old["reason"], old["message"])
        return verdict

    def _note_proof(self, decision: Decision, before: Body) -> None:
        if not _was_proven(decision, before):
            elapsed = self._now() - self._applied(decision.name)
            self._metrics.propagation.observe(max(elapsed.total_seconds(), 0.0))
        self._proven[decision.name] = decision.uid, decision.generation, self._clock()

    def _proof_holds(self, decision: Decision, before: Body) -> bool:
        """After a restart the status vouches for itself, until Prometheus was asked a few times."""
        unknown = decision.uid, decision.generation, self._started
        uid, generation, proven_at = self._proven.get(decision.name, unknown)
        same = (uid, generation) == (decision.uid, decision.generation)
        recent = self._clock() - proven_at < PROOF_SECONDS
        return same and recent and _was_proven(decision, before)

    def _rejection(self, name: str) -> str:
        live = self._store.rules.get(rule_name(name))
        return rejection(live) if live is not None else ""

    def _applied(self, name: str) -> datetime:
        live = self._store.rules.get(rule_name(name))
        written = applied_at(live) if live is not None else None
        return parse_time(written) if written else self._now()

    async def _announce(self, body: Body, before: Body, wanted: Status) -> None:
        for level, reason, message in transitions(before, wanted):
            try:
                self._metrics.writes.labels("event").inc()
                await self._cluster.create_event(event(body, level, reason, message, self._now()))
            except KubeError as error:
                log.warning("can't tell of %s: %s", reason, error)  # the status says it anyway

    def _forget(self, name: str) -> bool:
        """Deleted: its rule goes with it, by garbage collection."""
        self._backoff.succeeded(name)
        self._waiting.discard(name)
        self._written.pop(rule_name(name), None)
        self._proven.pop(name, None)
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
                self._states[name] = ready.get("reason", "New")
        self._metrics.count_objects(self._namespace, Counter(self._states.values()))


class RefusedError(Exception):
    """The rule can't be written, and the object's author should know why."""


def _refuse_foreign(live: Body, uid: str) -> None:
    if not belongs_to(live, uid):
        name = live["metadata"]["name"]
        text = f"a PrometheusRule {name} exists that isn't ours; rename it or this object"
        raise RefusedError(text)


def _explained(error: KubeError) -> Exception:
    """What a person can mend goes into the status; what passes is only tried again."""
    if isinstance(error, GoneError):
        return RefusedError("the cluster knows no PrometheusRule: install prometheus-operator")
    if error.status in (400, 403, 413, 422):
        return RefusedError(f"the API server refuses the rule: {error}")
    return error


def _was_proven(decision: Decision, before: Body) -> bool:
    old = condition_of(before, "Effective")
    return old.get("status") == "True" and old.get("observedGeneration") == decision.generation


def _version(body: Body) -> str:
    return str(body["metadata"].get("resourceVersion"))
