# mypy: disable-error-code="no-untyped-call"
"""Faults of the link, seen through the real client."""

import asyncio
from typing import Any

import pytest
from ib_insync import IB, LimitOrder, MarketOrder, Stock
from ib_insync.util import UNSET_DOUBLE as UNSET
from tests.integration.simulator.support import Clients, Control, last_tick, until

TEXT = "1.7976931348623157E308"


def codes_of(ib: IB) -> list[int]:
    codes: list[int] = []
    ib.errorEvent += lambda _number, code, *_rest: codes.append(code)
    return codes


async def answers(ib: IB, seconds: float) -> bool:
    try:
        await asyncio.wait_for(ib.reqCurrentTimeAsync(), seconds)
    except TimeoutError:
        return False
    return True


async def test_a_deaf_gateway_keeps_its_socket_and_answers_nothing(
    ib: IB, control: Control
) -> None:
    await control.fault("deaf")
    assert not await answers(ib, 0.5)
    assert ib.isConnected()
    await control.clear()
    assert await answers(ib, 20)


async def test_deafness_ends_by_itself(ib: IB, control: Control) -> None:
    await control.fault("deaf", seconds=2)
    assert not await answers(ib, 0.2)
    assert await answers(ib, 20)
    assert (await control.state())["faults"] == {}


async def test_a_deaf_gateway_takes_connections_and_says_nothing(
    clients: Clients, control: Control
) -> None:
    await control.fault("deaf")
    with pytest.raises((TimeoutError, asyncio.TimeoutError)):
        await clients.connect(seconds=0.5)
    await control.clear()
    assert (await clients.connect()).isConnected()


async def test_what_a_hung_gateway_was_told_is_done_late(
    ib: IB, aapl: Stock, control: Control
) -> None:
    await control.fault("deaf")
    trade = ib.placeOrder(aapl, MarketOrder("BUY", 1))
    assert not await answers(ib, 0.5)
    assert (await control.state())["orders"] == []
    await control.clear()
    await until(trade.isDone)


async def test_fills_of_a_hung_gateway_are_told_late(ib: IB, aapl: Stock, control: Control) -> None:
    trade = ib.placeOrder(aapl, LimitOrder("BUY", 1, 100))
    await until(lambda: trade.orderStatus.status == "Submitted")
    await control.fault("deaf")
    await control.fault("price", symbol="AAPL", price=99)
    [order] = (await control.state())["orders"]
    assert order["status"] == "Filled"
    assert not await answers(ib, 0.3)
    assert trade.fills == []
    await control.clear()
    await until(trade.isDone)


async def test_a_mute_gateway_does_what_it_is_told_and_loses_the_answer(
    ib: IB, aapl: Stock, control: Control, clients: Clients
) -> None:
    await control.fault("deaf", mode="mute")
    trade = ib.placeOrder(aapl, MarketOrder("BUY", 1, orderRef="lost"))
    assert not await answers(ib, 0.5)
    await control.clear()
    assert await answers(ib, 20)
    assert trade.orderStatus.status == "PendingSubmit"
    ib.disconnect()
    again = await clients.connect()
    assert [fill.execution.orderRef for fill in again.fills()] == ["lost"]


async def test_refusing_drops_and_refuses_for_its_time(
    ib: IB, control: Control, clients: Clients
) -> None:
    await control.fault("refuse", seconds=4)
    await until(lambda: not ib.isConnected())
    with pytest.raises(ConnectionRefusedError):
        await clients.connect(seconds=1)
    while True:
        try:
            again = await clients.connect(seconds=5)
        except ConnectionRefusedError:
            await asyncio.sleep(0.1)
        else:
            break
    assert again.isConnected()
    assert (await control.state())["faults"] == {}


async def test_clearing_ends_a_refusal_at_once(control: Control, clients: Clients) -> None:
    await control.fault("refuse", seconds=3600)
    await control.clear()
    assert (await clients.connect()).isConnected()


async def test_1100_stops_data_and_fills_1102_brings_both_back(
    ib: IB, aapl: Stock, control: Control
) -> None:
    codes = codes_of(ib)
    ticker = ib.reqMktData(aapl)
    await until(lambda: ticker.time)
    await control.fault("system", code=1100)
    await until(lambda: 1100 in codes)
    last_seen = last_tick(ticker)
    trade = ib.placeOrder(aapl, MarketOrder("BUY", 1))
    assert await answers(ib, 20)  # the gateway itself is there
    await control.fault("price", symbol="AAPL", factor=1.1)
    assert await answers(ib, 20)
    assert trade.fills == []
    assert last_tick(ticker) == last_seen

    await control.fault("system", code=1102)

    await until(lambda: 1102 in codes)
    await until(trade.isDone)
    await until(lambda: last_tick(ticker) > last_seen)


