"""Where kopf comes in: it watches, and tells the store what it sees. Nothing else is left to it.

``on.event`` keeps no finalizers, annotations or last-handled configuration on the users' objects;
what it lacks, retries, the reconciler's lists make up for.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import signal
import time
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import AsyncExitStack
from itertools import chain, repeat
from typing import Any, cast

import aiohttp
import kopf
from aiohttp import web
from prometheus_client import CollectorRegistry

from threshold_operator.catalogue import Catalogue
from threshold_operator.health import Health, Metrics, application
from threshold_operator.history import History
from threshold_operator.kube import RULES, Kube
from threshold_operator.manifest import MANAGED_BY, MANAGER, RULE_GROUP, RULE_VERSION
from threshold_operator.model import GROUP, PLURAL, VERSION
from threshold_operator.previews import Previews
from threshold_operator.probe import Probe
from threshold_operator.prometheus import Prometheus
from threshold_operator.reconciler import Reconciler
from threshold_operator.settings import Settings
from threshold_operator.store import Shelf, Store

log = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Run the operator until SIGTERM."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # One line for each event of each object would bury the rest.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    asyncio.run(_serve(settings, Catalogue.load(settings.catalogue)))


async def _serve(settings: Settings, catalogue: Catalogue) -> None:
    """The composition root."""
    store, health, metrics = Store(), Health(), Metrics(CollectorRegistry())
    async with AsyncExitStack() as stack:
        kube = await Kube.connect(settings.namespace)
        stack.push_async_callback(kube.close)
        prometheus = await _prometheus(settings, catalogue, stack)
        probe = Probe(prometheus, started=time.monotonic())
        past = History(prometheus) if prometheus else None
        previews = Previews(past, catalogue, store.touch)
        reconciler = Reconciler(
            kube, probe, catalogue, store, settings.rule_labels, health, metrics, previews
        )
        await _listen(settings, application(health, metrics), stack)
        work = (reconciler.run(), previews.run())
        await _until_stopped(work, store, _registry(store, health), settings)


async def _prometheus(
    settings: Settings, catalogue: Catalogue, stack: AsyncExitStack
) -> Prometheus | None:
    if not settings.prometheus_url:
        return None
    session = await stack.enter_async_context(aiohttp.ClientSession())
    alerts = [entry.name for entry in catalogue]
    return Prometheus(session, settings.prometheus_url, settings.namespace, alerts)


async def _listen(settings: Settings, app: web.Application, stack: AsyncExitStack) -> None:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, settings.host, settings.port).start()
    log.info("listening on port %s", settings.port)


async def _until_stopped(
    work: Iterable[Coroutine[Any, Any, None]],
    store: Store,
    registry: kopf.OperatorRegistry,
    settings: Settings,
) -> None:
    """Whichever ends first ends the others: half an operator is worse than none."""
    watch = _watch(store, registry, settings)
    tasks = {asyncio.create_task(each) for each in (*work, watch)}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _watch(store: Store, registry: kopf.OperatorRegistry, settings: Settings) -> None:
    """Watch until SIGTERM; kopf looks for the kinds once, so not before they exist."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    waits = {asyncio.create_task(event.wait()) for event in (stop, store.watchable)}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    if stop.is_set():
        return
    await kopf.operator(  # from here on SIGTERM is kopf's
        registry=registry,
        settings=_kopf_settings(),
        namespaces=[settings.namespace],
        standalone=True,
        # Unasked, kopf looks for the user's name, and a restricted pod's user has none.
        identity=cast(Any, f"{MANAGER}/{platform.node()}"),
    )


def _registry(store: Store, health: Health) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    def watch(group: str, version: str, plural: str, shelf: Shelf) -> None:
        @kopf.on.event(group, version, plural, registry=registry)
        async def seen(event: kopf.RawEvent, **_: Any) -> None:
            health.heard()
            tell = shelf.drop if event["type"] == "DELETED" else shelf.put
            tell(event["object"])

    kopf.on.login(registry=registry)(kopf.login_via_client)  # the same as kube.py's own
    watch(GROUP, VERSION, PLURAL, store.thresholds)
    watch(RULE_GROUP, RULE_VERSION, RULES, store.rules)
    return registry


class _Patience:
    """Seconds between the tries of a request, without end: kopf would give up, and we with it."""

    def __iter__(self) -> Iterator[float]:
        return chain((1, 1, 2, 3, 5, 8, 13, 21), repeat(30))


class _NoMemory(kopf.DiffBaseStorage):
    """kopf copies each object at each event, to compare it with what it last handled; we don't."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        raise AssertionError("nothing is ever noted on the users' objects")


def _kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True  # it would need rights on the whole cluster
    settings.persistence.diffbase_storage = _NoMemory()
    settings.posting.enabled = False  # our Events go with the status
    # By the server: to lose the label then counts as being deleted, and is repaired as that is.
    settings.watching.label_selectors[RULE_GROUP, RULES] = f"{MANAGED_BY}={MANAGER}"
    # A watch that dies silently: the server ends it, else the client, else silence does.
    settings.watching.server_timeout = 240
    settings.watching.client_timeout = 300
    settings.watching.inactivity_timeout = 90  # bookmarks come every minute
    settings.watching.reconnect_backoff = 1
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = _Patience()
    settings.process.ultimate_exiting_timeout = 20
    return settings
