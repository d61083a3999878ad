"""Keeps the rule of the users' own alerts in the cluster as it should be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol

from threshold_operator.cluster.api import KubeError
from threshold_operator.cluster.events import event
from threshold_operator.cluster.objects import Manifest, belongs_to, in_sync
from threshold_operator.model.body import Body
from threshold_operator.model.catalogue import Catalogue
from threshold_operator.reconcile.extra_entries import OwnAlerts, news, own_manifest, settled
from threshold_operator.telemetry import Metrics

log = logging.getLogger(__name__)

#: A rule that somebody changed or deleted comes back within this time.
RESYNC_SECONDS = 30.0
RETRY_SECONDS = 5.0


class Cluster(Protocol):
    """What we need of the Kubernetes API."""

    async def get_config_map(self, name: str) -> Body | None:
        """The ConfigMap in which the chart hands over the entries."""
        ...

    async def get_rule(self, name: str) -> Body | None:
        """One PrometheusRule, whoever made it."""
        ...

    async def apply_rule(self, manifest: Manifest) -> Body:
        """Write a rule."""
        ...

    async def create_event(self, event: Body) -> None:
        """Tell people."""
        ...


async def settle(cluster: Cluster, name: str, own: OwnAlerts, chart: Catalogue) -> OwnAlerts:
    """What is in force from now on; where entries are refused, with what was before.

    Waits for the API server to say what that was.
    """
    while own.refused:
        try:
            return settled(own, await cluster.get_rule(name), chart)
        except KubeError as error:
            log.warning("can't ask for what was in force: %s", error)
            await asyncio.sleep(RETRY_SECONDS)
    return own


class OwnRule:
    """``name`` is that of the ConfigMap, and of the rule."""

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        own: OwnAlerts,
        labels: Mapping[str, str],
        metrics: Metrics,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cluster, self._name, self._own = cluster, name, own
        self._labels, self._metrics, self._now = labels, metrics, now

    async def run(self) -> None:
        """Keep the rule in line, for ever."""
        self._count()
        for name in self._own.refused:
            log.error("monitoring.extraAlerts: %s", self._own.problem(name))
        while True:
            try:
                await self.keep()
            except KubeError as error:
                log.warning("%s: %s", self._name, error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                await asyncio.sleep(RESYNC_SECONDS)

    async def keep(self) -> None:
        """Write what differs, and nothing else.

        :raises KubeError: the API server refused or didn't answer.
        """
        config_map = await self._cluster.get_config_map(self._name)
        if config_map is None:
            return log.warning("no ConfigMap %s: nothing owns the rule of own alerts", self._name)
        live = await self._cluster.get_rule(self._name)
        if live is not None and not belongs_to(live, config_map["metadata"]["uid"]):
            return log.error("a PrometheusRule %s exists that isn't ours; rename it", self._name)
        wanted = own_manifest(self._own, config_map, self._labels)
        if live is None or not in_sync(live, wanted):
            self._metrics.writes.labels("rule").inc()
            await self._cluster.apply_rule(wanted)
            await self._tell(live, config_map)
        return None

    async def _tell(self, live: Body | None, config_map: Body) -> None:
        for name in news(self._own, live):
            self._metrics.writes.labels("event").inc()
            text = self._own.problem(name)
            told = event(config_map, "Warning", "AlertRefused", text, self._now())
            await self._cluster.create_event(told)

    def _count(self) -> None:
        own = self._own
        states = {"accepted": own.accepted, "kept": own.kept, "refused": own.refused}
        for state, names in states.items():
            self._metrics.own_alerts.labels(state).set(len(names))
