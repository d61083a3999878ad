"""Composition root: reads the settings, builds the parts, runs them until SIGTERM."""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from stocks_api.adapters import logs
from stocks_api.adapters.calendars import ExchangeCalendars
from stocks_api.adapters.database import OrderDatabase, open_engine
from stocks_api.adapters.gateway import GatewayConfig, IbGateway, Listeners
from stocks_api.adapters.keys import KeyRing, KeysError, generate_key
from stocks_api.adapters.kill_switch_file import KillSwitchFile
from stocks_api.adapters.kill_switch_shared import SharedKillSwitch
from stocks_api.adapters.leader_lock import PostgresqlLock
from stocks_api.adapters.metrics import CONTENT_TYPE, Metrics
from stocks_api.adapters.replicas import Replicas
from stocks_api.adapters.risk_file import RiskBook, RiskFile, RiskFileError
from stocks_api.api.app import Services, create_app
from stocks_api.api.auth import Authenticator, FailureLimit
from stocks_api.api.middleware import request_id
from stocks_api.domain.errors import Deposed, GatewayUnavailable, KillSwitchActive
from stocks_api.services.database_health import DatabaseHealth, HealthTiming
from stocks_api.services.feeds import Feeds, FeedTiming
from stocks_api.services.heartbeat import Heartbeat
from stocks_api.services.kill_switch import KillSwitch
from stocks_api.services.leadership import Leadership, SoleReplica
from stocks_api.services.link import Link, LinkTiming
from stocks_api.services.market_session import MarketSession
from stocks_api.services.order_writer import OrderWriter
from stocks_api.services.orders import OrderService, OrderTiming
from stocks_api.services.outbox import Outbox
from stocks_api.services.pacing import Pace
from stocks_api.services.portfolio import Portfolio
from stocks_api.services.quotes import Quotes
from stocks_api.services.readiness import Readiness
from stocks_api.services.risk import Risk
from stocks_api.settings import Settings, describe

log = logging.getLogger(__name__)

