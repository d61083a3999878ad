"""The composition root: what exists once, what for each namespace, and for how long.

The stores are kept true all the time, by watches and by lists. Reconcilers live only while this
replica holds the Lease: each term begins with new ones, which remember nothing and know everything.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Self
from uuid import uuid4

import aiohttp
from aiohttp import web

from threshold_operator.cluster.api import Kube
from threshold_operator.cluster.lease import (
    EVERYTHING,
    ITS_NAMESPACE,
    RELEASE,
    SERVES,
    Candidate,
    Election,
)
from threshold_operator.cluster.objects import MANAGED_BY, MANAGER, rule_labels
from threshold_operator.cluster.store import Namespaces
from threshold_operator.evidence.access import Access
from threshold_operator.evidence.history import History
from threshold_operator.evidence.prometheus import Address, PrometheusReader
from threshold_operator.model.catalogue import Catalogue
from threshold_operator.reconcile.context import Context
from threshold_operator.reconcile.extra_alerts import (
    ExtraAlerts,
    ExtraAlertsRule,
    read,
    settle,
    with_extra,
)
from threshold_operator.reconcile.judge import Judge
from threshold_operator.reconcile.kubelets import Kubelets
from threshold_operator.reconcile.neighbours import Neighbours
from threshold_operator.reconcile.orphans import Orphans
from threshold_operator.reconcile.previews import Previews
from threshold_operator.reconcile.probe import EveryReplica, Probe
from threshold_operator.reconcile.prometheuses import Discovered, Named
from threshold_operator.reconcile.resync import Resync
from threshold_operator.reconcile.rule_files import RuleFiles
from threshold_operator.reconcile.worker import Reconciler
from threshold_operator.reconcile.writer import Writer
from threshold_operator.settings import Settings
from threshold_operator.supervision import Supervisor, supervise
from threshold_operator.telemetry import Health, Metrics, application

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inputs:
    """What the environment and the mounted files say, and the series that we count in."""

    settings: Settings
    chart: Catalogue
    own: ExtraAlerts
    metrics: Metrics

    @classmethod
    def read(cls, settings: Settings, metrics: Metrics) -> Self:
        """Read the files that ``settings`` names.

        :raises CatalogueError: a file is missing or wrong.
        """
        chart = Catalogue.load(settings.catalogue)
        own = read(settings.own_alerts, chart) if settings.own_alerts else ExtraAlerts()
        return cls(settings, chart, own, metrics)


@asynccontextmanager
async def connected(inputs: Inputs) -> AsyncIterator[Operator]:
    """An operator that is connected and answers over HTTP, but doesn't do anything yet.

    :raises KubeError: there is neither a service account nor a kubeconfig.
    """
    settings = inputs.settings
    async with AsyncExitStack() as stack:
        kube = await Kube.connect(settings.namespace)
        stack.push_async_callback(kube.close)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        home = kube.within(settings.lease_namespace)
        own = await settle(home, settings.own_alerts_config_map, inputs.own, inputs.chart)
        settled = replace(inputs, chart=with_extra(inputs.chart, own), own=own)
        operator = Operator(settled, kube, session)
        await _listen(settings, application(operator.health, operator.metrics), stack)
        yield operator


async def _listen(settings: Settings, app: web.Application, stack: AsyncExitStack) -> None:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, settings.host, settings.port).start()
    log.info("listening on port %s", settings.port)


class Operator:
    """One replica."""

    def __init__(self, inputs: Inputs, kube: Kube, session: aiohttp.ClientSession) -> None:
        self._settings, self._catalogue, self._own = inputs.settings, inputs.chart, inputs.own
        self.metrics, self.health = inputs.metrics, Health()
        self._kube = kube
        home = kube.within(self._settings.lease_namespace)
        self._election = Election(home, MANAGER, candidate(self._settings))
        self.health.rival = lambda: self._election.rival
        self._neighbours = (
            None if self._settings.namespace else Neighbours(kube, self._settings.lease_namespace)
        )
        self.store = Namespaces(self._settings.namespace)
        self._resync = Resync(kube, self.store, self.health, self.metrics)
        self.watchable = self._resync.watchable
        settings = inputs.settings
        self._access = Access(session, settings.prometheus_access, settings.prometheus_proxy)
        self._replicas = replicas(settings, kube)
        self._kubelets = self._touching() if isinstance(self._replicas, Discovered) else None
        # One for all namespaces: it asks Prometheus one thing at a time.
        self._past = self._history() if settings.prometheus_url else None
        self._rule_files = RuleFiles(self.metrics, settings.other_rule_bytes)
        self.metrics.leader.set_function(lambda: self._election.leading)
        self.metrics.queue.set_function(self.store.waiting)

    async def run(self) -> None:
        """Until cancelled, which releases the Lease.

        :raises TaskEndedError: a task ended by itself.
        """
        tasks = {"the lists": self._resync.run(), "the election": self._election.run(self._act)}
        if self._neighbours is not None:
            tasks["the neighbours"] = self._neighbours.run()
        await supervise(tasks)

    async def _act(self) -> None:
        """Reconcile each namespace, until we lose the Lease."""
        tasks = Supervisor()
        if self._settings.own_alerts:
            tasks.start("the rule of own alerts", self._own_rule().run())
        tasks.start("the namespaces", self._serve_each(tasks))
        try:
            await tasks.run()
        finally:
            self.health.rests()
            self.metrics.rests()

    async def _serve_each(self, tasks: Supervisor) -> None:
        """A task for each namespace, as soon as it has anything."""
        begun: set[str] = set()
        while True:
            self.store.grown.clear()
            for namespace in set(self.store) - begun:
                begun.add(namespace)
                tasks.start(f"the reconciler of {namespace}", self._serve(namespace))
            await self.store.grown.wait()

    def _own_rule(self) -> ExtraAlertsRule:
        settings, permit = self._settings, self._election.permit
        home = self._kube.within(settings.lease_namespace, permit)
        name, labels = settings.own_alerts_config_map, settings.rule_labels
        return ExtraAlertsRule(home, name, self._own, labels, self.metrics)

    async def _serve(self, namespace: str) -> None:
        """One namespace, which knows of no other, as long as no other operator serves it."""
        if self._neighbours is None:
            await self._reconcile(namespace)
            return
        while True:
            await self._neighbours.left(namespace)
            await self._reconcile(namespace, until=self._neighbours.came(namespace))
            self.health.left(namespace)
            self.metrics.count_objects(namespace, {})
            self._rule_files.weigh(namespace, ())

    async def _reconcile(
        self, namespace: str, until: Coroutine[Any, Any, None] | None = None
    ) -> None:
        self.health.turned(namespace)
        store = self.store[namespace]
        context = Context(
            namespace, self._catalogue, store, self.health, self.metrics, self._rule_files
        )
        kube = self._kube.within(namespace, self._election.permit)
        probe = Probe(self._witness(namespace), context.clocks.seconds(), self._kubelets)
        previews = Previews(self._past, self._catalogue, store.touch)
        reconciler = Reconciler(
            context,
            Writer(context, kube),
            Judge(context, probe),
            previews,
            Orphans(context, kube, self._settings.orphan_seconds),
            self._settings.rule_labels,
        )
        tasks = {"the turns": reconciler.run(), "the previews": previews.run()}
        await supervise(tasks, until)

    def _witness(self, namespace: str) -> EveryReplica | None:
        if self._replicas is None:
            return None
        alerts = [entry.name for entry in self._catalogue]
        return EveryReplica(self._replicas, self._access, namespace, alerts)

    def _touching(self) -> Kubelets | None:
        where, _, _ = self._settings.prometheus_object.partition("/")
        return Kubelets(self._kube, where) if self._settings.touch_pods else None

    def _history(self) -> History:
        address = Address("Prometheus", self._settings.prometheus_url)
        return History(PrometheusReader(self._access, address, self._settings.namespace, ()))


def candidate(settings: Settings) -> Candidate:
    """We, as one of those who may hold the Lease: two processes of one machine are two."""
    labels = {
        MANAGED_BY: MANAGER,
        SERVES: ITS_NAMESPACE if settings.namespace else EVERYTHING,
        **({RELEASE: settings.release} if settings.release else {}),
    }
    return Candidate(f"{platform.node()}_{uuid4()}", labels)


def replicas(settings: Settings, kube: Kube) -> Named | Discovered | None:
    """How the replicas of Prometheus are known: by name, else by its object, else one URL."""
    url, rulers = settings.prometheus_url, settings.ruler_urls
    if rulers:
        return Named(tuple(Address(ruler, url or ruler, ruler=ruler) for ruler in rulers))
    if settings.prometheus_urls:
        return Named(tuple(Address(each, each) for each in settings.prometheus_urls))
    if not url:
        return None
    fallback = Address("Prometheus", url)
    if not settings.prometheus_object:
        return Named((fallback,))
    labels = rule_labels(settings.rule_labels)
    return Discovered(kube, settings.prometheus_object, fallback, labels)
