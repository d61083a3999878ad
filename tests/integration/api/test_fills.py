"""Executions and what they cost: late, lost, said twice, or without our name on them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.api.conftest import (
    MARKET_BUY,
    RESTING_BUY,
    Api,
    Simulator,
    running,
    until,
)

from stocks_api.settings import Settings

#: What the simulator charges for 10 shares, USD.
FEE = "1"
NAMED = ["open-order", "execution", "completed-order"]

Order = dict[str, Any]


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def database(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    if request.param == "SQLite":
        return settings
    where = request.getfixturevalue("postgresql_url")
    url = type(settings.database_url)(f"postgresql+asyncpg://{where}")
    return settings.model_copy(update={"database_url": url})


async def irregular(api: Api, message: str, reason: str) -> float:
    return await api.count("ib_irregular_messages_total", message=message, reason=reason)


async def until_irregular(api: Api, message: str, reason: str) -> None:
    await until(lambda: irregular(api, message, reason), lambda count: count >= 1)


async def reconnect(api: Api, simulator: Simulator) -> None:
    drops = await api.count("ib_disconnects_total", reason="closed")
    await simulator.inject("drop")
    await api.until_metric("ib_disconnects_total", drops + 1, reason="closed")
    await api.until_ready()


async def until_charged(api: Api, order_id: str) -> Order:
    """The order with one fill, whose commission is known."""

    def charged(order: Order) -> bool:
        return [fill["commission"] for fill in order["fills"]] == [FEE]

    return await until(lambda: api.order(order_id), charged)


async def bought(api: Api) -> str:
    """A market order that is filled."""
    placed = await api.place(MARKET_BUY)
    await api.until_status(placed["id"], "filled")
    return str(placed["id"])


async def test_a_fill_has_its_commission_and_an_order_the_gateways_id(
    database: Settings, simulator: Simulator
) -> None:
    async with running(database) as api:
        await api.until_ready()
        order = await until_charged(api, await bought(api))
        (there,) = await simulator.orders()
        assert order["perm_id"] == there["perm_id"]
        assert order["fills"][0]["commission_currency"] == "USD"
        assert await api.orders() == [order]
    async with running(database) as again:
        assert await again.order(order["id"]) == order


async def test_commissions_that_are_late_come_to_their_fills(
    api: Api, simulator: Simulator
) -> None:
    await simulator.inject("messages", fate="late", kinds=["commission"])
    bought_late = [await bought(api) for _ in range(2)]
    assert (await api.order(bought_late[0]))["fills"][0]["commission"] is None
    await simulator.heal()
    for order_id in bought_late:
        await until_charged(api, order_id)


@pytest.mark.parametrize("fate", ["lost", "unset"])
async def test_a_commission_that_never_comes_is_asked_for_and_found_after_a_reconnect(
    database: Settings, simulator: Simulator, fate: str
) -> None:
    async with running(database) as api:
        await api.until_ready()
        await simulator.inject("messages", fate=fate, kinds=["commission"])
        order_id = await bought(api)
        await until_irregular(api, "commission", "missing")
        await reconnect(api, simulator)
        order = await api.order(order_id)
        assert order["status"] == "filled"
        unknown = [(one["commission"], one["commission_currency"]) for one in order["fills"]]
        assert unknown == [(None, None)]
        await simulator.heal()
        await reconnect(api, simulator)
        await until_charged(api, order_id)


async def test_an_execution_that_its_commission_overtakes_has_it_all_the_same(
    api: Api, simulator: Simulator
) -> None:
    await simulator.inject("messages", fate="late", kinds=["execution"])
    order_id = await bought(api)  # by its status alone
    await until_irregular(api, "execution", "missing")
    assert (await api.order(order_id))["fills"] == []
    await simulator.heal()
    await until_charged(api, order_id)
    assert await irregular(api, "execution", "late") >= 1


async def test_what_is_said_twice_is_counted_and_changes_nothing(
    api: Api, simulator: Simulator
) -> None:
    await simulator.inject("messages", fate="twice", kinds=["execution", "commission"])
    order = await until_charged(api, await bought(api))
    await until_irregular(api, "commission", "duplicate")
    assert await irregular(api, "execution", "duplicate") == 1
    assert await api.order(order["id"]) == order
    assert await api.count("orders_total", side="BUY", order_type="MKT", status="filled") == 1


async def test_statuses_that_come_after_the_fill_are_counted_as_late(
    api: Api, simulator: Simulator
) -> None:
    await simulator.inject("messages", fate="late", kinds=["order-status"])
    order_id = await bought(api)  # by its execution alone
    await simulator.heal()
    await until_irregular(api, "order_status", "late")
    assert (await api.order(order_id))["status"] == "filled"


async def test_orders_without_their_name_are_known_by_the_gateways_id(
    api: Api, simulator: Simulator
) -> None:
    resting, filled_meanwhile = (
        await api.place(RESTING_BUY),
        await api.place(RESTING_BUY | {"limit_price": 100}),
    )
    await simulator.inject("messages", fate="nameless", kinds=NAMED)
    await until_charged(api, await bought(api))
    await reconnect(api, simulator)  # what the session remembers is gone
    await simulator.inject("price", symbol="AAPL", price=99)
    await until_charged(api, filled_meanwhile["id"])

    answer = await api.patch(resting["id"], limit_price=1.25)
    assert (answer.status_code, answer.json()["limit_price"]) == (200, "1.25")
    assert {one["order_ref"] for one in await simulator.orders()} == {
        one["id"] for one in await api.orders()
    }
    assert (await api.delete(resting["id"])).json()["status"] == "cancelled"
    for kind in ("LMT", "MKT"):
        labels = {"side": "BUY", "order_type": kind, "status": "unresolved"}
        assert await api.count("orders_total", **labels) == 0


async def test_what_filled_without_us_and_without_its_name_is_known_by_the_gateways_id(
    api: Api, simulator: Simulator
) -> None:
    await simulator.inject("hold-fills")
    waiting = await api.place(MARKET_BUY)
    await simulator.inject("messages", fate="nameless", kinds=NAMED)
    await simulator.inject("refuse", seconds=1)
    await api.until_metric("ib_connection_status", 0)
    await simulator.inject("hold-fills", seconds=0.01)
    await until_charged(api, waiting["id"])
    assert (await api.order(waiting["id"]))["status"] == "filled"
