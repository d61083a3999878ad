# mypy: disable-error-code="no-untyped-call"
"""Connecting: handshake, resync, several clients, and what is left after a drop."""

import asyncio
import socket

import pytest
from ib_insync import IB, LimitOrder, MarketOrder, Stock
from tests.integration.simulator.support import Clients, Control, until

from gateway_simulator import GatewaySimulator


async def test_the_real_client_connects_at_version_176(ib: IB) -> None:
    assert ib.client.serverVersion() == 176
    assert ib.client.isReady()
    assert ib.managedAccounts() == ["DU1234567"]


async def test_nothing_it_asks_at_the_start_is_malformed_or_unknown(
    ib: IB, control: Control
) -> None:
    received = (await control.state())["received"]
    assert received["StartApi"] == 1
    assert received["RequestExecutions"] == 1
    assert "malformed" not in received
    assert "not simulated" not in received


async def test_farms_are_reported_ok(clients: Clients) -> None:
    client = IB()
    codes: list[int] = []
    client.errorEvent += lambda _number, code, *_rest: codes.append(code)
    await clients.connect(client=client)
    assert codes == [2104, 2106, 2158]


async def test_current_time_is_a_round_trip(ib: IB) -> None:
    answer = await asyncio.wait_for(ib.reqCurrentTimeAsync(), 20)
    assert answer.year >= 2025


async def test_client_zero_binds_orders_and_is_fine(clients: Clients, control: Control) -> None:
    client = await clients.connect(client_id=0)
    assert client.isConnected()
    assert (await control.state())["received"]["RequestAutoOpenOrders"] == 1


async def test_a_client_id_in_use_is_refused_with_326(clients: Clients, ib: IB) -> None:
    second = IB()
    codes: list[int] = []
    second.errorEvent += lambda _number, code, *_rest: codes.append(code)
    with pytest.raises((TimeoutError, asyncio.TimeoutError)):
        await second.connectAsync("127.0.0.1", ib.client.port, clientId=1, timeout=1)
    assert codes == [326]
    assert ib.isConnected()
    await asyncio.wait_for(ib.reqCurrentTimeAsync(), 20)


async def test_several_clients_have_their_own_orders(clients: Clients, ib: IB, aapl: Stock) -> None:
    other = await clients.connect(client_id=2)
    mine = ib.placeOrder(aapl, LimitOrder("BUY", 1, 1, orderRef="mine"))
    await until(lambda: mine.orderStatus.status == "Submitted")
    assert await other.reqOpenOrdersAsync() == []
    [seen] = await other.reqAllOpenOrdersAsync()
    assert (seen.order.orderRef, seen.order.clientId) == ("mine", 1)


async def test_after_a_drop_everything_is_found_again(
    clients: Clients, control: Control, ib: IB, aapl: Stock
) -> None:
    resting = ib.placeOrder(aapl, LimitOrder("BUY", 7, 1, orderRef="resting"))
    filled = ib.placeOrder(aapl, MarketOrder("BUY", 100, orderRef="filled"))
    await until(lambda: filled.fills and filled.fills[0].commissionReport.commission)
    await until(lambda: resting.orderStatus.permId)
    perm_ids = {"resting": resting.orderStatus.permId, "filled": filled.orderStatus.permId}

    await control.fault("drop")
    await until(lambda: not ib.isConnected())
    again = await clients.connect(client_id=1)

    [open_trade] = again.openTrades()
    assert open_trade.order.orderRef == "resting"
    assert open_trade.order.permId == perm_ids["resting"]
    [done] = [trade for trade in again.trades() if trade.order.orderRef == "filled"]
    assert (done.order.permId, done.order.orderId) == (perm_ids["filled"], 0)
    assert (done.orderStatus.status, done.order.filledQuantity) == ("Filled", 100)
    [fill] = again.fills()
    assert fill.execution.execId == filled.fills[0].execution.execId
    assert (fill.execution.orderRef, fill.execution.permId) == ("filled", perm_ids["filled"])
    await until(lambda: fill.commissionReport.commission == 1)
    [position] = again.positions()
    assert position.position == 100
    assert again.client.getReqId() > filled.order.orderId


async def test_fills_while_away_are_found_after_reconnecting(
    clients: Clients, control: Control, ib: IB, aapl: Stock
) -> None:
    resting = ib.placeOrder(aapl, LimitOrder("BUY", 100, 200, orderRef="away"))
    await until(lambda: resting.orderStatus.status == "Submitted")
    ib.disconnect()
    await control.fault("price", symbol="AAPL", price=190)

    again = await clients.connect(client_id=1)

    assert again.openTrades() == []
    [fill] = again.fills()
    assert fill.execution.orderRef == "away"
    assert [one.position for one in again.positions()] == [100]


@pytest.mark.parametrize("reset", [True, False], ids=["with a reset", "in order"])
async def test_drop_says_how_many_and_frees_their_ids(
    clients: Clients, control: Control, ib: IB, reset: bool
) -> None:
    await clients.connect(client_id=2)
    assert (await control.fault("drop", reset=reset))["dropped"] == 2
    await until(lambda: not ib.isConnected())
    again = await clients.connect(client_id=1)
    assert again.isConnected()


async def test_a_reset_is_seen_as_one(simulator: GatewaySimulator, control: Control) -> None:
    with socket.create_connection(("127.0.0.1", simulator.port)) as raw:
        raw.setblocking(False)
        await until(lambda: simulator.connected == 1)
        await control.fault("drop", reset=True)
        with pytest.raises(ConnectionResetError):
            await asyncio.get_running_loop().sock_recv(raw, 1)
