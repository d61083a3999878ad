"""An API server in memory and a Prometheus that says what it is told; both count."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry
from tests.unit.operator.objects import CATALOGUE, NAMESPACE, NOW

from threshold_operator.cluster.api import GoneError, KubeError
from threshold_operator.cluster.objects import MANAGER
from threshold_operator.cluster.store import Namespaces
from threshold_operator.evidence.access import PrometheusError
from threshold_operator.evidence.observation import Look, Observation
from threshold_operator.evidence.preview import Outcome, Question, Report
from threshold_operator.evidence.replay import Episode
from threshold_operator.model.condition import UNREACHABLE
from threshold_operator.reconcile.context import Clocks, Context
from threshold_operator.reconcile.judge import Judge
from threshold_operator.reconcile.orphans import Orphans
from threshold_operator.reconcile.previews import Previews
from threshold_operator.reconcile.probe import Probe
from threshold_operator.reconcile.resync import Resync
from threshold_operator.reconcile.rule_files import RuleFiles
from threshold_operator.reconcile.worker import Reconciler
from threshold_operator.reconcile.writer import Writer
from threshold_operator.telemetry import Health, Metrics

Body = dict[str, Any]


class Clock:
    """Both clocks; they move only when told."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        #: By how much the wall clock was set forward.
        self.jump = timedelta()

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds - 1000.0) + self.jump


