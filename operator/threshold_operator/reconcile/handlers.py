"""Where kopf comes in: it signs in, lists and watches. Nothing else is left to it.

What it lists it tells the stores; its watches they read before it does. ``on.event`` keeps no
finalizers, annotations or last-handled configuration on the users' objects; what it lacks, retries,
the reconciler and the informer's lists make up for.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import signal
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, repeat
from typing import Any, cast

import aiohttp
import kopf

from threshold_operator.cluster.api import RULES
from threshold_operator.cluster.objects import MANAGER, PREFIX, RULE_GROUP, RULE_VERSION
from threshold_operator.cluster.store import Namespaces
from threshold_operator.model.threshold import GROUP, PLURAL, VERSION
from threshold_operator.reconcile.watching import Feed, Stream
from threshold_operator.telemetry import WATCH_SECONDS, Health

log = logging.getLogger(__name__)

Stop = Callable[[], None]

#: Between two openings of a watch: one that is accepted and closed at once is no hot loop.
PAUSE_SECONDS = 1.0
#: Between two attempts to sign in.
LOGIN_SECONDS = 5.0


async def watch(
    served: str, namespaces: Namespaces, watchable: asyncio.Event, health: Health, stop: Stop
) -> None:
    """Watch one namespace, or all (``""``), for ever.

    :param stop: what SIGTERM does; kopf would take the signal for itself.
    """
    await watchable.wait()  # kopf looks for the kinds once, so not before they exist
    others = asyncio.all_tasks()  # not kopf's: it ends all tasks that it doesn't know when it ends
    tasks = await kopf.spawn_tasks(
        registry=_registry(_feeds(namespaces), health),
        settings=_settings(),
        namespaces=[served] if served else [],
        clusterwide=not served,
        standalone=True,
        # Unasked, kopf looks for the user's name, and a restricted pod's user has none.
        identity=cast(Any, f"{MANAGER}/{platform.node()}"),
    )
    # After kopf, which took the signal for itself: it would end before the Lease is released.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    await kopf.run_tasks(tasks, ignored=others)


def _feeds(namespaces: Namespaces) -> Mapping[str, Feed]:
    """By the plural of the kind."""
    return {
        PLURAL: Feed(GROUP, VERSION, PLURAL, lambda served: namespaces[served].thresholds),
        RULES: Feed(RULE_GROUP, RULE_VERSION, RULES, lambda s: namespaces[s].rules, PREFIX),
    }


def _registry(feeds: Mapping[str, Feed], health: Health) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(_Login(feeds, health).sign_in)
    for kind, feed in feeds.items():
        health.heard(kind)

        @kopf.on.event(feed.group, feed.version, kind, registry=registry)
        async def listed(event: kopf.RawEvent, feed: Feed = feed, **_: Any) -> None:
            feed.take(event)

    return registry


class _Login:
    """Signs in as kube.py does; again where the API server refuses it, and not in a loop."""

    def __init__(self, feeds: Mapping[str, Feed], health: Health) -> None:
        self._listener = _Listener(feeds, health)
        self._pause = 0.0

    async def sign_in(self, **asked: Any) -> kopf.AiohttpSession | None:
        await asyncio.sleep(self._pause)
        self._pause = LOGIN_SECONDS
        info = kopf.login_via_client(**asked)
        if info is None:
            return None
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
            headers=info.as_http_headers(),
            middlewares=[self._listener],
        )
        return kopf.AiohttpSession(server=info.server, aiohttp_session=session)


class _Listener:
    """Reads each watch before kopf does."""

    def __init__(self, feeds: Mapping[str, Feed], health: Health) -> None:
        self._feeds, self._health = feeds, health
        self._open_at: dict[str, float] = {}

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if request.url.query.get("watch") != "true":
            return await handler(request)
        await self._pace(request.url.path)
        response = await handler(request)
        if response.ok:
            feed = self._feeds[request.url.path.rpartition("/")[2]]
            response.content = cast(Any, Stream(response.content, feed, self._health))
        return response

    async def _pace(self, path: str) -> None:
        """A watch that is accepted and closed at once is opened again, but in no hot loop."""
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(max(self._open_at.get(path, now) - now, 0.0))
        self._open_at[path] = asyncio.get_running_loop().time() + PAUSE_SECONDS


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


class _NoProgress(kopf.ProgressStorage):
    """Nor is there progress to look for in each object at each event: ours has no steps."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        raise AssertionError("nothing is ever noted on the users' objects")

    def purge(self, **_: Any) -> None:
        """Nothing was stored."""

    def touch(self, **_: Any) -> None:
        """Nothing is waited for."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True  # it would need rights on the whole cluster
    settings.persistence.diffbase_storage = _NoMemory()
    settings.persistence.progress_storage = _NoProgress()
    settings.posting.enabled = False  # our Events go with the status
    # A watch that dies silently: the server ends it, else silence does, else the client.
    settings.watching.server_timeout = WATCH_SECONDS
    settings.watching.inactivity_timeout = 1.5 * WATCH_SECONDS
    settings.watching.client_timeout = 3 * WATCH_SECONDS
    settings.watching.reconnect_backoff = PAUSE_SECONDS
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = _Patience()
    settings.process.ultimate_exiting_timeout = 20
    return settings