# Kubernetes sends SIGKILL 30 s after SIGTERM; requests take at most two acknowledgement waits.
_GRACE_SECONDS = 15
_DRAIN_SECONDS = 5  # for what the gateway said last, if the database is slow
_CANCEL_AGAIN_SECONDS = 0.5
# Bytes. Longer ones are cut off without a reason; shorter ones are told which header is too long.
_LONGEST_HEADERS = 2 * 1024 * 1024
_LOCK_OUTLIVES_LEASE = 1.5  # a silent leader stops trading before another can begin
_FIRST_CHECK_SECONDS = 1  # of the database: /healthz answers then, whatever it says


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that lives as long as the process."""

    settings: Settings
    metrics: Metrics
    leadership: Leadership | SoleReplica
    replicas: Replicas
    database: OrderDatabase
    gateway: IbGateway
    keys: KeyRing
    writer: OrderWriter
    outbox: Outbox
    limits: RiskBook
    kill_switch: KillSwitch
    session: MarketSession
    feeds: Feeds
    heartbeat: Heartbeat
    orders: OrderService
    portfolio: Portfolio
    quotes: Quotes
    link: Link
    health: DatabaseHealth


class _Exposition:
    content_type = CONTENT_TYPE

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def __call__(self) -> bytes:
        return self._metrics.exposition()


def build(settings: Settings) -> Parts:
    """Wire the parts; nothing is opened yet. Raises KeysError and RiskFileError."""
    metrics = Metrics(CollectorRegistry(), settings.symbols)
    leadership = _leadership(settings, metrics)
    engine = open_engine(settings.database_url.get_secret_value())
    database = OrderDatabase(engine, metrics, lambda: leadership.epoch)
    pace = Pace()
    gateway = IbGateway(_gateway_config(settings), pace)
    portfolio, quotes = Portfolio(metrics), Quotes(settings.symbols, metrics)
    limits = RiskBook(settings.risk_file, metrics)
    risk = Risk(limits, portfolio, quotes)
    writer = OrderWriter(database, metrics, risk.follow)
    switch_file = KillSwitchFile(settings.kill_switch_path)
    kill_switch = KillSwitch(
        SharedKillSwitch(switch_file, database) if settings.shared else switch_file, metrics
    )

    async def resync() -> None:
        if kill_switch.state is not None:  # it could not be asked when trading was stopped
            gateway.cancel_all()
        await orders.resync()

    def permitted() -> None:
        kill_switch.require()
        leadership.require()
        link.require()

    def stop_trading(stopped: KillSwitchActive) -> None:
        outbox.refuse_waiting(stopped)
        try:
            gateway.cancel_all()
        except GatewayUnavailable as error:
            log.error("nothing is cancelled before the gateway is back: %s", error)

    def link_lost() -> None:
        outbox.refuse_waiting(GatewayUnavailable("the link dropped before its turn came"))
        writer.link_lost()

    link = Link(gateway, resync, metrics, _link_timing(settings), link_lost)
    outbox = Outbox(gateway, writer, pace, permitted)
    kill_switch.on_stop(stop_trading)
    timing = OrderTiming(settings.acknowledge_seconds, settings.resolve_seconds)
    orders = OrderService(
        database, gateway, link, outbox, writer, risk, kill_switch, metrics, timing
    )
    gateway.listen(Listeners(writer, portfolio, quotes, link, metrics))
    session = MarketSession(settings.calendar, ExchangeCalendars(), metrics)
    return Parts(
        settings=settings,
        metrics=metrics,
        leadership=leadership,
        replicas=Replicas(),
        database=database,
        gateway=gateway,
        keys=KeyRing(settings.api_keys_file),
        writer=writer,
        outbox=outbox,
        limits=limits,
        kill_switch=kill_switch,
        session=session,
        feeds=Feeds(quotes, session, link, gateway, _feed_timing(settings)),
        heartbeat=Heartbeat(metrics),
        orders=orders,
        portfolio=portfolio,
        quotes=quotes,
        link=link,
        health=DatabaseHealth(database, metrics, HealthTiming(settings.database_probe_seconds)),
    )


def create(settings: Settings, on_crash: Callable[[], None] = lambda: None) -> FastAPI:
    """The application, ready for any ASGI server. Raises KeysError."""
    parts = build(settings)
    services = Services(
        orders=parts.orders,
        portfolio=parts.portfolio,
        quotes=parts.quotes,
        kill_switch=parts.kill_switch,
        authenticator=Authenticator(
            parts.keys, parts.metrics, FailureLimit(settings.auth_failures_per_minute)
        ),
        leader=parts.leadership,
        replicas=parts.replicas,
        readiness=Readiness(
            settings.gateway_mode, parts.leadership, parts.link, parts.health, parts.writer
        ),
        exposition=_Exposition(parts.metrics),
        metrics=parts.metrics,
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with _background(parts, on_crash):
            yield

    return create_app(services, lifespan)


@asynccontextmanager
async def _background(parts: Parts, on_crash: Callable[[], None]) -> AsyncIterator[None]:
    """Runs what lives beside the requests; ends it in an order that loses nothing."""
    log.info("gateway mode is %s", parts.settings.gateway_mode.upper())
    writer = _start(parts.writer.run(), on_crash)
    others: list[asyncio.Task[None]] = []

    def start(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        others.append(_start(coroutine, on_crash))
        return others[-1]

    start(parts.health.run())
    try:
        # The schema comes first, unless the database hangs: then nothing waits for it.
        await parts.health.wait_checked(_FIRST_CHECK_SECONDS)
        if not parts.settings.shared:  # else it is read from the database at the reign's begin
            await parts.kill_switch.load()
        for coroutine in (
            _lead(parts, start),
            parts.keys.watch(),
            parts.limits.watch(),
            parts.session.run(),
            parts.heartbeat.run(),
            parts.kill_switch.watch(),
        ):
            start(coroutine)
        yield
    finally:
        await _within(_DRAIN_SECONDS, _settle(parts))
        await _end(others)  # the gateway is closed, so no new facts come
        await _within(_DRAIN_SECONDS, parts.writer.drain())
        await _end([writer])
        await parts.leadership.close()  # only now: what was stored is ours until here
        await parts.replicas.close()
        await parts.database.close()


async def _settle(parts: Parts) -> None:
    """Ask once more about orders in doubt: whoever starts next may not be asked for hours."""
    await parts.writer.drain()
    await parts.orders.resolve_doubts()


async def _within(seconds: float, ending: Coroutine[Any, Any, None]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await ending


async def _lead(
    parts: Parts, start: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
) -> None:
    """Wait for our reign, and trade until another replica's begins. Raises Deposed.

    A deposed replica ends, and starts anew as a follower: what it knows is of another reign.
    """
    await parts.leadership.win()
    await parts.kill_switch.load()
    reign = [
        start(coroutine)
        for coroutine in (
            parts.link.run(),
            parts.outbox.run(),
            parts.orders.resolve_forever(),
            parts.feeds.run(),
        )
    ]
    try:
        await parts.leadership.keep()
    except Deposed:
        await _end(reign)  # at once: the gateway refuses the next leader while it has our session
        raise


def _start(
    coroutine: Coroutine[Any, Any, None], on_crash: Callable[[], None]
) -> asyncio.Task[None]:
    """A task that must never end by itself: if it does, the process must not live on half dead."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("a background task crashed", exc_info=error)
            on_crash()

    task = asyncio.create_task(coroutine)
    task.add_done_callback(ended)
    return task


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel until it works: a library that swallows a cancellation must not hang the end."""
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_CANCEL_AGAIN_SECONDS)


def _leadership(settings: Settings, metrics: Metrics) -> Leadership | SoleReplica:
    if not settings.shared:
        return SoleReplica(metrics)
    url, lease = settings.database_url.get_secret_value(), settings.lease_seconds
    lock = PostgresqlLock(url, lease * _LOCK_OUTLIVES_LEASE)
    return Leadership(lock, metrics, settings.own_url, lease)


def _gateway_config(settings: Settings) -> GatewayConfig:
    return GatewayConfig(
        host=settings.gateway_host,
        port=settings.gateway_port,
        client_id=settings.gateway_client_id,
        symbols=settings.symbols,
        live=settings.gateway_mode == "live",
        request_timeout=settings.probe_timeout_seconds,
    )


def _link_timing(settings: Settings) -> LinkTiming:
    return LinkTiming(
        probe_every=settings.probe_seconds,
        probe_timeout=settings.probe_timeout_seconds,
        stale_after=settings.stale_seconds,
        reconnect_min=settings.reconnect_min_seconds,
        reconnect_max=settings.reconnect_max_seconds,
    )


def _feed_timing(settings: Settings) -> FeedTiming:
    patience = settings.feed_silence_seconds
    return FeedTiming(patience, look_every=patience / 12)


class _Server(uvicorn.Server):
    """uvicorn, but SIGTERM ends it with exit code 0: it would raise the signal again."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self.handle_exit, signum, None)
        yield


