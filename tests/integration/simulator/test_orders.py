# mypy: disable-error-code="no-untyped-call"
"""Orders of the real client: fills, changes, cancels, rejections."""

import asyncio
from typing import Any

import pytest
from ib_insync import (
    IB,
    ExecutionFilter,
    LimitOrder,
    MarketOrder,
    Order,
    Stock,
    StopLimitOrder,
    StopOrder,
    Trade,
)
from tests.integration.simulator.support import Clients, Control, until


async def resting(ib: IB, contract: Stock, **more: Any) -> Trade:
    trade = ib.placeOrder(contract, LimitOrder("BUY", 10, 100, **more))
    await until(lambda: trade.orderStatus.status == "Submitted")
    return trade


async def test_a_market_order_fills_with_commission(ib: IB, aapl: Stock) -> None:
    trade = ib.placeOrder(aapl, MarketOrder("BUY", 100, orderRef="desk-1"))
    await until(lambda: trade.isDone() and trade.fills[0].commissionReport.commission)
    status = trade.orderStatus
    assert (status.status, status.filled, status.remaining) == ("Filled", 100, 0)
    [fill] = trade.fills
    assert fill.execution.price == status.avgFillPrice == status.lastFillPrice
    assert (fill.execution.side, fill.execution.orderRef) == ("BOT", "desk-1")
    assert fill.commissionReport.currency == "USD"
    assert [entry.status for entry in trade.log][0::3] == ["PendingSubmit", "Filled"]


async def test_a_status_is_said_twice_and_taken_once(ib: IB, aapl: Stock) -> None:
    filled: list[Trade] = []
    trade = ib.placeOrder(aapl, MarketOrder("BUY", 100))
    trade.filledEvent += filled.append
    before = ib.client.connectionStats().numMsgRecv
    await until(trade.isDone)
    await until(lambda: trade.fills[0].commissionReport.commission)
    # acknowledgement 2, fill 5, and a position and a portfolio row
    assert ib.client.connectionStats().numMsgRecv >= before + 9
    assert filled == [trade]


async def test_a_limit_order_rests_then_fills(ib: IB, aapl: Stock, control: Control) -> None:
    trade = await resting(ib, aapl)
    await asyncio.wait_for(ib.reqCurrentTimeAsync(), 20)
    assert trade.fills == []
    await control.fault("price", symbol="AAPL", price=99)
    await until(trade.isDone)
    assert trade.orderStatus.avgFillPrice <= 100


async def test_a_large_order_fills_in_parts(ib: IB, aapl: Stock) -> None:
    trade = ib.placeOrder(aapl, MarketOrder("BUY", 10_000))
    await until(trade.isDone)
    assert len(trade.fills) > 1
    assert sum(fill.execution.shares for fill in trade.fills) == 10_000
    assert len({fill.execution.execId for fill in trade.fills}) == len(trade.fills)
    spent = sum(fill.execution.shares * fill.execution.price for fill in trade.fills)
    assert trade.orderStatus.avgFillPrice == pytest.approx(spent / 10_000)
    assert [fill.execution.cumQty for fill in trade.fills][-1] == 10_000


async def test_a_modification_is_acknowledged(ib: IB, aapl: Stock) -> None:
    trade = await resting(ib, aapl)
    perm_id = trade.order.permId
    trade.order.lmtPrice = 101
    trade.order.totalQuantity = 20
    ib.placeOrder(aapl, trade.order)
    await until(lambda: trade.log[-1].message == "Modified" or trade.orderStatus.remaining == 20)
    [seen] = await ib.reqAllOpenOrdersAsync()
    assert (seen.order.lmtPrice, seen.order.totalQuantity) == (101, 20)
    assert seen.order.permId == perm_id


async def test_an_order_found_after_a_reconnect_can_be_modified(
    clients: Clients, ib: IB, aapl: Stock
) -> None:
    await resting(ib, aapl)
    ib.disconnect()
    again = await clients.connect(client_id=1)
    [trade] = again.openTrades()
    trade.order.lmtPrice = 102
    again.placeOrder(trade.contract, trade.order)
    await until(lambda: trade.log and trade.log[-1].message == "Modified")
    [seen] = await again.reqAllOpenOrdersAsync()
    assert seen.order.lmtPrice == 102


