"""Lists everything once a minute, whatever the watches told or lost: kopf lists only at its start.

Leader and follower alike do it, so that the follower knows everything when it takes over.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

from threshold_operator.cluster.api import RULES, GoneError, KubeError
from threshold_operator.cluster.objects import PREFIX
from threshold_operator.cluster.store import Namespaces, Objects, Store
from threshold_operator.model.body import Body
from threshold_operator.model.threshold import PLURAL
from threshold_operator.reconcile.backoff import Backoff
from threshold_operator.telemetry import Health, Metrics

log = logging.getLogger(__name__)

RESYNC_SECONDS = 60.0
#: While one of the kinds isn't installed nothing can be watched, and lists are all that we have.
#: When it is, kopf lists some time after us, and never tells what was deleted in between: the
#: pause grows from here, twice as long each time.
UNWATCHED_SECONDS = 5.0

LISTS = "lists"


class Lists(Protocol):
    """What we need of the Kubernetes API."""

    def list_thresholds(self) -> AsyncIterator[dict[str, Any]]:
        """All AlertThresholds that are served."""
        ...

    def list_rules(self) -> AsyncIterator[dict[str, Any]]:
        """All PrometheusRules, also foreign ones."""
        ...


class Resync:
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
        self._pause = UNWATCHED_SECONDS
        self.watchable = asyncio.Event()

    async def run(self) -> None:
        """List after list, for ever."""
        while True:
            pause = await self.turn()
            await asyncio.sleep(pause)

    async def turn(self) -> float:
        """List once; returns the seconds until the next time."""
        watched = self.watchable.is_set()
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
        if watched:
            self._pause = min(2 * self._pause, RESYNC_SECONDS)
        return self._pause

    async def _relist(self) -> int:
        """Returns how many changes no event had told of."""
        thresholds, rules = self._cluster.list_thresholds(), self._rules()
        missed = await self._take(PLURAL, thresholds, lambda store: store.thresholds)
        missed += await self._take(RULES, rules, lambda store: store.rules)
        self._namespaces.completed()
        return missed

    async def _take(
        self, kind: str, listed: AsyncIterator[Body], objects: Callable[[Store], Objects]
    ) -> int:
        watched = self.watchable.is_set()
        known = {name: objects(store).snapshot() for name, store in self._namespaces.items()}
        names: dict[str, set[str]] = {namespace: set() for namespace in known}
        news = gone = 0
        async for body in listed:
            meta = body["metadata"]
            names.setdefault(meta["namespace"], set()).add(meta["name"])
            news += objects(self._namespaces[meta["namespace"]]).put(body)
        for namespace, before in known.items():
            gone += objects(self._namespaces[namespace]).retain(names[namespace], before)
        if news and watched:
            self._health.missed(kind)
        return news + gone

    async def _rules(self) -> AsyncIterator[Body]:
        try:
            async for rule in self._cluster.list_rules():
                if rule["metadata"]["name"].startswith(PREFIX):
                    yield rule
        except GoneError:
            return  # prometheus-operator isn't installed yet: each write will say so
        self.watchable.set()