async def serve(settings: Settings) -> None:
    """Run until SIGTERM. Raises KeysError."""
    crashed = asyncio.Event()

    def on_crash() -> None:
        crashed.set()
        server.should_exit = True

    config = uvicorn.Config(
        create(settings, on_crash),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        lifespan="on",
        h11_max_incomplete_event_size=_LONGEST_HEADERS,
    )
    server = _Server(config)
    await server.serve()
    if crashed.is_set():
        sys.exit(1)


def main(arguments: Sequence[str] | None = None) -> None:
    """`stocks-api`: serve, or make a key."""
    options = _parser().parse_args(arguments)
    if options.command == "risk-schema":
        print(json.dumps(RiskFile.model_json_schema(), indent=2))
        return
    if options.command == "hash-key":
        _print_key(options.name, options.scopes)
        return
    try:
        settings = Settings()
        logs.configure(settings.log_level, request_id.get)
        asyncio.run(serve(settings))
    except ValidationError as error:
        sys.exit(f"stocks-api: settings are wrong\n{_explain(error)}")
    except (KeysError, RiskFileError) as error:
        sys.exit(f"stocks-api: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stocks-api",
        description="Stock orders through Interactive Brokers Gateway, instrumented.",
        epilog=f"environment:\n{describe()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="[serve | hash-key | risk-schema]")
    commands.add_parser("serve", help="run the API (the default)")
    hash_key = commands.add_parser("hash-key", help="print a random API key and its entry")
    hash_key.add_argument("--name", default="desk", help="the client's name")
    hash_key.add_argument("--scopes", default="read, trade", help="comma-separated")
    commands.add_parser("risk-schema", help="print the JSON schema of STOCKS_RISK_FILE")
    return parser


def _print_key(name: str, scopes: str) -> None:
    key, digest = generate_key()
    print(f"key, for the client; it is stored nowhere: {key}")
    print(f"entry for {os.environ.get('STOCKS_API_KEYS_FILE', 'keys.yaml')}:")
    print(f"keys:\n  - {{name: {name}, sha256: {digest}, scopes: [{scopes}]}}")


def _explain(error: ValidationError) -> str:
    """Variable and reason, never the value: it may be a secret."""
    lines = []
    for problem in error.errors():
        name = "_".join(["STOCKS", *(str(part).upper() for part in problem["loc"][:1])])
        lines.append(f"  {name if problem['loc'] else 'STOCKS_*'}: {problem['msg']}")
    return "\n".join(lines)