async def test_a_modification_that_reaches_the_market_fills(ib: IB, aapl: Stock) -> None:
    trade = await resting(ib, aapl)
    trade.order.lmtPrice = 500
    ib.placeOrder(aapl, trade.order)
    await until(trade.isDone)
    assert trade.orderStatus.avgFillPrice < 500


async def test_cancel(ib: IB, aapl: Stock) -> None:
    errors: list[tuple[int, int]] = []
    ib.errorEvent += lambda number, code, *_rest: errors.append((number, code))
    trade = await resting(ib, aapl)
    ib.cancelOrder(trade.order)
    await until(lambda: trade.orderStatus.status == "Cancelled")
    await until(lambda: (trade.order.orderId, 202) in errors)
    assert await ib.reqAllOpenOrdersAsync() == []


async def test_cancelling_what_is_unknown_or_filled_says_so(ib: IB, aapl: Stock) -> None:
    errors: list[tuple[int, int]] = []
    ib.errorEvent += lambda number, code, *_rest: errors.append((number, code))
    trade = ib.placeOrder(aapl, MarketOrder("BUY", 1))
    await until(trade.isDone)
    ib.client.cancelOrder(trade.order.orderId)
    ib.client.cancelOrder(99_999)
    await until(lambda: len(errors) == 2)
    assert errors == [(trade.order.orderId, 10148), (99_999, 10147)]


async def test_global_cancel_reaches_all_clients(clients: Clients, ib: IB, aapl: Stock) -> None:
    other = await clients.connect(client_id=2)
    trades = [await resting(ib, aapl), await resting(other, aapl), await resting(ib, aapl)]
    other.reqGlobalCancel()
    await until(lambda: all(one.orderStatus.status == "Cancelled" for one in trades))


async def test_the_next_orders_are_rejected_with_the_code(
    ib: IB, aapl: Stock, control: Control
) -> None:
    errors: list[tuple[int, int, str]] = []
    ib.errorEvent += lambda number, code, text, *_rest: errors.append((number, code, text))
    await control.fault("reject", orders=2, code=201, message="Order rejected - reason:closed")
    first, second, third = (ib.placeOrder(aapl, MarketOrder("BUY", 1)) for _ in range(3))
    await until(third.isDone)
    assert third.orderStatus.status == "Filled"
    for trade in (first, second):
        # The error makes it Cancelled, the status that comes after it Inactive.
        assert [entry.status for entry in trade.log][-2:] == ["Cancelled", "Inactive"]
        assert trade.fills == []
        assert (trade.order.orderId, 201, "Order rejected - reason:closed") in errors
    assert (await control.state())["faults"] == {}


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (MarketOrder("BUY", 0), 321),
        (LimitOrder("BUY", 10, -5), 321),
        (LimitOrder("BUY", float("nan"), 5), 321),
        (Order(action="BUY", totalQuantity=1, orderType="LMT"), 321),
        (Order(action="BUY", totalQuantity=1, orderType="TRAIL"), 387),
        (MarketOrder("BUY", 1, account="DU999"), 321),
        (MarketOrder("BUY", 1, ocaGroup="g"), 201),
        (MarketOrder("BUY", 1, tif="FOK"), 201),
    ],
    ids=[
        "no quantity",
        "a negative price",
        "a quantity that is no number",
        "a limit order without limit",
        "an order type that is not simulated",
        "another account",
        "a feature that is not simulated",
        "a time in force that is not simulated",
    ],
)
async def test_impossible_orders_are_refused(ib: IB, aapl: Stock, order: Order, code: int) -> None:
    codes: list[int] = []
    ib.errorEvent += lambda _number, code, *_rest: codes.append(code)
    order.orderId = 0
    trade = ib.placeOrder(aapl, order)
    await until(lambda: codes)
    assert codes == [code]
    assert trade.orderStatus.status == "Cancelled"
    assert await ib.reqCompletedOrdersAsync(False) == []


