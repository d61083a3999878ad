"""Decoding what the real client encodes: every request, and orders with every optional part."""

import math
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ib_insync import ExecutionFilter, LimitOrder, MarketOrder, Order, Stock, TagValue
from ib_insync.client import Client
from ib_insync.contract import ComboLeg, Contract, DeltaNeutralContract
from ib_insync.order import (
    ExecutionCondition,
    MarginCondition,
    OrderComboLeg,
    PercentChangeCondition,
    PriceCondition,
    TimeCondition,
    VolumeCondition,
)

from gateway_simulator import requests as ask
from gateway_simulator.book import RefusedError
from gateway_simulator.contracts import ContractQuery
from gateway_simulator.exchange import check
from gateway_simulator.fields import MalformedRequestError
from gateway_simulator.place_order import PlaceOrder
from gateway_simulator.wire import split_fields

AAPL = Stock("AAPL", "SMART", "USD", conId=265598)
QUERY = ContractQuery(265598, "AAPL", "STK", "SMART", "USD", "")


class Recorder(Client):
    """The client's encoder without its socket."""

    def __init__(self) -> None:
        super().__init__(wrapper=object())  # type: ignore[no-untyped-call]
        self.connState = Client.CONNECTED
        self._serverVersion = 176
        self.messages: list[str] = []

    def sendMsg(self, msg: str) -> None:  # noqa: N802 - overrides the client's method
        self.messages.append(msg)


def encoded(send: Callable[[Any], None]) -> list[str]:
    client = Recorder()
    send(client)
    [message] = client.messages
    return split_fields(message.encode())


def decoded(send: Callable[[Any], None]) -> ask.Request | None:
    return ask.decode(encoded(send))


REQUESTS: dict[str, tuple[Callable[[Any], None], ask.Request]] = {
    "start": (lambda c: c.send(71, 2, 7, ""), ask.StartApi(7)),
    "market data": (
        lambda c: c.reqMktData(5, AAPL, "233", False, False, []),
        ask.RequestMarketData(5, QUERY, snapshot=False),
    ),
    "snapshot": (
        lambda c: c.reqMktData(5, AAPL, "", True, False, []),
        ask.RequestMarketData(5, QUERY, snapshot=True),
    ),
    "cancel market data": (lambda c: c.cancelMktData(5), ask.CancelMarketData(5)),
    "cancel order": (lambda c: c.cancelOrder(9), ask.CancelOrder(9)),
    "open orders": (lambda c: c.reqOpenOrders(), ask.RequestOpenOrders()),
    "account updates": (
        lambda c: c.reqAccountUpdates(True, "DU1"),
        ask.RequestAccountUpdates(subscribe=True, account="DU1"),
    ),
    "executions": (
        lambda c: c.reqExecutions(5, ExecutionFilter(3, "DU1", "20260105-10:00:00", "AAPL")),
        ask.RequestExecutions(5, 3, "DU1", datetime(2026, 1, 5, 15, tzinfo=UTC), "AAPL", ""),
    ),
    "ids": (lambda c: c.reqIds(1), ask.RequestIds()),
    "contract details": (
        lambda c: c.reqContractDetails(5, AAPL),
        ask.RequestContractDetails(5, QUERY),
    ),
    "auto open orders": (
        lambda c: c.reqAutoOpenOrders(True),
        ask.RequestAutoOpenOrders(bind=True),
    ),
    "all open orders": (lambda c: c.reqAllOpenOrders(), ask.RequestAllOpenOrders()),
    "managed accounts": (lambda c: c.reqManagedAccts(), ask.RequestManagedAccounts()),
    "current time": (lambda c: c.reqCurrentTime(), ask.RequestCurrentTime()),
    "global cancel": (lambda c: c.reqGlobalCancel(), ask.RequestGlobalCancel()),
    "market data type": (lambda c: c.reqMarketDataType(3), ask.RequestMarketDataType(3)),
    "positions": (lambda c: c.reqPositions(), ask.RequestPositions()),
    "cancel positions": (lambda c: c.cancelPositions(), ask.CancelPositions()),
    "account summary": (
        lambda c: c.reqAccountSummary(5, "All", "NetLiquidation,SMA"),
        ask.RequestAccountSummary(5, ("NetLiquidation", "SMA")),
    ),
    "cancel account summary": (
        lambda c: c.cancelAccountSummary(5),
        ask.CancelAccountSummary(5),
    ),
    "account updates multi": (
        lambda c: c.reqAccountUpdatesMulti(5, "DU1", "m", False),
        ask.RequestAccountUpdatesMulti(5, "DU1", "m"),
    ),
    "cancel account updates multi": (
        lambda c: c.cancelAccountUpdatesMulti(5),
        ask.CancelAccountUpdatesMulti(5),
    ),
    "pnl": (lambda c: c.reqPnL(5, "DU1", ""), ask.RequestPnl(5, "DU1")),
    "cancel pnl": (lambda c: c.cancelPnL(5), ask.CancelPnl(5)),
    "pnl single": (
        lambda c: c.reqPnLSingle(5, "DU1", "", 265598),
        ask.RequestPnlSingle(5, "DU1", 265598),
    ),
    "cancel pnl single": (lambda c: c.cancelPnLSingle(5), ask.CancelPnlSingle(5)),
    "completed orders": (lambda c: c.reqCompletedOrders(False), ask.RequestCompletedOrders()),
}


