"""The link to the gateway: lost, deaf, cut off, restored; and what that does to orders."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import pytest
from tests.integration.api.conftest import (
    MARKET_BUY,
    RESTING_BUY,
    TRADER,
    Api,
    Simulator,
    running,
    simulating,
    until,
)
from tests.ports import free_ports
from tests.postgresql import Postgresql

from stocks_api.settings import Settings

BUY_MKT = {"side": "BUY", "order_type": "MKT"}
BUY_LMT = {"side": "BUY", "order_type": "LMT"}


async def until_down(api: Api) -> None:
    await api.until_metric("ib_connection_status", 0)


async def test_a_dropped_gateway_is_0_then_1_again_without_a_restart(
    api: Api, simulator: Simulator
) -> None:
    assert await api.count("ib_connection_status") == 1
    await simulator.inject("refuse", seconds=1)
    await until_down(api)
    await api.until_metric("ib_connection_status", 1)
    assert await api.count("ib_disconnects_total", reason="closed") == 1


async def test_while_the_gateway_is_down_orders_are_refused_and_nothing_is_sent(
    api: Api, simulator: Simulator
) -> None:
    await simulator.inject("refuse", seconds=3600)
    await until_down(api)
    answer = await api.post(MARKET_BUY)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["content-type"] == "application/problem+json"
    assert "gateway" in answer.json()["detail"]
    assert await api.count("order_rejections_total", reason="gateway_down") == 1
    await simulator.heal()
    await api.until_ready()
    assert await simulator.orders() == []
    assert (await api.json("/v1/orders"))["orders"] == []


async def test_an_earlier_order_is_replayed_even_while_the_gateway_is_down(
    api: Api, simulator: Simulator
) -> None:
    first = await api.post(RESTING_BUY, **{"Idempotency-Key": "k"})
    await simulator.inject("refuse", seconds=3600)
    await until_down(api)
    again = await api.post(RESTING_BUY, **{"Idempotency-Key": "k"})
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])


@pytest.mark.parametrize("mode", ["hung", "mute"])
async def test_a_deaf_gateway_with_an_open_socket_is_noticed(
    api: Api, simulator: Simulator, mode: str
) -> None:
    await simulator.inject("deaf", mode=mode)
    started = time.monotonic()
    await until_down(api)
    assert time.monotonic() - started < 15  # with the default timing, see the unit tests
    assert await api.count("ib_disconnects_total", reason="unresponsive") == 1
    assert (await api.post(MARKET_BUY)).status_code == 503
    await simulator.heal()
    await api.until_metric("ib_connection_status", 1)


async def test_the_last_round_trip_stands_still_while_the_gateway_is_deaf(
    api: Api, simulator: Simulator
) -> None:
    name = "ib_last_roundtrip_timestamp_seconds"
    first = await api.count(name)
    await until(lambda: api.count(name), lambda at: at > first)
    await simulator.inject("deaf")
    await until_down(api)
    stood = await api.count(name)
    await asyncio.sleep(0.5)  # a reconnect is tried meanwhile
    assert await api.count(name) == stood


async def test_without_a_gateway_the_api_serves_and_says_why_it_is_not_ready(
    settings: Settings,
) -> None:
    nowhere = settings.model_copy(update={"gateway_port": free_ports(1)[0]})
    started = time.time()
    async with running(nowhere) as api:
        answer = await api.until_not_ready()
        assert answer.json()["checks"]["database"]["ok"]
        await until(
            lambda: api.get("/readyz"),
            lambda found: "cannot connect" in found.json()["checks"]["gateway"]["detail"],
        )
        health = await api.get("/healthz", key=None)
        assert (health.status_code, health.json()["gateway"]) == (200, "SIMULATED")
        assert await api.count("ib_connection_status") == 0
        # Never 0: "seconds since" must not read 1.7e9 before the first answer.
        since = await api.count("ib_last_roundtrip_timestamp_seconds")
        assert abs(since - started) < 30


async def test_a_gateway_that_comes_later_is_found(settings: Settings) -> None:
    port = free_ports(1)[0]
    async with running(settings.model_copy(update={"gateway_port": port})) as api:
        await api.until_not_ready()
        async with simulating(port=port):
            await api.until_ready()


async def test_a_fill_while_disconnected_is_recovered_exactly_once(
    api: Api, simulator: Simulator
) -> None:
    await simulator.inject("hold-fills")
    placed = await api.place(MARKET_BUY)
    assert placed["status"] == "accepted"
    await simulator.inject("refuse", seconds=1)
    await until_down(api)
    await simulator.inject("hold-fills", seconds=0.01)
    order = await api.until_status(placed["id"], "filled")
    assert order["filled_quantity"] == "10"
    assert await api.count("orders_total", **BUY_MKT, status="accepted") == 1
    assert await api.count("orders_total", **BUY_MKT, status="filled") == 1
    await api.until_metric("position_size", 10, symbol="AAPL")


async def test_a_lost_acknowledgement_is_unresolved_then_settled_never_resent(
    api: Api, simulator: Simulator
) -> None:
    await simulator.inject("deaf", mode="mute")
    answer = await api.post(RESTING_BUY)
    assert (answer.status_code, answer.json()["status"]) == (202, "unresolved")
    assert await api.count("orders_unresolved") == 1
    assert await api.count("orders_total", **BUY_LMT, status="unresolved") == 1
    await simulator.heal()
    order = await api.until_status(answer.json()["id"], "accepted")
    assert [change["status"] for change in order["history"]] == [
        "pending",
        "unresolved",
        "accepted",
    ]
    assert await api.count("orders_unresolved") == 0
    assert len(await simulator.orders()) == 1


async def test_an_order_cut_off_before_its_answer_is_settled_after_the_reconnect(
    api: Api, simulator: Simulator
) -> None:
    await simulator.inject("deaf", mode="mute")
    pending = asyncio.create_task(api.post(RESTING_BUY))
    await until(simulator.orders, lambda orders: len(orders) == 1)
    await simulator.inject("drop")
    answer = await pending
    assert answer.json()["status"] == "unresolved"
    assert "dropped" in answer.json()["reason"]
    await simulator.heal()
    await api.until_status(answer.json()["id"], "accepted")


async def test_an_order_that_the_gateway_forgot_is_unresolved(settings: Settings) -> None:
    port = free_ports(1)[0]
    async with running(settings.model_copy(update={"gateway_port": port})) as api:
        async with simulating(port=port):
            await api.until_ready()
            placed = await api.place(RESTING_BUY)
        async with simulating(port=port):
            order = await api.until_status(placed["id"], "unresolved")
            assert "does not know" in order["reason"]
            answer = await api.delete(placed["id"])
            assert answer.status_code == 409


async def test_after_a_reconnect_positions_quotes_and_pnl_go_on(
    api: Api, simulator: Simulator
) -> None:
    placed = await api.place(MARKET_BUY)
    await api.until_status(placed["id"], "filled")
    await simulator.inject("drop")
    await api.until_metric("ib_disconnects_total", 1, reason="closed")
    await api.until_ready()
    tick = await api.count("market_data_last_tick_timestamp_seconds", symbol="AAPL")
    await until(
        lambda: api.count("market_data_last_tick_timestamp_seconds", symbol="AAPL"),
        lambda at: at > tick,
    )
    await simulator.inject("price", symbol="AAPL", factor=3)
    await until(lambda: api.metric("pnl_unrealized_total"), lambda pnl: (pnl or 0) > 1000)
    await until(lambda: api.count("position_pnl_unrealized", symbol="AAPL"), lambda pnl: pnl > 1000)


async def test_an_order_of_an_earlier_session_can_be_cancelled(
    api: Api, simulator: Simulator
) -> None:
    placed = await api.place(RESTING_BUY)
    await simulator.inject("drop")
    await api.until_metric("ib_disconnects_total", 1, reason="closed")
    await api.until_ready()
    answer = await api.delete(placed["id"])
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert await api.count("orders_total", **BUY_LMT, status="accepted") == 1


@pytest.mark.parametrize("restored", [1101, 1102])
async def test_a_gateway_cut_off_from_its_servers_takes_no_orders_until_restored(
    api: Api, simulator: Simulator, restored: int
) -> None:
    await simulator.inject("system", code=1100)
    await until_down(api)
    assert (await api.post(MARKET_BUY)).status_code == 503
    stood = await api.count("ib_last_roundtrip_timestamp_seconds")
    asked = await simulator.received("RequestCurrentTime")
    await until(  # two round trips at least are answered meanwhile, and prove nothing
        lambda: simulator.received("RequestCurrentTime"), lambda now: now >= asked + 3
    )
    assert await api.count("ib_connection_status") == 0
    assert await api.count("ib_last_roundtrip_timestamp_seconds") == stood
    await simulator.inject("system", code=restored)
    await api.until_ready()
    assert await api.count("ib_disconnects_total", reason="upstream") == 1
    tick = await api.count("market_data_last_tick_timestamp_seconds", symbol="AAPL")
    await until(
        lambda: api.count("market_data_last_tick_timestamp_seconds", symbol="AAPL"),
        lambda at: at > tick,
    )
    await api.until_status((await api.place(MARKET_BUY))["id"], "filled")


async def test_a_real_account_is_refused_by_a_simulated_setting(settings: Settings) -> None:
    async with simulating(account="U7654321") as real:
        there = settings.model_copy(update={"gateway_port": real.port})
        async with running(there) as api:
            await until(
                lambda: api.get("/readyz"),
                lambda found: "not a paper account" in found.text,
            )
            assert await api.count("ib_connection_status") == 0
            assert (await api.post(MARKET_BUY)).status_code == 503


async def test_a_paper_account_is_refused_by_a_live_setting(
    settings: Settings, simulator: Simulator
) -> None:
    live = settings.model_copy(update={"gateway_mode": "live", "live_trading": True})
    async with running(live) as api:
        assert (await api.get("/healthz", key=None)).json()["gateway"] == "LIVE"
        await until(lambda: api.get("/readyz"), lambda found: "is live, but" in found.text)


async def test_a_client_id_in_use_is_named(settings: Settings, simulator: Simulator) -> None:
    async with running(settings) as first:
        await first.until_ready()
        other = settings.api_keys_file.parent / "other.db"
        url = {"database_url": type(settings.database_url)(f"sqlite+aiosqlite:///{other}")}
        async with running(settings.model_copy(update=url)) as second:
            await until(
                lambda: second.get("/readyz"),
                lambda found: "STOCKS_GATEWAY_CLIENT_ID" in found.text,
            )
        assert await first.count("ib_connection_status") == 1


async def test_an_api_that_starts_again_knows_its_orders(
    settings: Settings, simulator: Simulator
) -> None:
    async with running(settings) as api:
        await api.until_ready()
        resting = await api.place(RESTING_BUY)
        await simulator.inject("hold-fills")
        waiting = await api.place(MARKET_BUY)
    await simulator.inject("hold-fills", seconds=0.01)
    async with running(settings) as again:
        await again.until_ready()
        await again.until_status(waiting["id"], "filled")
        assert (await again.order(resting["id"]))["status"] == "accepted"
        assert (await again.delete(resting["id"])).json()["status"] == "cancelled"
        assert await again.count("orders_total", **BUY_MKT, status="accepted") == 0
        assert await again.count("orders_total", **BUY_MKT, status="filled") == 1


async def test_the_whole_path_works_on_postgresql(
    settings: Settings, simulator: Simulator, postgresql_url: str
) -> None:
    url = type(settings.database_url)(f"postgresql+asyncpg://{postgresql_url}")
    async with running(settings.model_copy(update={"database_url": url})) as api:
        await api.until_ready()
        placed = await api.place(MARKET_BUY)
        order = await api.until_status(placed["id"], "filled")
        assert [change["status"] for change in order["history"]][-1] == "filled"
        assert await api.count("database_up") == 1


async def test_an_unreachable_database_is_0_and_orders_are_refused(
    settings: Settings, simulator: Simulator, tmp_path: Path
) -> None:
    url = type(settings.database_url)(f"sqlite+aiosqlite:///{tmp_path}/missing/stocks.db")
    async with running(settings.model_copy(update={"database_url": url})) as api:
        answer = await api.until_not_ready()
        assert not answer.json()["checks"]["database"]["ok"]
        await api.until_metric("ib_connection_status", 1)
        assert await api.count("database_up") == 0
        assert (await api.post(MARKET_BUY)).status_code == 503
        assert (await api.get("/v1/orders", TRADER)).status_code == 503
        assert await simulator.orders() == []
        (tmp_path / "missing").mkdir()
        await api.until_ready()
        assert await api.count("database_up") == 1
        await api.until_status((await api.place(MARKET_BUY))["id"], "filled")


async def test_a_database_that_hangs_at_the_start_does_not_delay_health(
    settings: Settings, simulator: Simulator
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, and never answers
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        url = type(settings.database_url)(f"postgresql+asyncpg://u:p@{where}/stocks")
        started = time.monotonic()
        async with running(settings.model_copy(update={"database_url": url})) as api:
            assert (await api.get("/healthz", key=None)).status_code == 200
            assert time.monotonic() - started < 2
            assert await api.count("database_up") == 0
            assert (await api.get("/readyz")).status_code == 503


async def test_an_order_that_is_sent_when_the_database_goes_is_not_called_refused(
    settings: Settings, simulator: Simulator, postgresql: Postgresql, postgresql_url: str
) -> None:
    url = type(settings.database_url)(f"postgresql+asyncpg://{postgresql_url}")
    async with running(settings.model_copy(update={"database_url": url})) as api:
        await api.until_ready()
        await simulator.inject("deaf", mode="mute")
        pending = asyncio.create_task(api.post(RESTING_BUY))
        await until(simulator.orders, lambda orders: len(orders) == 1)
        await asyncio.to_thread(postgresql.stop)
        try:
            answer = await pending
            assert (answer.status_code, answer.json()["status"]) == (202, "pending")
            assert await api.count("order_rejections_total", reason="database_down") == 0
        finally:
            await asyncio.to_thread(postgresql.start)
        await simulator.heal()
        await api.until_status(answer.json()["id"], "accepted")
        assert len(await simulator.orders()) == 1


async def test_a_fill_while_the_database_is_away_is_stored_when_it_is_back(
    settings: Settings, simulator: Simulator, postgresql: Postgresql, postgresql_url: str
) -> None:
    url = type(settings.database_url)(f"postgresql+asyncpg://{postgresql_url}")
    async with running(settings.model_copy(update={"database_url": url})) as api:
        await api.until_ready()
        await simulator.inject("hold-fills")
        placed = await api.place(MARKET_BUY)
        await asyncio.to_thread(postgresql.stop)
        try:
            await api.until_metric("database_up", 0)
            assert (await api.post(MARKET_BUY)).status_code == 503
            assert await api.count("order_rejections_total", reason="database_down") == 1
            await simulator.inject("hold-fills", seconds=0.01)
            await api.until_metric("position_size", 10, symbol="AAPL")
            assert await api.count("orders_total", **BUY_MKT, status="filled") == 0
        finally:
            await asyncio.to_thread(postgresql.start)
        await api.until_ready()
        await api.until_status(placed["id"], "filled")
        assert await api.count("orders_total", **BUY_MKT, status="filled") == 1
        assert len(await simulator.orders()) == 1


async def test_after_a_restart_that_rolls_ids_back_orders_are_told_apart_by_our_own(
    api: Api, simulator: Simulator
) -> None:
    resting = await api.place(RESTING_BUY)
    # Requests of the next session count on from the same number: enough to be caught up with.
    filled = await asyncio.gather(*(api.place(MARKET_BUY) for _ in range(40)))
    for order in filled:
        await api.until_status(order["id"], "filled")
    lost = await api.place(RESTING_BUY)
    await simulator.inject("restart", seconds=0.5, forget=1)
    await api.until_metric("ib_disconnects_total", 1, reason="closed")
    await api.until_status(lost["id"], "unresolved")
    await api.until_ready()
    assert await api.count("orders_unresolved") == 1

    again = await api.place(MARKET_BUY)
    await api.until_status(again["id"], "filled")
    ids = [order["order_id"] for order in await simulator.orders()]
    assert len(set(ids)) < len(ids), "the gateway gave no id twice: the test proves nothing"
    for order in await api.orders():
        assert len(order["fills"]) == (order["status"] == "filled")
    assert (await api.delete(resting["id"])).json()["status"] == "cancelled"
    await api.until_metric("position_size", 410, symbol="AAPL")
