"""kopf runs for real, without a cluster: how the process begins, ends, and begins again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, cast

import kopf
import pytest
from prometheus_client import CollectorRegistry
from tests.unit.operator.fakes import Clock

from threshold_operator.cluster.api import RULES
from threshold_operator.cluster.store import Namespaces
from threshold_operator.model.threshold import GROUP, KIND, PLURAL, VERSION
from threshold_operator.reconcile import handlers
from threshold_operator.reconcile.service import Inputs
from threshold_operator.settings import Settings
from threshold_operator.telemetry import SILENT_AFTER_SECONDS, Health, Metrics

#: kopf gives its handlers more than they ask for.
SEEN = cast(Any, handlers)

Run = Callable[[], Coroutine[Any, Any, None]]

KINDS = f"/apis/{GROUP}/{VERSION}"
RESOURCE = {"singularName": "", "namespaced": True, "verbs": ["list", "watch"]}
META = {"name": "tight", "namespace": "desk", "uid": "u1", "resourceVersion": "1"}
VERSIONS = [{"version": VERSION}]
ANSWERS = {
    "/api": {"versions": ["v1"]},
    "/api/v1": {"resources": [{**RESOURCE, "name": "namespaces", "kind": "Namespace"}]},
    "/apis": {"groups": [{"name": GROUP, "versions": VERSIONS, "preferredVersion": VERSIONS[0]}]},
    KINDS: {"resources": [{**RESOURCE, "name": PLURAL, "kind": KIND}]},
    f"{KINDS}/namespaces/desk/{PLURAL}": {
        "metadata": {"resourceVersion": "1"},
        "items": [{"metadata": META}],
    },
}


class ApiServer(BaseHTTPRequestHandler):
    """One AlertThreshold; its watch says ``news``, and nothing more until ``stopped``."""

    stopped: ClassVar[threading.Event]
    news: ClassVar[dict[str, Any]] = {"type": "BOOKMARK", "object": {"metadata": META}}

    def handle(self) -> None:
        with suppress(OSError):  # kopf hangs up when it ends
            super().handle()

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        watch = "watch=true" in query
        self.wfile.write(json.dumps(self.news if watch else ANSWERS[path]).encode() + b"\n")
        if watch:
            self.stopped.wait()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[ApiServer]]:
    class Handler(ApiServer):
        stopped = threading.Event()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(kopf, "login_via_client", lambda **_: kopf.ConnectionInfo(server=url))
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield Handler
        Handler.stopped.set()
        server.shutdown()


async def forever() -> None:
    await asyncio.Event().wait()


class World:
    """What the handlers connect to: its ``run`` is the work, ``closed`` counts disconnections."""

    def __init__(self) -> None:
        self.work: Run = forever
        self.closed = 0

    @asynccontextmanager
    async def connected(self, _: Inputs) -> AsyncIterator[World]:
        self.store, self.health = Namespaces("desk"), Health()
        self.watchable = asyncio.Event()
        yield self
        self.closed += 1

    async def run(self) -> None:
        """The work begins when kopf is at its own, and has listed the object."""
        self.watchable.set()
        await self.store["desk"].changed.wait()
        await self.work()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, api: type[ApiServer]) -> World:
    world = World()
    monkeypatch.setattr(handlers, "connected", world.connected)
    return world


@pytest.fixture
def inputs(monkeypatch: pytest.MonkeyPatch) -> Inputs:
    monkeypatch.setenv("THRESHOLDS_NAMESPACE", "desk")
    settings = Settings.from_environment()
    return Inputs.read(settings, Metrics(CollectorRegistry()))


async def is_terminated() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    await forever()


def test_sigterm_ends_our_tasks_and_closes_what_is_open(world: World, inputs: Inputs) -> None:
    released: list[bool] = []

    async def work() -> None:
        try:
            await is_terminated()
        finally:
            await asyncio.sleep(0)  # as the release of the Lease does
            released.append(True)

    world.work = work
    assert handlers._run_kopf(inputs, pause=0) is False
    assert released
    assert world.closed == 1


async def returns() -> None:
    pass


async def fails() -> None:
    raise ValueError("a mistake")


async def is_cancelled() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize("ends", [returns, fails, is_cancelled])
def test_our_tasks_that_end_by_themselves_end_the_process(
    world: World, inputs: Inputs, ends: Run
) -> None:
    world.work = ends
    with pytest.raises(SystemExit) as ended:
        handlers._run_kopf(inputs, pause=0)
    assert ended.value.code == 1
    assert world.closed == 1


def test_an_error_in_a_watch_ends_kopf_which_begins_again(
    world: World, inputs: Inputs, api: type[ApiServer], caplog: pytest.LogCaptureFixture
) -> None:
    api.news = {"type": "ERROR", "object": {"code": 500}}
    assert handlers._run_kopf(inputs, pause=0) is True
    assert "kopf ended, and begins again" in caplog.text
    assert world.closed == 1
    assert inputs.metrics.registry.get_sample_value("thresholds_watch_restarts_total") == 1


def test_each_new_beginning_waits_longer_but_not_after_a_long_life(
    inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, pauses = Clock(), list[float]()
    lives = [1.0, 1.0, 1.0, handlers.LASTED_SECONDS + 1, 1.0]

    def live(_: Inputs, pause: float) -> bool:
        pauses.append(pause)
        clock.seconds += lives[len(pauses) - 1]
        return len(pauses) < len(lives)

    monkeypatch.setattr(handlers, "_run_kopf", live)
    handlers.begin_again_and_again(inputs, clock)
    assert pauses == [0, 2, 4, 8, 2]


def body(name: str, version: int) -> dict[str, Any]:
    meta = {"name": name, "namespace": "desk", "uid": name, "resourceVersion": str(version)}
    return {"metadata": meta}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memo(clock: Clock) -> kopf.Memo:
    return kopf.Memo(store=Namespaces("desk"), health=Health(clock))


async def test_what_kopf_sees_goes_into_the_store_of_its_namespace(
    memo: kopf.Memo,
) -> None:
    store = memo.store["desk"]
    for kind, version in ((None, 1), ("ADDED", 2), ("MODIFIED", 3)):
        event = {"type": kind, "object": body("tight", version)}
        await SEEN.threshold_seen(event=event, memo=memo)
        assert store.thresholds["tight"]["metadata"]["resourceVersion"] == str(version)
    rule = {"type": "ADDED", "object": body("threshold-tight", 4)}
    await SEEN.rule_seen(event=rule, memo=memo)
    assert "threshold-tight" in store.rules
    await SEEN.threshold_seen(event={"type": "DELETED", "object": body("tight", 5)}, memo=memo)
    assert "tight" not in store.thresholds


async def test_each_event_says_that_the_watch_of_its_kind_is_alive(
    memo: kopf.Memo, clock: Clock
) -> None:
    for kind in (PLURAL, RULES):
        memo.health.missed(kind)
    clock.seconds += SILENT_AFTER_SECONDS + 1
    memo.health.listed()
    assert len(list(memo.health.complaints())) == 2
    event = {"type": None, "object": body("threshold-tight", 1)}
    await SEEN.threshold_seen(event=event, memo=memo)
    assert len(list(memo.health.complaints())) == 1
    await SEEN.rule_seen(event=event, memo=memo)
    assert list(memo.health.complaints()) == []


@pytest.mark.parametrize(("name", "ours"), [("threshold-tight", True), ("kubernetes-apps", False)])
def test_rules_are_ours_by_name(name: str, ours: bool) -> None:
    """Not by label: a hand takes labels away, and a foreign rule may be in our way."""
    assert SEEN.named_as_ours(name=name, labels={}) is ours
