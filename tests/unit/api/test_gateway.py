"""What the client's objects mean, without a gateway: words, numbers, sentinels, repetitions."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from stocks_api.adapters.gateway import GatewayConfig, IbGateway, Listeners
from stocks_api.domain.errors import GatewayUnavailable
from stocks_api.domain.market import AccountSummary
from stocks_api.domain.orders import (
    Fill,
    NewOrder,
    OrderFact,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
    new_order,
)
from stocks_api.services.pacing import Pace

try:
    import ib_insync as ibi
except ModuleNotFoundError:  # in the environment of `make ib-async`
    import ib_async as ibi  # type: ignore[no-redef]

S = OrderStatus
AT = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
UNSET = 1.7976931348623157e308
OUR_ID = "11111111-2222-3333-4444-555555555555"


class Ear:
    """Hears everything, keeps what it heard."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: self.heard.append((name, args, kwargs))

    def last(self, name: str) -> Any:
        return [args for heard, args, _ in self.heard if heard == name][-1]

    def names(self) -> set[str]:
        return {name for name, _, _ in self.heard}


class Wire:
    """A session whose client never connects: messages are handed to the client's own wrapper."""

    def __init__(self) -> None:
        self.ear = Ear()
        gateway = IbGateway(GatewayConfig("127.0.0.1", 4002, 7, ("AAPL",)), Pace())
        gateway.listen(Listeners(self.ear, self.ear, self.ear, self.ear, self.ear))
        self.session = gateway.new_session()
        self.session._account = "DU1"
        self.session._listen_to_orders()
        self.ib = self.session._ib
        self.wrapper = self.ib.wrapper
        self.wrapper.clientId = 7

    def trade(self, order_id: int = 1, ref: str = OUR_ID) -> ibi.Trade:
        """An order of ours that the client knows, as after placing it."""
        order = ibi.Order(orderId=order_id, clientId=7, orderRef=ref, totalQuantity=10)
        trade = ibi.Trade(ibi.Stock("AAPL", "SMART", "USD"), order, ibi.OrderStatus(order_id))
        self.wrapper.trades[(7, order_id)] = trade
        self.session._trades[ref] = trade
        return trade

    def status(self, status: str, filled: float = 0, price: float = 0, order_id: int = 1) -> None:
        self.wrapper.orderStatus(order_id, status, filled, 0, price, 99, 0, 0, 7, "")

    def acknowledged(self, ref: str = OUR_ID) -> None:
        """Our order, with the gateway's own id."""
        trade = self.trade()
        said = ibi.Order(orderId=1, clientId=7, permId=99, totalQuantity=10, orderRef=ref)
        self.wrapper.openOrder(1, trade.contract, said, ibi.OrderState(status="Submitted"))

    def execution(self, exec_id: str = "a.b.01.01") -> None:
        """A fill of four shares, without orderRef."""
        execution = ibi.Execution(
            execId=exec_id, time=AT, shares=4, price=100.5, permId=99, clientId=7, orderId=1
        )
        self.wrapper.execDetails(-1, ibi.Stock("AAPL", "SMART", "USD"), execution)

    def commission(self, amount: float, currency: str = "USD", exec_id: str = "a.b.01.01") -> None:
        report = ibi.CommissionReport(exec_id, amount, currency, UNSET, UNSET, 0)
        self.wrapper.commissionReport(report)

    def fills(self) -> list[Fill]:
        return [fill for fact in self.facts() for fill in fact.fills]

    def counted(self) -> list[tuple[str, str]]:
        return [args for name, args, _ in self.ear.heard if name == "irregular_message"]

    def error(self, code: int, request_id: int = 1, text: str = "text") -> None:
        self.wrapper.error(request_id, code, text, "")

    def facts(self) -> list[OrderFact]:
        return [args[0] for name, args, _ in self.ear.heard if name == "record"]


@pytest.fixture
async def wire() -> Wire:
    return Wire()


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("PreSubmitted", S.ACCEPTED),
        ("Submitted", S.ACCEPTED),
        ("Filled", S.FILLED),
        ("Cancelled", S.CANCELLED),
        ("ApiCancelled", S.CANCELLED),
        ("Inactive", S.REJECTED),
        ("PendingSubmit", None),
        ("PendingCancel", None),
        ("ApiPending", None),
        ("SomethingNew", None),
    ],
)
async def test_the_gateways_words_for_a_status(
    wire: Wire, word: str, status: OrderStatus | None
) -> None:
    wire.trade()
    wire.status(word, filled=3, price=101.25)
    (fact,) = wire.facts()
    assert (fact.order_id, fact.status, fact.perm_id) == (OUR_ID, status, 99)
    assert (fact.filled_quantity, fact.average_price) == (Decimal(3), Decimal("101.25"))