async def test_1101_loses_market_data_until_it_is_asked_for_again(
    ib: IB, aapl: Stock, control: Control
) -> None:
    codes = codes_of(ib)
    ticker = ib.reqMktData(aapl)
    await until(lambda: ticker.time)
    await control.fault("system", code=1100)
    await control.fault("system", code=1101)
    await until(lambda: 1101 in codes)
    last_seen = last_tick(ticker)
    assert (await control.state())["clients"][0]["market_data"] == []
    await control.fault("price", symbol="AAPL", factor=1.1)
    assert await answers(ib, 20)
    assert last_tick(ticker) == last_seen
    again = ib.reqMktData(Stock("AAPL", "SMART", "USD"))
    await until(lambda: again.time)


async def test_clearing_restores_a_lost_link(ib: IB, control: Control, clients: Clients) -> None:
    codes = codes_of(ib)
    await control.fault("system", code=1100)
    await control.clear()
    await until(lambda: codes == [1100, 1102])
    assert (await control.state())["link"] == "up"


async def test_a_cancel_without_a_link_waits_for_it(ib: IB, aapl: Stock, control: Control) -> None:
    trade = ib.placeOrder(aapl, LimitOrder("BUY", 1, 1))
    await until(lambda: trade.orderStatus.status == "Submitted")
    await control.fault("system", code=1100)
    ib.cancelOrder(trade.order)
    assert await answers(ib, 20)
    assert trade.orderStatus.status == "PendingCancel"
    await control.fault("system", code=1102)
    await until(lambda: trade.orderStatus.status == "Cancelled")


async def test_messages_of_a_kind_are_late_until_the_fault_ends(
    ib: IB, aapl: Stock, control: Control
) -> None:
    answer = await control.fault("messages", fate="late", kinds=["commission"])
    assert answer["faults"]["messages"] == {"commission": "late"}
    trade = ib.placeOrder(aapl, MarketOrder("BUY", 1))
    await until(lambda: trade.isDone() and trade.fills)
    assert await answers(ib, 20)
    assert trade.fills[0].commissionReport.commission == 0
    await control.clear()
    await until(lambda: trade.fills[0].commissionReport.commission > 0)


async def test_messages_of_a_kind_are_lost_or_said_twice(
    ib: IB, aapl: Stock, control: Control
) -> None:
    heard: list[str] = []
    ib.openOrderEvent += lambda _trade: heard.append("open order")
    ib.commissionReportEvent += lambda *_: heard.append("commission")
    await control.fault("messages", fate="lost", kinds=["commission"])
    await control.fault("messages", fate="twice", kinds=["open-order"])
    trade = ib.placeOrder(aapl, LimitOrder("BUY", 1, 1))
    await until(lambda: heard == ["open order"] * 2)
    ib.cancelOrder(trade.order)
    await until(trade.isDone)
    trade = ib.placeOrder(aapl, MarketOrder("BUY", 1))
    await until(trade.isDone)
    assert await answers(ib, 20)
    assert "commission" not in heard


async def test_numbers_that_are_not_set_are_the_clients_sentinel(
    ib: IB, aapl: Stock, control: Control
) -> None:
    kinds = ["pnl", "commission", "account-value", "account-update-multi"]
    await control.fault("messages", fate="unset", kinds=kinds)
    pnl = ib.reqPnL("DU1234567")
    await until(lambda: pnl.dailyPnL == UNSET)
    assert (pnl.unrealizedPnL, pnl.realizedPnL) == (UNSET, UNSET)
    trade = ib.placeOrder(aapl, MarketOrder("BUY", 1))
    await until(trade.isDone)
    await until(lambda: {one.value for one in ib.accountValues() if one.tag == "SMA"} == {TEXT})


async def test_orders_and_executions_come_without_their_name(
    ib: IB, aapl: Stock, control: Control
) -> None:
    kinds = ["open-order", "execution", "completed-order"]
    await control.fault("messages", fate="nameless", kinds=kinds)
    trade = ib.placeOrder(aapl, MarketOrder("BUY", 1, orderRef="named"))
    await until(lambda: trade.isDone() and trade.fills)
    (done,) = await ib.reqCompletedOrdersAsync(False)
    said: list[Any] = [trade.order, trade.fills[0].execution, done.order]
    assert [one.orderRef for one in said] == ["", "", ""]
    assert len({one.permId for one in said}) == 1
    assert said[0].permId > 0
    assert done.order.action == "BUY"  # the rest is as it was


async def test_lost_feeds_stop_without_a_word_until_they_are_asked_for_again(
    ib: IB, aapl: Stock, control: Control
) -> None:
    codes = codes_of(ib)
    ticker = ib.reqMktData(aapl)
    await until(lambda: ticker.time)
    codes.clear()
    await control.fault("lose-feeds")
    last_seen = last_tick(ticker)
    await control.fault("price", symbol="AAPL", factor=1.1)
    assert await answers(ib, 20)
    assert (last_tick(ticker), codes) == (last_seen, [])
    again = ib.reqMktData(Stock("AAPL", "SMART", "USD"))
    await until(lambda: again.time)


async def test_an_account_without_live_data_is_told_delayed_data(
    ib: IB, aapl: Stock, control: Control
) -> None:
    await control.fault("delay-feeds")
    ticker = ib.reqMktData(aapl)
    await until(lambda: ticker.last == ticker.last)  # a number, that equals itself
    assert ticker.marketDataType == 3
