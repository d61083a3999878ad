"""Keeps the stores true: lists everything once a minute, whatever the watches told or lost.

Leader and follower alike do it, so that whoever takes over knows everything already.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

from threshold_operator.cluster.api import GoneError, KubeError
from threshold_operator.cluster.objects import PREFIX
from threshold_operator.cluster.store import Namespaces, Objects, Store
from threshold_operator.model.body import Body
from threshold_operator.reconcile.backoff import Backoff
from threshold_operator.telemetry import Health, Metrics

log = logging.getLogger(__name__)

RESYNC_SECONDS = 60.0
#: While one of the kinds isn't installed nothing can be watched, and lists are all that we have.
UNWATCHED_SECONDS = 5.0

LISTS = "lists"


class Lists(Protocol):
    """What we need of the Kubernetes API."""

    def list_thresholds(self) -> AsyncIterator[dict[str, Any]]:
        """All AlertThresholds that are served."""
        ...

    def list_rules(self) -> AsyncIterator[dict[str, Any]]:
        """All PrometheusRules, whoever made them."""
        ...


class Informer:
    """``watchable`` once the cluster knows both kinds. ``clock`` counts seconds, never jumps."""

    def __init__(
        self,
        cluster: Lists,
        namespaces: Namespaces,
        health: Health,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster, self._namespaces = cluster, namespaces
        self._health, self._metrics, self._clock = health, metrics, clock
        self._backoff = Backoff()
        self.watchable = asyncio.Event()

    async def run(self) -> None:
        """List after list, for ever."""
        while True:
            pause = await self.turn()
            await asyncio.sleep(pause)

    async def turn(self) -> float:
        """Make up for events that got lost; returns the seconds until the next time."""
        try:
            missed = await self._relist()
        except KubeError as error:
            log.warning("can't list: %s", error)
            self._metrics.ended(LISTS, well=False)
            return self._backoff.failed(LISTS, self._clock()) - self._clock()
        if self._health.synced:  # the first list finds everything, and nothing was missed
            self._metrics.missed.inc(missed)
        self._backoff.succeeded(LISTS)
        self._health.listed()
        self._metrics.ended(LISTS, well=True)
        return RESYNC_SECONDS if self.watchable.is_set() else UNWATCHED_SECONDS

    async def _relist(self) -> int:
        """Returns how many changes no event had told of."""
        missed = await self._take(self._cluster.list_thresholds(), lambda store: store.thresholds)
        missed += await self._take(self._rules(), lambda store: store.rules)
        self._namespaces.completed()
        return missed

    async def _take(self, listed: AsyncIterator[Body], shelf: Callable[[Store], Objects]) -> int:
        known = {name: shelf(store).snapshot() for name, store in self._namespaces.items()}
        names: dict[str, set[str]] = {namespace: set() for namespace in known}
        missed = 0
        async for body in listed:
            meta = body["metadata"]
            names.setdefault(meta["namespace"], set()).add(meta["name"])
            missed += shelf(self._namespaces[meta["namespace"]]).put(body)
        for namespace, before in known.items():
            missed += shelf(self._namespaces[namespace]).retain(names[namespace], before)
        return missed

    async def _rules(self) -> AsyncIterator[Body]:
        try:
            async for rule in self._cluster.list_rules():
                if rule["metadata"]["name"].startswith(PREFIX):
                    yield rule
        except GoneError:
            return  # prometheus-operator isn't installed yet: each write will say so
        self.watchable.set()
