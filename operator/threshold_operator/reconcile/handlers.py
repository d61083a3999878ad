"""All of kopf: it logs in, lists and watches; the handlers put what it sees into the store.

``on.event`` keeps no finalizers, annotations or last-handled configuration on the users' objects.
It has no retries: the reconcilers and the lists of ``resync`` make up for what gets lost.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from itertools import chain, repeat
from typing import Any, cast

import kopf
from prometheus_client import CollectorRegistry

from threshold_operator.cluster.api import RULES, configuration
from threshold_operator.cluster.objects import MANAGER, PREFIX, RULE_GROUP, RULE_VERSION
from threshold_operator.cluster.store import Objects, Store
from threshold_operator.model.threshold import GROUP, PLURAL, VERSION
from threshold_operator.reconcile.backoff import Backoff
from threshold_operator.reconcile.service import Inputs, connected
from threshold_operator.settings import Settings
from threshold_operator.telemetry import WATCH_SECONDS, Metrics

log = logging.getLogger(__name__)

KOPF = "kopf"
#: After a run of kopf that lasted this long, the next pause is the shortest again.
LASTED_SECONDS = 300.0


def run(settings: Settings) -> None:
    """Run the operator until SIGTERM.

    :raises KubeError: there is neither a service account nor a kubeconfig.
    :raises SystemExit: with 1, a long-lived task of ours ended.
    """
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # One line for each event of each object would bury the rest.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    inputs = Inputs.read(settings, Metrics(CollectorRegistry()))
    asyncio.run(configuration())  # in a startup handler its error would be kopf's
    begin_again_and_again(inputs)


def begin_again_and_again(inputs: Inputs, clock: Callable[[], float] = time.monotonic) -> None:
    """Run kopf until it ends well; after an error with a pause that grows with each."""
    backoff, pause, again = Backoff(), 0.0, True
    while again:
        began = clock()
        again = _run_kopf(inputs, pause)
        if clock() - began > LASTED_SECONDS:
            backoff.succeeded(KOPF)
        pause = backoff.failed(KOPF, now=0.0)


def _run_kopf(inputs: Inputs, pause: float) -> bool:
    """Run kopf until it ends; returns whether it ended by an error, and should begin again.

    An error in a watch (other than 410) ends it, and so does a CRD that is deleted. A restart of
    the pod instead would come ever later: the kubelet waits up to five minutes between two.
    """
    memo = kopf.Memo(inputs=inputs, pause=pause, stop=asyncio.Event(), ended=False)
    served = inputs.settings.namespace
    try:
        kopf.run(
            standalone=True,
            clusterwide=not served,
            namespaces=[served] if served else [],
            memo=memo,
            stop_flag=memo.stop,
            # By default kopf looks up the user's name, and the user of a restricted pod has none.
            identity=cast(Any, f"{MANAGER}/{platform.node()}"),
        )
    except Exception as error:
        if "tasks" not in memo:
            raise  # it never began
        log.error("kopf ended, and begins again: %r", error)
        inputs.metrics.restarts.inc()
        again = True
    else:
        again = False
    if memo.ended:
        raise SystemExit(1)  # a task of ours; that is logged already
    return again


@kopf.on.startup(errors=kopf.ErrorsMode.PERMANENT)
async def start(memo: kopf.Memo, settings: kopf.OperatorSettings, **_: Any) -> None:
    """Connect, and start everything that runs as long as kopf does."""
    _configure(settings)
    memo.connections = AsyncExitStack()
    operator = await memo.connections.enter_async_context(connected(memo.inputs))
    memo.store, memo.health, memo.watchable = operator.store, operator.health, operator.watchable
    memo.tasks = asyncio.create_task(operator.run(), name="the operator")
    memo.tasks.add_done_callback(lambda _: memo.stop.set())


@kopf.on.cleanup(errors=kopf.ErrorsMode.PERMANENT)
async def end(memo: kopf.Memo, **_: Any) -> None:
    """End our tasks, which releases the Lease."""
    memo.ended = memo.tasks.done()  # by itself, so not as it should
    memo.tasks.cancel()
    await asyncio.wait([memo.tasks])
    await memo.connections.aclose()


@kopf.on.login()
async def login(memo: kopf.Memo, **known: Any) -> kopf.ConnectionInfo | None:
    """Log in once the cluster knows both kinds: kopf looks for them once, right after this."""
    await memo.watchable.wait()
    await asyncio.sleep(memo.pause)
    return kopf.login_via_client(**known)


@kopf.on.event(GROUP, VERSION, PLURAL)
async def threshold_seen(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> None:
    """An AlertThreshold was listed, created, changed or deleted."""
    memo.health.heard(PLURAL)
    _take(event, _store(event, memo).thresholds)


def named_as_ours(name: str, **_: Any) -> bool:
    """Not by label: a rule of ours that lost its labels and a foreign one in our way count, too."""
    return name.startswith(PREFIX)


@kopf.on.event(RULE_GROUP, RULE_VERSION, RULES, when=named_as_ours)
async def rule_seen(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> None:
    """A PrometheusRule was listed, created, changed or deleted."""
    memo.health.heard(RULES)
    _take(event, _store(event, memo).rules)


def _store(event: kopf.RawEvent, memo: kopf.Memo) -> Store:
    store: Store = memo.store[event["object"]["metadata"]["namespace"]]
    return store


def _take(event: kopf.RawEvent, objects: Objects) -> None:
    (objects.drop if event["type"] == "DELETED" else objects.put)(event["object"])


class _EndlessBackoffs:
    """Seconds between the tries of a request, without end: kopf would give up and end."""

    def __iter__(self) -> Iterator[float]:
        return chain((1, 1, 2, 3, 5, 8, 13, 21), repeat(30))


def _configure(settings: kopf.OperatorSettings) -> None:
    settings.scanning.disabled = True  # it would need rights on the whole cluster
    settings.posting.enabled = False  # our Events go with the status
    # A watch that dies silently: the server ends it, else silence does, else the client.
    settings.watching.server_timeout = WATCH_SECONDS
    settings.watching.inactivity_timeout = 1.5 * WATCH_SECONDS
    settings.watching.client_timeout = 3 * WATCH_SECONDS
    settings.watching.reconnect_backoff = 1
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = _EndlessBackoffs()
    settings.process.ultimate_exiting_timeout = 20