@pytest.mark.parametrize(("send", "request_"), REQUESTS.values(), ids=REQUESTS)
def test_requests_of_the_real_client(send: Callable[[Any], None], request_: ask.Request) -> None:
    assert decoded(send) == request_


@pytest.mark.parametrize(("send", "request_"), REQUESTS.values(), ids=REQUESTS)
def test_a_field_too_few_or_too_many_is_noticed(
    send: Callable[[Any], None], request_: ask.Request
) -> None:
    fields = encoded(send)
    for wrong in (fields[:-1], [*fields, ""]):
        with pytest.raises(MalformedRequestError):
            ask.decode(wrong)


def test_every_request_that_is_decoded_is_tried_here() -> None:
    tried = {int(encoded(send)[0]) for send, _request in REQUESTS.values()} | {3}
    assert tried == set(ask.DECODERS)


def test_a_request_that_is_not_simulated_is_none() -> None:
    assert decoded(lambda c: c.reqMatchingSymbols(1, "A")) is None


def place(order: Order, contract: Contract = AAPL) -> PlaceOrder:
    request = decoded(lambda c: c.placeOrder(12, contract, order))
    assert isinstance(request, PlaceOrder)
    return request


def test_a_plain_order_has_115_fields_and_nothing_is_left_over() -> None:
    order = LimitOrder("BUY", 100, 12.34, orderRef="desk-1", account="DU1", tif="GTC")
    assert len(encoded(lambda c: c.placeOrder(12, AAPL, order))) == 115
    request = place(order)
    assert request.unsupported == ()
    assert (request.order_id, request.contract, request.account) == (12, QUERY, "DU1")
    assert request.terms.limit_price == Decimal("12.34")
    assert request.terms.stop_price is None
    assert (request.terms.order_ref, request.terms.tif) == ("desk-1", "GTC")


def test_what_if_and_outside_hours_are_read_where_they_stand() -> None:
    request = place(MarketOrder("SELL", 5, whatIf=True, outsideRth=True))
    assert request.what_if
    assert request.terms.outside_rth
    assert not place(MarketOrder("SELL", 5)).what_if


CONDITIONS = [
    PriceCondition(),
    TimeCondition(),
    MarginCondition(),
    ExecutionCondition(),
    VolumeCondition(),
    PercentChangeCondition(),
]
OPTIONAL_PARTS: dict[str, tuple[Order, Contract, str]] = {
    "all conditions": (MarketOrder("BUY", 1, conditions=CONDITIONS), AAPL, "conditions"),
    "an algorithm": (
        MarketOrder("BUY", 1, algoStrategy="Adaptive", algoParams=[TagValue("a", "b")]),
        AAPL,
        "algorithms",
    ),
    "a hedge": (MarketOrder("BUY", 1, hedgeType="B", hedgeParam="1"), AAPL, "hedges"),
    "scaling": (MarketOrder("BUY", 1, scalePriceIncrement=0.5), AAPL, "scale orders"),
    "delta-neutral": (
        MarketOrder("BUY", 1, deltaNeutralOrderType="MKT"),
        AAPL,
        "delta-neutral orders",
    ),
    "a delta-neutral contract": (
        MarketOrder("BUY", 1),
        Stock("AAPL", deltaNeutralContract=DeltaNeutralContract(1, 0.5, 10)),
        "delta-neutral contracts",
    ),
    "a parent": (MarketOrder("BUY", 1, parentId=4), AAPL, "child orders"),
    "not transmitted": (
        MarketOrder("BUY", 1, transmit=False),
        AAPL,
        "orders that are not transmitted",
    ),
    "a group": (MarketOrder("BUY", 1, ocaGroup="g"), AAPL, "one-cancels-all groups"),
    "all or none": (MarketOrder("BUY", 1, allOrNone=True), AAPL, "all-or-none orders"),
    "a minimum": (MarketOrder("BUY", 1, minQty=5), AAPL, "minimum quantities"),
    "a start": (MarketOrder("BUY", 1, goodAfterTime="20260105 10:00:00"), AAPL, "good-after times"),
}


