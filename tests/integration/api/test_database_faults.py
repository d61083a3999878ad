"""A database locked, down, or failed over in mid-commit: nothing is sent that is in doubt."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from tests.integration.api import books
from tests.integration.api.conftest import (
    MARKET_BUY,
    RESTING_BUY,
    Api,
    Simulator,
    keys_file,
    patient,
    running,
    simulating,
    until,
)
from tests.integration.api.test_crashes import Process, serving
from tests.integration.api.test_replicas import ready, serving_two
from tests.postgresql import Postgresql

from stocks_api.settings import Settings

KEY = {"Idempotency-Key": "once"}
#: How long the database is down is given by the specification.
DOWN_SECONDS = 60


class Proxy:
    """In front of PostgreSQL; cuts every connection at the commit of an order, once armed.

    While it is not `flowing`, the server seems to hang.
    """

    def __init__(self, host: str, port: int, arrives: bool) -> None:
        self._target = host, port
        self._arrives = arrives  # whether the commit still reaches the server
        self._writers: list[asyncio.StreamWriter] = []
        self.armed = False
        self.flowing = asyncio.Event()
        self.flowing.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._target)
        self._writers += [writer, back]
        with suppress(ConnectionError):
            await asyncio.gather(self._requests(reader, back, there), self._answers(there, writer))

    async def _requests(
        self,
        client: asyncio.StreamReader,
        server: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
    ) -> None:
        inserting = False
        while chunk := await client.read(65536):
            await self.flowing.wait()
            inserting |= b"INSERT INTO orders" in chunk
            if self.armed and inserting and b"COMMIT" in chunk:
                await self._cut(server, chunk)
                return
            server.write(chunk)
            await server.drain()
        server.close()

    async def _cut(self, server: asyncio.StreamWriter, commit: bytes) -> None:
        self.armed = False
        if self._arrives:
            server.write(commit)
            await server.drain()
        for writer in self._writers:
            writer.close()  # what was written still goes out

    async def _answers(self, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        while chunk := await server.read(65536):
            client.write(chunk)
            await client.drain()
        client.close()


@asynccontextmanager
async def proxied(url: str, arrives: bool) -> AsyncIterator[tuple[Proxy, str]]:
    """The proxy, and the URL through it."""
    user, _, rest = url.partition("@")
    where, _, name = rest.partition("/")
    host, _, port = where.partition(":")
    proxy = Proxy(host, int(port), arrives)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    try:
        yield proxy, f"{user}@127.0.0.1:{server.sockets[0].getsockname()[1]}/{name}"
    finally:
        server.close()


def on(settings: Settings, url: str) -> Settings:
    database = type(settings.database_url)(f"postgresql+asyncpg://{url}")
    switch = settings.api_keys_file.parent / "kill-switch"
    return settings.model_copy(update={"database_url": database, "kill_switch_file": switch})


@pytest.mark.parametrize("arrives", [True, False], ids=["it arrived", "it was lost"])
async def test_an_order_whose_commit_was_cut_off_is_not_sent_and_its_key_gives_one_order(
    settings: Settings, simulator: Simulator, postgresql_url: str, arrives: bool
) -> None:
    async with (
        proxied(postgresql_url, arrives) as (proxy, url),
        running(on(settings, url)) as api,
    ):
        await api.until_ready()
        proxy.armed = True
        answer = await api.post(MARKET_BUY, **KEY)
        assert answer.status_code == 503, answer.text
        assert not proxy.armed
        assert await simulator.orders() == []
        assert await api.count("order_rejections_total", reason="database_down") == 1
        assert (await api.switch("POST")).json()["stored"] is True

        await api.until_ready()  # it leads on, as nobody led meanwhile
        assert await api.count("gateway_leader") == 1
        assert (await api.post(MARKET_BUY)).json()["rule"] == "kill_switch"
        assert (await api.switch("DELETE")).status_code == 200
        again = await until(
            lambda: api.post(MARKET_BUY, **KEY), lambda answer: answer.status_code == 201
        )
        status = "rejected" if arrives else "filled"
        await api.until_status(again.json()["id"], status)
        both = await books.until_they_agree(api, simulator)
        assert len(both.ours) == 1
        assert len(both.theirs) == (0 if arrives else 1)


async def test_while_postgresql_hangs_the_kill_switch_waits_for_nothing(
    settings: Settings, simulator: Simulator, postgresql_url: str
) -> None:
    async with (
        proxied(postgresql_url, arrives=True) as (proxy, url),
        running(on(settings, url)) as api,
    ):
        await api.until_ready()
        resting = (await api.place(RESTING_BUY))["id"]
        proxy.flowing.clear()
        order = asyncio.create_task(api.post(MARKET_BUY, **KEY))
        await api.until_metric("database_up", 0)
        stopping = asyncio.create_task(api.switch("POST", reason="nobody knows what is stored"))
        await until(simulator.orders, lambda orders: orders[0]["status"] == "Cancelled")
        assert (await stopping).json()["stored"] is True
        assert (await order).status_code == 503
        proxy.flowing.set()
        await api.until_ready()
        assert (await api.post(MARKET_BUY, **KEY)).json()["rule"] == "kill_switch"
        assert set(await simulator.arrived()) == {resting}
        await until(lambda: api.switch("DELETE"), lambda got: got.status_code == 200)
        again = await until(lambda: api.post(MARKET_BUY, **KEY), lambda got: got.status_code == 201)
        await api.until_status(again.json()["id"], "filled")
        await books.until_they_agree(api, simulator)


async def test_while_the_table_is_locked_nothing_is_sent_and_the_order_goes_out_afterwards(
    settings: Settings, simulator: Simulator, postgresql_url: str
) -> None:
    async with running(on(settings, postgresql_url)) as api:
        await api.until_ready()
        resting = (await api.place(RESTING_BUY))["id"]
        with psycopg.connect(f"postgresql://{postgresql_url}") as holder:
            holder.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
            first = asyncio.create_task(api.post(MARKET_BUY, **KEY))
            await api.until_metric("database_up", 0)
            await api.until_not_ready()
            stopped = await api.switch("POST", reason="nobody knows what is stored")
            assert stopped.json()["stored"] is True
            await until(simulator.orders, lambda orders: orders[0]["status"] == "Cancelled")
            answer = await first  # after the 10 s that a query may take
            assert answer.status_code == 503, answer.text
            assert set(await simulator.arrived()) == {resting}
            assert await api.count("order_rejections_total", reason="database_down") == 1
            assert await api.count("ib_connection_status") == 1
            assert await api.count("database_up") == 0
        await api.until_ready()
        assert await api.count("database_up") == 1
        await until(
            lambda: api.post(MARKET_BUY, **KEY), lambda got: got.json().get("rule") == "kill_switch"
        )
        await api.switch("DELETE")
        again = await until(lambda: api.post(MARKET_BUY, **KEY), lambda got: got.status_code == 201)
        await api.until_status(again.json()["id"], "filled")
        await books.until_they_agree(api, simulator)


async def test_while_somebody_else_locks_sqlite_a_burst_is_refused_and_goes_out_afterwards(
    settings: Settings, simulator: Simulator, tmp_path: Path
) -> None:
    async def burst(api: Api) -> list[httpx.Response]:
        posts = (api.post(MARKET_BUY, **{"Idempotency-Key": f"k{n}"}) for n in range(20))
        return await asyncio.gather(*posts)

    async with running(patient(settings)) as api:
        await api.until_ready()
        resting = (await api.place(RESTING_BUY))["id"]
        with closing(sqlite3.connect(tmp_path / "stocks.db", isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            first = asyncio.create_task(burst(api))
            await api.until_metric("database_up", 0)
            await api.until_not_ready()
            assert {answer.status_code for answer in await first} == {503}
            assert await api.count("order_rejections_total", reason="database_down") == 20
            assert (await api.switch("POST", reason="locked")).json()["stored"] is True
            await until(simulator.orders, lambda orders: orders[0]["status"] == "Cancelled")
            assert set(await simulator.arrived()) == {resting}
        await api.until_ready()
        assert {answer.json()["rule"] for answer in await burst(api)} == {"kill_switch"}
        await api.switch("DELETE")
        assert {answer.status_code for answer in await burst(api)} <= {201, 202}
        both = await books.until_they_agree(api, simulator)
        assert len(both.ours) == len(both.theirs) == 21


class Desk:
    """Places an order a second, each with a key of its own, at all of its replicas at once."""

    def __init__(self, simulator: Simulator, *replicas: Process) -> None:
        self.simulator = simulator
        self.replicas = replicas
        self.open = True
        self.ids: list[set[str]] = []  # what each order was called; none if it was refused

    async def trickle(self) -> None:
        while self.open:
            self.ids.append(await self.place(len(self.ids), *self.replicas))
            await asyncio.sleep(1)

    async def place(self, number: int, *replicas: Process) -> set[str]:
        order = RESTING_BUY if number % 2 else MARKET_BUY
        posts = (replica.post(order, f"k{number}") for replica in replicas)
        ids = set()
        for answer in await asyncio.gather(*posts, return_exceptions=True):
            if isinstance(answer, httpx.Response) and answer.status_code in (201, 202):
                ids.add(answer.json()["id"])
            elif isinstance(answer, httpx.Response):
                assert answer.status_code in (503, 504), answer.text
            else:  # a replica that was deposed ends
                assert isinstance(answer, httpx.TransportError), answer
        return ids

    async def placed(self) -> int:
        return sum(map(bool, self.ids))

    async def leaders(self) -> list[Process]:
        """Those that lead and are ready for orders."""
        found = []
        for replica in self.replicas:
            with suppress(httpx.TransportError):
                found += [replica] if await ready(replica) else []
        return found

    async def until_it_shows(self) -> None:
        for replica in self.replicas:
            await until(partial(replica.http.get, "/readyz"), lambda got: got.status_code == 503)
            await until(partial(replica.metric, "database_up"), lambda up: up == 0)
        first = self.replicas[0]
        refused = partial(first.metric, "order_rejections_total", reason="database_down")
        await until(refused, lambda count: count > 2)
        assert await first.metric("ib_connection_status") == 1

    async def until_leader(self) -> Process:
        (leader,) = await until(self.leaders, lambda found: len(found) == 1)
        return leader

    async def asks_again(self) -> None:
        """Each order with its key: it is one order, none is lost, and both books tell the same."""
        leader = await self.until_leader()
        for first in range(0, len(self.ids), 10):
            some = range(first, len(self.ids))[:10]
            again = await asyncio.gather(*(self.place(number, leader, leader) for number in some))
            for ids, before in zip(again, self.ids[first:], strict=False):
                assert len(ids | before) == len(ids) == 1
        both = await books.until_they_agree(leader, self.simulator)
        assert len(both.ours) == len(self.ids)


@pytest.mark.timeout(400)
async def test_60_seconds_without_postgresql_lose_and_double_nothing_and_one_replica_leads(
    tmp_path: Path, simulator: Simulator, postgresql: Postgresql, postgresql_url: str
) -> None:
    keys_file(tmp_path)
    one = {"STOCKS_DATABASE_URL": f"postgresql+asyncpg://{postgresql.create_database('one')}"}
    async with (
        simulating() as other,
        serving(tmp_path, other, **one) as alone,
        serving_two(tmp_path, simulator, postgresql_url) as both,
    ):
        desks = [Desk(other, alone), Desk(simulator, both.leader, both.follower)]
        trickles = [asyncio.create_task(desk.trickle()) for desk in desks]
        for desk in desks:
            await until(desk.placed, lambda count: count > 3)
        await asyncio.to_thread(postgresql.stop)
        since = time.monotonic()
        try:
            for desk in desks:
                await desk.until_it_shows()
            sent = [await desk.simulator.arrived() for desk in desks]
            stopped = await alone.switch("POST")
            assert (stopped.status_code, stopped.json()["stored"]) == (200, True)
            await until(other.orders, nothing_rests)
            assert await other.received("RequestGlobalCancel") == 1
            await asyncio.sleep(since + DOWN_SECONDS - time.monotonic())
            assert sent == [await desk.simulator.arrived() for desk in desks]
            before = await desks[1].placed()
        finally:
            await asyncio.to_thread(postgresql.start)

        await until(desks[1].placed, lambda count: count > before + 3)
        assert await desks[0].until_leader() == alone  # it was not started again
        for desk, trickle in zip(desks, trickles, strict=True):
            desk.open = False
            await trickle
        refused = await alone.post(MARKET_BUY, "stopped")
        assert refused.json()["rule"] == "kill_switch"
        assert await other.arrived() == sent[0]
        assert (await alone.switch("DELETE")).json()["active"] is False
        await asyncio.gather(*(desk.asks_again() for desk in desks))


def nothing_rests(orders: list[dict[str, Any]]) -> bool:
    return {order["status"] for order in orders} == {"Filled", "Cancelled"}