@pytest.mark.parametrize("code", [103, 200, 201, 321])
async def test_an_error_that_ends_an_order_is_a_rejection(wire: Wire, code: int) -> None:
    wire.trade()
    wire.error(code, text="no margin")
    (fact,) = wire.facts()
    assert (fact.status, fact.reason) == (S.REJECTED, f"{code}: no margin")


@pytest.mark.parametrize("code", [105, 161, 329, 399, 404, 2109, 10147, 10148, 10349])
async def test_an_error_that_is_a_note_about_an_order_leaves_it_alone(
    wire: Wire, code: int
) -> None:
    wire.trade()
    wire.error(code)  # the client marks most of these as cancelled, wrongly
    assert wire.facts() == []
    wire.status("Submitted")
    assert [fact.status for fact in wire.facts()] == [S.ACCEPTED]


async def test_a_cancellation_as_asked_is_no_error(wire: Wire) -> None:
    wire.trade()
    wire.error(202)
    wire.status("Cancelled")
    assert [fact.status for fact in wire.facts()] == [S.CANCELLED]
    assert "gateway_error" not in wire.ear.names()


async def test_an_order_without_reference_is_told_by_the_gateways_own_id(wire: Wire) -> None:
    wire.trade(ref="")
    wire.status("Filled")
    (fact,) = wire.facts()
    assert (fact.order_id, fact.perm_id) == ("", 99)


async def test_an_order_that_lost_its_reference_is_still_the_one_that_was_sent(
    wire: Wire,
) -> None:
    wire.acknowledged(ref="")
    wire.status("Submitted")
    wire.execution()
    assert {(fact.order_id, fact.perm_id) for fact in wire.facts()} == {(OUR_ID, 99)}
    assert len(wire.facts()) == 3


async def test_an_error_about_another_clients_order_is_not_ours(wire: Wire) -> None:
    wire.trade().order.clientId = 8
    wire.error(201)
    assert wire.facts() == []


async def test_an_execution_brings_a_fill(wire: Wire) -> None:
    wire.trade()
    wire.execution()
    assert wire.fills() == [Fill("a.b.01.01", Decimal(4), Decimal("100.5"), AT)]


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        pytest.param(1.25, "USD", (Decimal("1.25"), "USD"), id="a fee"),
        pytest.param(-0.2, "EUR", (Decimal("-0.2"), "EUR"), id="a rebate"),
        pytest.param(0.0, "USD", (Decimal(0), "USD"), id="free"),
        pytest.param(UNSET, "USD", (None, None), id="not set"),
        pytest.param(math.nan, "USD", (None, None), id="no number"),
        pytest.param(1e15, "USD", (None, None), id="beyond reason"),
        pytest.param(1.0, "dollars, mostly", (Decimal(1), None), id="no currency"),
    ],
)
async def test_a_commission_is_told_with_its_execution(
    wire: Wire, amount: float, currency: str, expected: tuple[Decimal | None, str | None]
) -> None:
    wire.acknowledged()
    wire.execution()
    wire.commission(amount, currency)
    before, after = wire.fills()
    assert before.commission is None
    assert (after.commission, after.commission_currency) == expected


async def test_what_the_gateway_says_twice_is_counted(wire: Wire) -> None:
    wire.acknowledged()
    for repeat in range(2):
        wire.status("Submitted")
        wire.execution()
        wire.commission(1.25)
        if not repeat:
            assert wire.counted() == []
    assert wire.counted() == [
        (kind, "duplicate") for kind in ("order_status", "execution", "commission")
    ]


@pytest.mark.parametrize("nothing", [math.nan, UNSET, -UNSET, math.inf])
async def test_what_means_no_value_becomes_none(wire: Wire, nothing: float) -> None:
    wire.wrapper.reqId2PnL[5] = ibi.PnL("DU1")
    wire.wrapper.pnl(5, nothing, 12.5, nothing)
    (pnl,) = wire.ear.last("account_pnl_changed")
    assert (pnl.daily, pnl.unrealized, pnl.realized) == (None, 12.5, None)


