"""Stop orders, and orders that are changed while they rest."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.integration.api.conftest import MARKET_BUY, RESTING_BUY, Api, Simulator, until

from gateway_simulator.book import RefusedError

#: Far above the market: it waits for a price that never comes by itself.
STOP_BUY = MARKET_BUY | {"order_type": "STP", "stop_price": 9000}
STOP_LIMIT_BUY = STOP_BUY | {"order_type": "STP_LMT", "limit_price": 9100}


@pytest.mark.parametrize(
    ("order", "price"),
    [(STOP_BUY, None), (STOP_LIMIT_BUY, "9100")],
    ids=["stop", "stop-limit"],
)
async def test_a_stop_order_waits_for_its_price_then_fills(
    api: Api, simulator: Simulator, order: dict[str, Any], price: str | None
) -> None:
    placed = await api.place(order)
    assert (placed["status"], placed["stop_price"]) == ("accepted", "9000")
    assert placed["limit_price"] == price
    (there,) = await simulator.orders()
    assert there["order_type"] == order["order_type"].replace("_", " ")
    await simulator.inject("price", symbol="AAPL", price=9050)
    await api.until_status(placed["id"], "filled")
    labels = {"side": "BUY", "order_type": order["order_type"], "status": "filled"}
    assert await api.count("orders_total", **labels) == 1


async def test_a_change_is_confirmed_by_the_gateway_and_is_in_the_history(
    api: Api, simulator: Simulator
) -> None:
    placed = await api.place(RESTING_BUY)
    answer = await api.patch(placed["id"], quantity=25, limit_price=1.25)
    assert answer.status_code == 200, answer.text
    changed = answer.json()
    assert (changed["quantity"], changed["limit_price"]) == ("25", "1.25")
    assert changed["history"][-1]["detail"] == "changed: quantity 25, limit 1.25, stop -"
    (there,) = await simulator.orders()
    assert (there["quantity"], there["limit_price"]) == (25, 1.25)
    assert await api.count("orders_total", side="BUY", order_type="LMT", status="accepted") == 1


async def test_the_same_request_still_replays_the_order_that_was_changed(api: Api) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await api.post(RESTING_BUY, **headers)
    await api.patch(first.json()["id"], quantity=25)
    again = await api.post(RESTING_BUY, **headers)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])


async def test_a_changed_order_fills_with_its_new_quantity(api: Api, simulator: Simulator) -> None:
    placed = await api.place(RESTING_BUY)
    assert (await api.patch(placed["id"], quantity=4, limit_price=9000)).status_code == 200
    order = await api.until_status(placed["id"], "filled")
    assert order["filled_quantity"] == "4"
    await api.until_metric("position_size", 4, symbol="AAPL")


async def test_an_order_of_an_earlier_session_can_be_changed(
    api: Api, simulator: Simulator
) -> None:
    placed = await api.place(RESTING_BUY)
    await simulator.inject("drop")
    await api.until_metric("ib_disconnects_total", 1, reason="closed")
    await api.until_ready()
    answer = await api.patch(placed["id"], limit_price=1.5)
    assert (answer.status_code, answer.json()["limit_price"]) == (200, "1.5")
    assert len(await simulator.orders()) == 1


async def test_a_final_order_cannot_be_changed(api: Api) -> None:
    placed = await api.place(MARKET_BUY)
    await api.until_status(placed["id"], "filled")
    answer = await api.patch(placed["id"], quantity=11)
    assert answer.status_code == 409
    assert "filled" in answer.json()["detail"]


async def test_a_change_that_the_order_cannot_have_is_refused(api: Api) -> None:
    placed = await api.place(RESTING_BUY)
    answer = await api.patch(placed["id"], stop_price=2)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "stop_price"


def _refuse(*_args: object) -> None:
    raise RefusedError(201, "Order rejected - reason:margin is short")


async def test_a_change_that_the_gateway_refuses_leaves_the_order_alive(
    api: Api, simulator: Simulator
) -> None:
    placed = await api.place(RESTING_BUY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulator.server.gateway.desk.exchange, "modify", _refuse)
        answer = await api.patch(placed["id"], quantity=25)
    assert answer.status_code == 409, answer.text
    assert "margin is short" in answer.json()["detail"]
    order = await api.order(placed["id"])
    assert (order["status"], order["quantity"]) == ("accepted", "10")
    assert (await api.patch(placed["id"], quantity=11)).status_code == 200
    assert (await api.delete(placed["id"])).json()["status"] == "cancelled"


async def test_a_change_whose_answer_is_lost_is_known_after_the_reconnect(
    api: Api, simulator: Simulator
) -> None:
    placed = await api.place(RESTING_BUY)
    await simulator.inject("deaf", mode="mute")
    pending = asyncio.create_task(api.patch(placed["id"], quantity=25))
    await until(simulator.orders, lambda orders: orders[0]["quantity"] == 25)
    await simulator.heal()
    await simulator.inject("drop")
    answer = await pending
    assert answer.status_code in (200, 202)
    order = await until(lambda: api.order(placed["id"]), lambda found: found["quantity"] == "25")
    assert order["status"] == "accepted"
    assert len(await simulator.orders()) == 1


async def test_while_the_gateway_is_down_nothing_is_changed(api: Api, simulator: Simulator) -> None:
    placed = await api.place(RESTING_BUY)
    await simulator.inject("refuse", seconds=3600)
    await api.until_metric("ib_connection_status", 0)
    assert (await api.patch(placed["id"], quantity=25)).status_code == 503
    await simulator.heal()
    await api.until_ready()
    assert (await api.order(placed["id"]))["quantity"] == "10"
