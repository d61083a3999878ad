"""What the operator says of itself over HTTP: ``/healthz``, ``/readyz``, ``/metrics``.

Liveness can't lie: it doesn't ask whether the process answers, but how long ago it last heard of
the cluster and last finished a turn of work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

#: Three lists are missed before we call the API server lost; a turn never takes half as long.
SILENT_AFTER_SECONDS = 180.0


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
            ["state"],
            registry=registry,
        )
        self.own_alerts = Gauge(
            "threshold_own_alerts",
            "Entries of monitoring.extraAlerts; kept: an earlier one in place of a refused one",
            ["state"],
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
        for result in ("changed", "unchanged", "error"):
            self.reconciles.labels(result)


class Health:
    """When things last went well; ``clock`` counts seconds and never jumps."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heard = self._turned = clock()
        self.synced = False

    def heard(self) -> None:
        """The API server told us something."""
        self._heard = self._clock()

    def turned(self) -> None:
        """A turn of the reconciler ended."""
        self._turned = self._clock()

    def complaints(self) -> Iterator[str]:
        """Why a restart may help; nothing when all is well."""
        for last, what in (
            (self._heard, "word from the API server"),
            (self._turned, "turn of work"),
        ):
            age = self._clock() - last
            if age > SILENT_AFTER_SECONDS:
                yield f"last {what} was {age:.0f} s ago"


def application(health: Health, metrics: Metrics) -> web.Application:
    """The three routes."""

    async def healthz(_: web.Request) -> web.Response:
        complaints = list(health.complaints())
        return web.Response(text="; ".join(complaints) or "ok", status=503 if complaints else 200)

    async def readyz(_: web.Request) -> web.Response:
        if health.synced:
            return web.Response(text="ok")
        return web.Response(text="the first list and turn aren't done", status=503)

    async def scrape(_: web.Request) -> web.Response:
        headers = {"Content-Type": CONTENT_TYPE_LATEST}
        return web.Response(body=generate_latest(metrics.registry), headers=headers)

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz)])
    app.add_routes([web.get("/metrics", scrape)])
    return app
