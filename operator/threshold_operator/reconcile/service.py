"""The composition root: what exists once, what for each namespace, and for how long.

The stores are kept true all the time, by watches and by lists. Reconcilers live only while this
replica holds the Lease: each term begins with new ones, which remember nothing and know everything.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import signal
import sys
import time
from contextlib import AsyncExitStack
from uuid import uuid4

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry

from threshold_operator.cluster.api import Kube
from threshold_operator.cluster.lease import Election
from threshold_operator.cluster.objects import MANAGER, rule_labels
from threshold_operator.cluster.store import Namespaces, Store
from threshold_operator.evidence.history import History
from threshold_operator.evidence.prometheus import Prometheus
from threshold_operator.model.catalogue import Catalogue
from threshold_operator.reconcile.extra_alerts import (
    ExtraAlerts,
    ExtraAlertsRule,
    read,
    settle,
    with_extra,
)
from threshold_operator.reconcile.handlers import watch
from threshold_operator.reconcile.informer import Informer
from threshold_operator.reconcile.previews import Previews
from threshold_operator.reconcile.probe import Probe, Witness
from threshold_operator.reconcile.selected import Selected
from threshold_operator.reconcile.worker import Reconciler
from threshold_operator.settings import Settings
from threshold_operator.supervision import Supervisor, TaskEndedError, supervise
from threshold_operator.telemetry import Health, Metrics, application

log = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Run the operator until SIGTERM."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # One line for each event of each object would bury the rest.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    chart = Catalogue.load(settings.catalogue)
    own = read(settings.own_alerts, chart) if settings.own_alerts else ExtraAlerts()
    try:
        asyncio.run(_serve(settings, chart, own))
    except TaskEndedError:  # logged already
        sys.exit(1)


async def _serve(settings: Settings, chart: Catalogue, given: ExtraAlerts) -> None:
    async with AsyncExitStack() as stack:
        kube = await Kube.connect(settings.namespace)
        stack.push_async_callback(kube.close)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        identity = f"{platform.node()}_{uuid4()}"  # two processes of one machine are two candidates
        home = kube.within(settings.lease_namespace)
        election = Election(home, MANAGER, identity)
        own = await settle(home, settings.own_alerts_config_map, given, chart)
        operator = Operator(settings, with_extra(chart, own), own, kube, session, election)
        await _listen(settings, application(operator.health, operator.metrics), stack)
        await operator.run()


async def _listen(settings: Settings, app: web.Application, stack: AsyncExitStack) -> None:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, settings.host, settings.port).start()
    log.info("listening on port %s", settings.port)


class Operator:
    """One replica."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        own: ExtraAlerts,
        kube: Kube,
        session: aiohttp.ClientSession,
        election: Election,
    ) -> None:
        self._settings, self._catalogue, self._own = settings, catalogue, own
        self._kube, self._session, self._election = kube, session, election
        self._namespaces = Namespaces(settings.namespace)
        self.health, self.metrics = Health(), Metrics(CollectorRegistry())
        self._informer = Informer(kube, self._namespaces, self.health, self.metrics)
        prometheus = self._prometheus(settings.namespace)
        # One for all namespaces: it asks Prometheus one thing at a time.
        self._past = History(prometheus) if prometheus else None
        self.metrics.leader.set_function(lambda: election.leading)
        self.metrics.queue.set_function(self._namespaces.waiting)

    async def run(self) -> None:
        """Until SIGTERM, or a mistake of ours."""
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        served, watchable = self._settings.namespace, self._informer.watchable
        tasks = {
            "the lists": self._informer.run(),
            "the election": self._election.run(self._act),
            "the watches": watch(served, self._namespaces, watchable, self.health, stop.set),
        }
        await supervise(tasks, until=stop.wait())

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
            self._namespaces.grown.clear()
            for namespace in set(self._namespaces) - begun:
                begun.add(namespace)
                tasks.start(f"the reconciler of {namespace}", self._serve(namespace))
            await self._namespaces.grown.wait()

    def _own_rule(self) -> ExtraAlertsRule:
        settings, permit = self._settings, self._election.permit
        home = self._kube.within(settings.lease_namespace, permit)
        name, labels = settings.own_alerts_config_map, settings.rule_labels
        return ExtraAlertsRule(home, name, self._own, labels, self.metrics)

    async def _serve(self, namespace: str) -> None:
        """One namespace, which knows of no other."""
        self.health.turned(namespace)
        store = self._namespaces[namespace]
        previews = Previews(self._past, self._catalogue, store.touch)
        reconciler = Reconciler(
            namespace,
            self._kube.within(namespace, self._election.permit),
            Probe(self._witness(namespace, store), started=time.monotonic()),
            self._catalogue,
            store,
            self._settings.rule_labels,
            self.health,
            self.metrics,
            previews,
        )
        await supervise({"the turns": reconciler.run(), "the previews": previews.run()})

    def _witness(self, namespace: str, store: Store) -> Witness | None:
        prometheus, selects = self._prometheus(namespace), self._settings.prometheus_object
        if prometheus is None or not selects:
            return prometheus
        labels = rule_labels(self._settings.rule_labels)
        return Selected(prometheus, self._kube, selects, namespace, store.rules, labels)

    def _prometheus(self, namespace: str) -> Prometheus | None:
        url, alerts = self._settings.prometheus_url, [entry.name for entry in self._catalogue]
        return Prometheus(self._session, url, namespace, alerts) if url else None