@pytest.mark.parametrize("nothing", [0.0, -1.0, math.nan, UNSET])
async def test_what_means_no_price_becomes_none(wire: Wire, nothing: float) -> None:
    ticker = ibi.Ticker(contract=ibi.Stock("AAPL"))
    ticker.bid, ticker.ask, ticker.time = nothing, 101.0, AT
    wire.ib.pendingTickersEvent.emit({ticker})
    (quote,) = wire.ear.last("ticked")
    assert (quote.symbol, quote.bid, quote.ask, quote.last) == ("AAPL", None, 101.0, None)


@pytest.mark.parametrize(
    ("kind", "feed", "delayed"),
    [(1, "live", False), (2, "frozen", False), (3, "delayed", True), (4, "delayed_frozen", True)],
)
async def test_delayed_data_is_marked(wire: Wire, kind: int, feed: str, delayed: bool) -> None:
    ticker = ibi.Ticker(contract=ibi.Stock("AAPL"), marketDataType=kind, time=AT)
    wire.ib.pendingTickersEvent.emit({ticker})
    quote = wire.ear.last("ticked")[0]
    assert (quote.feed, quote.delayed) == (feed, delayed)


async def test_only_values_of_our_account_that_are_known_here_count(wire: Wire) -> None:
    for account, tag, value in (
        ("DU1", "NetLiquidation", "1000.5"),
        ("DU2", "NetLiquidation", "7"),
        ("DU1", "CashBalance", "8"),
        ("DU1", "BuyingPower", str(UNSET)),
    ):
        wire.ib.accountValueEvent.emit(ibi.AccountValue(account, tag, value, "USD", ""))
    heard = [args for name, args, _ in wire.ear.heard if name == "summary_changed"]
    known = AccountSummary("DU1", "USD", net_liquidation=1000.5)
    assert heard == [(known,), (AccountSummary("DU1", "USD"),)]


async def test_an_option_is_not_taken_for_its_stock(wire: Wire) -> None:
    option = ibi.Contract(
        secType="OPT", symbol="AAPL", localSymbol="AAPL  261218C00250000", conId=9
    )
    wire.session._symbols[9] = "known"  # so that no request is sent
    wire.ib.positionEvent.emit(ibi.Position("DU1", option, 2, 5.0))
    (position,) = wire.ear.last("position_changed")
    assert position.symbol == "AAPL  261218C00250000"


@pytest.mark.parametrize(
    ("code", "name", "arguments"),
    [
        (1100, "upstream_lost", {}),
        (1101, "upstream_restored", {"data_lost": True}),
        (1102, "upstream_restored", {"data_lost": False}),
    ],
)
async def test_system_codes_tell_the_link(
    wire: Wire, code: int, name: str, arguments: dict[str, bool]
) -> None:
    wire.ib.errorEvent.disconnect(wire.ib._onError)  # the client asks for a summary after 1102
    wire.error(code, request_id=-1)
    assert (name, (), arguments) in wire.ear.heard


async def test_what_an_ended_session_still_says_is_not_heard(wire: Wire) -> None:
    trade = wire.trade()
    wire.session.close()
    wire.ib.orderStatusEvent.emit(trade)
    assert wire.facts() == []


async def test_without_a_session_nothing_is_sent() -> None:
    gateway = IbGateway(GatewayConfig("127.0.0.1", 4002, 7, ()), Pace())
    request = NewOrder("AAPL", Side.BUY, OrderType.MARKET, Decimal(1), None, TimeInForce.DAY)
    with pytest.raises(GatewayUnavailable):
        gateway.place(new_order(OUR_ID, "desk", request, AT))
    with pytest.raises(GatewayUnavailable):
        await gateway.round_trip()


async def test_a_cancelled_connect_stays_cancelled(unused_tcp_port: int) -> None:
    """The client's `wait_for` swallows a cancellation that meets a refused connection."""
    gateway = IbGateway(GatewayConfig("127.0.0.1", unused_tcp_port, 7, ()), Pace())
    gateway.listen(Listeners(Ear(), Ear(), Ear(), Ear(), Ear()))
    for turns in range(12):  # at one of these moments the refusal has just come
        connecting = asyncio.create_task(gateway.connect())
        for _ in range(turns):
            await asyncio.sleep(0)
        ended_before = connecting.done()
        connecting.cancel()
        await asyncio.wait([connecting])
        if not ended_before:
            assert connecting.cancelled()
        else:
            assert isinstance(connecting.exception(), GatewayUnavailable)
        await gateway.close()
