"""PostgreSQL locked, or failed over in mid-commit: nothing is sent that is in doubt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import psycopg
import pytest
from tests.integration.api import books
from tests.integration.api.conftest import MARKET_BUY, RESTING_BUY, Simulator, running, until

from stocks_api.settings import Settings

KEY = {"Idempotency-Key": "once"}


class Proxy:
    """In front of PostgreSQL; cuts every connection at the commit of an order, once armed."""

    def __init__(self, host: str, port: int, arrives: bool) -> None:
        self._target = host, port
        self._arrives = arrives  # whether the commit still reaches the server
        self._writers: list[asyncio.StreamWriter] = []
        self.armed = False

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
    return settings.model_copy(update={"database_url": database})


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

        await api.until_ready()  # it leads on, as nobody led meanwhile
        assert await api.count("gateway_leader") == 1
        again = await until(
            lambda: api.post(MARKET_BUY, **KEY), lambda answer: answer.status_code == 201
        )
        status = "rejected" if arrives else "filled"
        await api.until_status(again.json()["id"], status)
        both = await books.until_they_agree(api, simulator)
        assert len(both.ours) == 1
        assert len(both.theirs) == (0 if arrives else 1)


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