@pytest.mark.parametrize(
    ("order", "contract", "feature"), OPTIONAL_PARTS.values(), ids=OPTIONAL_PARTS
)
def test_optional_parts_are_read_to_their_end_and_named(
    order: Order, contract: Contract, feature: str
) -> None:
    assert place(order, contract).unsupported == (feature,)


PEGGED = {
    "to a benchmark": Order(action="BUY", totalQuantity=1, orderType="PEG BENCH"),
    "to the best": Order(action="BUY", totalQuantity=1, orderType="PEG BEST"),
    "to the best, up to the midpoint": Order(
        action="BUY", totalQuantity=1, orderType="PEG BEST", competeAgainstBestOffset=math.inf
    ),
    "to the midpoint": Order(action="BUY", totalQuantity=1, orderType="PEG MID"),
}


@pytest.mark.parametrize("order", PEGGED.values(), ids=PEGGED)
def test_pegged_orders_are_read_to_their_end(order: Order) -> None:
    assert place(order).terms.order_type == order.orderType
    assert place(order, Stock("AAPL", "IBKRATS")).contract.exchange == "IBKRATS"


def test_a_combination_is_read_to_its_end() -> None:
    legs = [ComboLeg(1, 1, "BUY", "SMART")] * 2
    bag = Contract("BAG", symbol="AAPL", exchange="SMART", comboLegs=legs)
    order = MarketOrder(
        "BUY",
        1,
        orderComboLegs=[OrderComboLeg(1.5)],
        smartComboRoutingParams=[TagValue("a", "b")],
    )
    assert place(order, bag).contract.sec_type == "BAG"


def test_an_order_read_back_can_be_sent_again() -> None:
    """What openOrder says of an order without a delta hedge is the word None."""
    order = LimitOrder("BUY", 1, 10, deltaNeutralOrderType="None", adjustedOrderType="None")
    assert place(order).unsupported == ()


@pytest.mark.parametrize("number", ["1e999999999", "-1e999999999", "1e-999999999"])
def test_numbers_beyond_doubles_are_malformed(number: str) -> None:
    fields = encoded(lambda c: c.placeOrder(12, AAPL, LimitOrder("BUY", 1, 5)))
    fields[19] = number
    with pytest.raises(MalformedRequestError, match="not a double"):
        ask.decode(fields)


NUMBERS = ["nan", "sNaN", "inf", "-inf", "1e308", "-1", "0", "1", "", "x", "None"]


@given(st.data())
def test_any_field_may_hold_anything(data: st.DataObject) -> None:
    fields = encoded(lambda c: c.placeOrder(12, AAPL, LimitOrder("BUY", 1, 5)))
    for position in data.draw(st.sets(st.integers(1, len(fields) - 1), max_size=4)):
        fields[position] = data.draw(st.sampled_from(NUMBERS))
    try:
        request = ask.decode(fields)
    except MalformedRequestError:
        return
    assert isinstance(request, PlaceOrder)
    with suppress(RefusedError):
        check(request.terms)


@given(st.lists(st.text(max_size=8), max_size=130).map(lambda rest: ["3", *rest]))
def test_arbitrary_fields_are_an_order_or_malformed(fields: list[str]) -> None:
    try:
        request = ask.decode(fields)
    except MalformedRequestError:
        return
    assert isinstance(request, PlaceOrder)


@pytest.mark.parametrize(
    ("position", "value"), [(1, "x"), (17, "many"), (90, "-1"), (90, "999999999")]
)
def test_wrong_fields_are_named(position: int, value: str) -> None:
    fields = encoded(lambda c: c.placeOrder(12, AAPL, MarketOrder("BUY", 1)))
    fields[position] = value
    with pytest.raises(MalformedRequestError, match=r"^field \d+ |left over|missing"):
        ask.decode(fields)