async def test_an_unknown_contract_is_refused(ib: IB) -> None:
    codes: list[int] = []
    ib.errorEvent += lambda _number, code, *_rest: codes.append(code)
    ib.placeOrder(Stock("ZZZZ", "SMART", "USD"), MarketOrder("BUY", 1))
    await until(lambda: codes)
    assert codes == [200]


async def test_an_order_id_is_used_once(ib: IB, aapl: Stock) -> None:
    codes: list[int] = []
    ib.errorEvent += lambda _number, code, *_rest: codes.append(code)
    trade = ib.placeOrder(aapl, MarketOrder("BUY", 1))
    await until(trade.isDone)
    ib.client.placeOrder(trade.order.orderId, aapl, MarketOrder("BUY", 1))
    ib.client.placeOrder(trade.order.orderId - 1, aapl, MarketOrder("BUY", 1))
    await until(lambda: len(codes) == 2)
    assert codes == [104, 103]
    assert [one.position for one in ib.positions()] == [1]


async def test_what_if_changes_nothing(ib: IB, aapl: Stock) -> None:
    state = await asyncio.wait_for(ib.whatIfOrderAsync(aapl, MarketOrder("BUY", 100)), 20)
    assert float(state.initMarginChange) > 0
    assert state.commission == 1
    assert ib.positions() == []
    assert await ib.reqAllOpenOrdersAsync() == []


async def test_stop_orders_wait_and_then_fill(ib: IB, aapl: Stock, control: Control) -> None:
    stop = ib.placeOrder(aapl, StopOrder("SELL", 10, 200))
    limit = ib.placeOrder(aapl, StopLimitOrder("SELL", 10, 201, 200))
    await until(lambda: stop.orderStatus.status == limit.orderStatus.status == "PreSubmitted")
    await control.fault("price", symbol="AAPL", price=199)
    await until(stop.isDone)
    await until(lambda: limit.orderStatus.status == "Submitted")
    await control.fault("price", symbol="AAPL", price=202)
    await until(limit.isDone)
    assert limit.orderStatus.avgFillPrice >= 201


async def test_immediate_or_cancel(ib: IB, aapl: Stock) -> None:
    trade = ib.placeOrder(aapl, LimitOrder("BUY", 1, 1, tif="IOC"))
    await until(lambda: trade.orderStatus.status == "Cancelled")


async def test_executions_can_be_filtered(clients: Clients, ib: IB, aapl: Stock) -> None:
    other = await clients.connect(client_id=2)
    bought = ib.placeOrder(aapl, MarketOrder("BUY", 2))
    sold = other.placeOrder(Stock("MSFT", "SMART", "USD"), MarketOrder("SELL", 3))
    await until(lambda: bought.isDone() and sold.isDone())

    async def shares(**criteria: Any) -> list[float]:
        fills = await ib.reqExecutionsAsync(ExecutionFilter(**criteria))
        return [fill.execution.shares for fill in fills]

    assert await shares() == [2, 3]
    assert await shares(symbol="MSFT") == [3]
    assert await shares(clientId=1) == [2]
    assert await shares(side="SELL") == [3]
    assert await shares(time="20300101-00:00:00") == []


async def test_no_order_leaves_fields_over(ib: IB, aapl: Stock, control: Control) -> None:
    for order in (
        MarketOrder("BUY", 1),
        LimitOrder("SELL", 1, 1000),
        StopOrder("SELL", 1, 1),
        StopLimitOrder("SELL", 1, 1, 1),
        MarketOrder("BUY", 1, algoStrategy="Adaptive"),
    ):
        ib.placeOrder(aapl, order)
    await asyncio.wait_for(ib.reqCurrentTimeAsync(), 20)
    received = (await control.state())["received"]
    assert received["PlaceOrder"] == 5
    assert "malformed" not in received


async def test_fills_can_be_held(ib: IB, aapl: Stock, control: Control) -> None:
    await control.fault("hold-fills")
    trade = ib.placeOrder(aapl, MarketOrder("BUY", 1))
    await until(lambda: trade.orderStatus.status == "Submitted")
    await control.fault("price", symbol="AAPL", factor=0.9)
    await asyncio.wait_for(ib.reqCurrentTimeAsync(), 20)
    assert trade.fills == []
    await control.clear()
    await until(trade.isDone)
