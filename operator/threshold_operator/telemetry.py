"""What the operator says of itself over HTTP: ``/healthz``, ``/readyz``, ``/metrics``.

Liveness can't lie: it doesn't ask whether the process answers, but how long ago the last list was
answered and the last turn of work ended, and whether a watch is dead. kopf doesn't show how its
watches are, and its own endpoint says 200 whatever they are. So the lists tell: a watch is dead
that has been silent for long since a list found a change of its kind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

#: Three lists are missed before we call the API server lost; a turn never takes half as long.
LOST_AFTER_SECONDS = 180.0
#: We ask the API server to end each watch after this; kopf opens the next one where it left off.
WATCH_SECONDS = 20
#: For a watch to tell of a change that a list has found. kopf opens it again after 30 s at most.
SILENT_AFTER_SECONDS = 120.0


class Metrics:
    """The operator's own series."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.reconciles = Counter(
            "thresholds_reconciles", "Objects looked at", ["result"], registry=registry
        )
        self.writes = Counter(
            "thresholds_writes", "Write requests to the API server", ["kind"], registry=registry
        )
        self.objects = Gauge(
            "threshold_objects",
            "AlertThresholds by what holds for them",
            ["namespace", "alert", "state"],
            registry=registry,
        )
        self.own_alerts = Gauge(
            "threshold_own_alerts",
            "Entries of monitoring.extraAlerts; kept: an earlier one in place of a refused one",
            ["state"],
            registry=registry,
        )
        self.orphans = Gauge(
            "threshold_orphaned_rules",
            "Rules of ours in force whose AlertThreshold is gone",
            ["namespace"],
            registry=registry,
        )
        self.rule_files = Gauge(
            "threshold_rule_file_bytes",
            "Size of our rules as prometheus-operator writes them",
            ["namespace"],
            registry=registry,
        )
        self.rule_file_limit = Gauge(
            "threshold_rule_file_limit_bytes",
            "Where one more ConfigMap is needed, for which Prometheus restarts",
            registry=registry,
        )
        self.duration = Histogram(
            "thresholds_reconcile_seconds",
            "Time to bring one object in line",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15),
            registry=registry,
        )
        self.queue = Gauge(
            "thresholds_queue_depth", "Objects that wait to be looked at", registry=registry
        )
        self.leader = Gauge(
            "threshold_operator_leader",
            "1 if this replica acts, 0 if it follows another",
            registry=registry,
        )
        self.propagation = Histogram(
            "threshold_propagation_seconds",
            "From writing a rule to Prometheus evaluating its numbers",
            buckets=(1, 2, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600),
            registry=registry,
        )
        self.last_success = Gauge(
            "thresholds_last_success_timestamp_seconds",
            "When a turn last ended without an error",
            registry=registry,
        )
        self.missed = Counter(
            "thresholds_missed_changes",
            "Changes found by listing that no watch event had told of",
            registry=registry,
        )
        self.restarts = Counter(
            "thresholds_watch_restarts",
            "Times that an error in a watch ended kopf, which then began again in the same process",
            registry=registry,
        )
        for result in ("changed", "unchanged", "error"):
            self.reconciles.labels(result)
        self._states: dict[str, Mapping[tuple[str, str], int]] = {}
        self._failing: set[str] = set()

    def count_objects(self, namespace: str, states: Mapping[tuple[str, str], int]) -> None:
        """How many objects of one namespace there are, by alert and by what holds for them."""
        for gone in self._states.get(namespace, {}).keys() - states.keys():
            self.objects.remove(namespace, *gone)
        self._states[namespace] = states
        for place, count in states.items():
            self.objects.labels(namespace, *place).set(count)

    def count_orphans(self, namespace: str, number: int) -> None:
        """Rules of one namespace without an owner."""
        self.orphans.labels(namespace).set(number)

    def rests(self) -> None:
        """We follow another replica, which counts them from now on."""
        self._states.clear()
        self._failing.clear()
        self.objects.clear()
        self.orphans.clear()
        self.rule_files.clear()

    def ended(self, what: str, *, well: bool) -> None:
        """A turn of ``what`` ended; it is a success only if nothing else is failing."""
        (self._failing.discard if well else self._failing.add)(what)
        if not self._failing:
            self.last_success.set_to_current_time()


class Health:
    """When things last went well; ``clock`` counts seconds and never jumps."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._listed = clock()
        #: By kind, since when a change is known that the watch hasn't told of.
        self._missed: dict[str, float] = {}
        self._turns: dict[str, float] = {}
        self.synced = False
        #: The operator of another release that serves our namespace, so that we may not.
        self.rival: Callable[[], str] = str

    def heard(self, kind: str) -> None:
        """The watch of a kind told of something."""
        self._missed.pop(kind, None)

    def missed(self, kind: str) -> None:
        """A list found a change that the watch of its kind hasn't told of yet."""
        self._missed.setdefault(kind, self._clock())

    def listed(self) -> None:
        """Everything was listed."""
        self._listed = self._clock()
        self.synced = True

    def turned(self, namespace: str) -> None:
        """A turn of a namespace's reconciler ended, or is about to begin."""
        self._turns[namespace] = self._clock()

    def rests(self) -> None:
        """No more turns: we follow another replica."""
        self._turns.clear()

    def left(self, namespace: str) -> None:
        """No more turns of one namespace: another operator serves it."""
        self._turns.pop(namespace, None)

    def complaints(self) -> Iterator[str]:
        """Why a restart may help; nothing when all is well."""
        now = self._clock()
        if now - self._listed > LOST_AFTER_SECONDS:
            yield f"last list was {now - self._listed:.0f} s ago"
        for namespace, turned in self._turns.items():
            if now - turned > LOST_AFTER_SECONDS:
                yield f"last turn of {namespace} was {now - turned:.0f} s ago"
        for kind, missed in self._missed.items():
            if now - missed > SILENT_AFTER_SECONDS:
                yield f"the watch of {kind} missed a change {now - missed:.0f} s ago"


def application(health: Health, metrics: Metrics) -> web.Application:
    """The three routes."""

    async def healthz(_: web.Request) -> web.Response:
        complaints = list(health.complaints())
        return web.Response(text="; ".join(complaints) or "ok", status=503 if complaints else 200)

    async def readyz(_: web.Request) -> web.Response:
        refused = "" if health.synced else "the first list isn't done"
        if rival := health.rival():
            refused = f"{rival} serves this namespace; set operator.enabled=false in one of the two"
        return web.Response(text=refused or "ok", status=503 if refused else 200)

    async def scrape(_: web.Request) -> web.Response:
        headers = {"Content-Type": CONTENT_TYPE_LATEST}
        return web.Response(body=generate_latest(metrics.registry), headers=headers)

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz)])
    app.add_routes([web.get("/metrics", scrape)])
    return app