class FakeCluster:
    """Keeps objects as the API server does, as far as the reconciler can tell."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._version = 100
        self.thresholds: dict[str, Body] = {}
        self.rules: dict[str, Body] = {}
        self.events: list[Body] = []
        self.writes: Counter[str] = Counter()
        self.failures: dict[str, KubeError] = {}

    # --- what a test does

    def create(self, *bodies: Body) -> None:
        for body in bodies:
            self.thresholds[body["metadata"]["name"]] = self._stamped(body)

    def edit(self, name: str, **spec: Any) -> None:
        body = copy.deepcopy(self.thresholds[name])
        body["metadata"]["generation"] += 1
        body["spec"] = {"alert": body["spec"]["alert"], **spec}
        self.thresholds[name] = self._stamped(body)

    def edit_rule(self, name: str, **meta: Any) -> Body:
        rule = copy.deepcopy(self.rules[name])
        rule["metadata"] |= meta
        self.rules[name] = self._stamped(rule)
        return self.rules[name]

    def condition(self, name: str, kind: str = "Effective") -> tuple[str, str]:
        conditions = self.thresholds[name]["status"]["conditions"]
        return next((c["status"], c["reason"]) for c in conditions if c["type"] == kind)

    def exprs(self, name: str) -> list[str]:
        groups = self.rules[f"threshold-{name}"]["spec"]["groups"]
        return [rule["expr"] for group in groups for rule in group["rules"]]

    # --- what the reconciler asks

    async def list_thresholds(self) -> AsyncIterator[Body]:
        self._fail("list")
        for body in list(self.thresholds.values()):
            yield copy.deepcopy(body)

    async def list_rules(self) -> AsyncIterator[Body]:
        self._fail("list_rules")
        for body in list(self.rules.values()):
            yield copy.deepcopy(body)

    async def apply_rule(self, manifest: Body) -> Body:
        self._fail("rule")
        self.writes["rule"] += 1
        wanted = copy.deepcopy(manifest)
        written = {"manager": MANAGER, "time": self._clock.now().isoformat()}
        wanted["metadata"] |= {"managedFields": [written], "uid": f"uid-{self._version}"}
        self.rules[wanted["metadata"]["name"]] = self._stamped(wanted)
        return copy.deepcopy(self.rules[wanted["metadata"]["name"]])

    async def apply_status(self, body: Mapping[str, Any], status: Body) -> Body:
        self._fail("status")
        name = body["metadata"]["name"]
        if name not in self.thresholds:
            raise GoneError("no such object", 404)
        self.writes["status"] += 1
        self.thresholds[name] = self._stamped({**self.thresholds[name], "status": status})
        return copy.deepcopy(self.thresholds[name])

    async def delete_rule(self, rule: Mapping[str, Any]) -> None:
        self._fail("delete")
        self.writes["delete"] += 1
        del self.rules[rule["metadata"]["name"]]

    async def create_event(self, event: Mapping[str, Any]) -> None:
        self._fail("event")
        if event["metadata"]["name"] in {known["metadata"]["name"] for known in self.events}:
            raise KubeError("already exists", 409)
        self.events.append(dict(event))

    def _fail(self, what: str) -> None:
        if what in self.failures:
            raise self.failures[what]

    def _stamped(self, body: Body) -> Body:
        self._version += 1
        meta = {**body["metadata"], "resourceVersion": str(self._version)}
        return {**copy.deepcopy(body), "metadata": meta}


class FakePrometheus:
    """Answers with ``seen``, or not at all while that is None."""

    def __init__(self) -> None:
        self.seen: Observation | None = Observation()
        self.looks = 0

    async def look(self) -> Look:
        self.looks += 1
        if self.seen is None:
            text = "Prometheus can't be asked: no answer within 5 s"
            return Look.blind(UNREACHABLE, text)
        return Look({"Prometheus": self.seen})


class FakePast:
    """Finds one episode of a minute for every tier, or what it is told; None: no answer."""

    def __init__(self) -> None:
        self.found: Callable[[Question, int, int], Report] | None = _one_minute
        self.asked: list[Question] = []

    async def preview(self, question: Question, window: int, now: int) -> Report:
        self.asked.append(question)
        if self.found is None:
            raise PrometheusError("no answer within 20 s")
        return self.found(question, window, now)


def _one_minute(question: Question, window: int, now: int) -> Report:
    last = Episode(now - 61_000, now - 1000)
    tiers = {
        severity: (
            Outcome(tier.new.threshold, (last,), lasts=False),
            Outcome(tier.in_force.threshold, (), lasts=False),
        )
        for severity, tier in question.tiers.items()
    }
    return Report(now - window, now, 15_000, 0.5, tiers)


class Bench:
    """A reconciler and the world around it."""

    def __init__(self, *, prometheus: bool = True) -> None:
        self.clock = Clock()
        self.cluster = FakeCluster(self.clock)
        self.prometheus = FakePrometheus()
        self._asked = self.prometheus if prometheus else None
        self.past = FakePast()
        self.restart()

    def restart(self) -> None:
        """A new operator, which remembers nothing."""
        namespaces = Namespaces(NAMESPACE)
        self.store = namespaces[NAMESPACE]
        self.metrics = Metrics(CollectorRegistry())
        self.health = Health(self.clock)
        self.resync = Resync(self.cluster, namespaces, self.health, self.metrics, clock=self.clock)
        self.previews = Previews(
            self.past if self._asked else None,
            CATALOGUE,
            self.store.touch,
            now=self.clock.now,
            clock=self.clock,
        )
        self._list_due = self.clock()
        context = Context(
            NAMESPACE,
            CATALOGUE,
            self.store,
            self.health,
            self.metrics,
            RuleFiles(self.metrics),
            Clocks(self.clock.now, self.clock),
        )
        self.reconciler = Reconciler(
            context,
            Writer(context, self.cluster),
            Judge(context, Probe(self._asked, started=self.clock())),
            self.previews,
            Orphans(context, self.cluster),
            {"release": "stack"},
        )

    async def turn(self, after: float = 0) -> None:
        """One turn, some seconds after the last, and a list when it is time for one."""
        self.clock.seconds += after
        if self.clock() >= self._list_due:
            self._list_due = self.clock() + await self.resync.turn()
        await self.reconciler.turn()

    async def relist(self) -> None:
        """A turn that lists: no event is needed."""
        await self.turn(after=60)

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def counted(metrics: Metrics) -> dict[tuple[str, str, str], float]:
    """Objects by namespace, alert and what holds for them."""
    (family,) = metrics.objects.collect()
    return {
        (s.labels["namespace"], s.labels["alert"], s.labels["state"]): s.value
        for s in family.samples
    }
