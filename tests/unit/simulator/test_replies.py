"""What the real client's decoder makes of our messages."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from ib_insync.decoder import Decoder

from gateway_simulator import order_replies, replies
from gateway_simulator.account import account_values, impact, summary
from gateway_simulator.book import Book, Execution, Order, Terms
from gateway_simulator.contracts import Directory, Instrument
from gateway_simulator.market import Market
from gateway_simulator.ticks import all_ticks, changed_ticks
from gateway_simulator.wire import UNSET, FrameReader, split_fields

CLIENT_DECODER: Any = Decoder  # untyped upstream
AAPL = Directory().symbol("AAPL")
NOW = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
TERMS = Terms("BUY", Decimal(300), "LMT", Decimal("101.5"), tif="GTC", order_ref="desk-1")


class Recorder:
    """Takes every call the decoder makes."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.calls.append((name, arguments))


def fields_of(frame: bytes) -> list[str]:
    [payload] = FrameReader().feed(frame)
    return split_fields(payload)


def understood(frame: bytes) -> tuple[Any, ...]:
    """The one call, and its arguments, that the client makes of a frame."""
    recorder = Recorder()
    CLIENT_DECODER(recorder, 176).interpret(fields_of(frame))
    [(_name, arguments)] = recorder.calls
    return arguments


def mark(_instrument: Instrument) -> Decimal:
    return Decimal("102.00")


@pytest.fixture
def book() -> Book:
    return Book(1, Decimal(1_000_000))


@pytest.fixture
def order(book: Book) -> Order:
    return replace(book.open(7, 12, AAPL, TERMS), status="Submitted")


@pytest.fixture
def execution(book: Book, order: Order) -> Execution:
    return book.fill(order, Decimal(100), Decimal("101.25"), NOW)


def test_open_order_has_136_fields(order: Order) -> None:
    assert len(fields_of(order_replies.open_order(order, "DU1"))) == 136


def test_completed_order_has_101_fields(order: Order) -> None:
    assert len(fields_of(order_replies.completed_order(order, "DU1"))) == 101


def test_an_open_order_is_understood(order: Order) -> None:
    number, contract, told, state = understood(order_replies.open_order(order, "DU1"))
    assert number == told.orderId == 12
    assert (contract.conId, contract.symbol, contract.secType) == (265598, "AAPL", "STK")
    assert (told.action, told.totalQuantity, told.orderType) == ("BUY", 300, "LMT")
    assert (told.lmtPrice, told.tif, told.orderRef) == (101.5, "GTC", "desk-1")
    assert (told.clientId, told.permId, told.account) == (7, order.perm_id, "DU1")
    assert not told.whatIf
    assert state.status == "Submitted"
    assert state.initMarginChange == UNSET
    assert (told.softDollarTier.name, told.autoCancelParent) == ("", False)


def test_what_if_says_margins_and_commission(book: Book, order: Order) -> None:
    effect = impact(book, mark, order)
    _number, _contract, told, state = understood(order_replies.what_if(order, "DU1", effect))
    assert told.whatIf
    assert float(state.initMarginChange) == 300 * 102 / 2
    assert float(state.initMarginBefore) == 0
    assert float(state.initMarginAfter) == 300 * 102 / 2
    assert float(state.maintMarginAfter) == 300 * 102 / 4
    assert float(state.equityWithLoanBefore) == 1_000_000
    assert state.commission == 1.5
    assert float(state.equityWithLoanAfter) == 1_000_000 - 1.5


def test_a_completed_order_carries_no_order_id(order: Order) -> None:
    done = replace(order, status="Filled", filled=Decimal(300), completed_at=NOW)
    contract, told, state = understood(order_replies.completed_order(done, "DU1"))
    assert contract.conId == 265598
    assert (told.orderId, told.clientId) == (0, 0)
    assert (told.permId, told.orderRef) == (order.perm_id, "desk-1")
    assert (told.filledQuantity, told.totalQuantity) == (300, 300)
    assert (state.status, state.completedStatus) == ("Filled", "Filled Size: 300")
    assert state.completedTime == "20260105 10:00:00 America/New_York"


def test_a_rejected_order_is_read_back_as_cancelled(order: Order) -> None:
    rejected = replace(order, status="Inactive", completed_at=NOW, reason="no")
    _contract, _order, state = understood(order_replies.completed_order(rejected, "DU1"))
    assert (state.status, state.completedStatus) == ("Cancelled", "no")


def test_an_order_status_is_understood(execution: Execution) -> None:
    told = understood(order_replies.order_status(execution.order))
    perm_id = execution.order.perm_id
    assert told == (12, "Submitted", 100, 200, 101.25, perm_id, 0, 101.25, 7, "", 0)


def test_an_execution_is_understood(execution: Execution) -> None:
    frame = replies.execution_details(-1, execution, "DU1")
    assert len(fields_of(frame)) == 31

    class WithZone(Recorder):
        ib = None

    recorder = WithZone()
    CLIENT_DECODER(recorder, 176).interpret(fields_of(frame))
    [(_name, (number, contract, told))] = recorder.calls
    assert (number, contract.conId) == (-1, 265598)
    assert (told.execId, told.side, told.shares) == (execution.exec_id, "BOT", 100)
    assert (told.price, told.cumQty, told.avgPrice) == (101.25, 100, 101.25)
    assert (told.time, told.orderRef) == (NOW, "desk-1")
    assert (told.permId, told.clientId, told.orderId) == (execution.order.perm_id, 7, 12)


def test_a_commission_report_is_understood(execution: Execution) -> None:
    frame = replies.commission_report(execution)
    assert len(fields_of(frame)) == 8
    [told] = understood(frame)
    assert (told.execId, told.commission, told.currency) == (execution.exec_id, 1, "USD")
    assert told.realizedPNL == 0


def test_positions_and_portfolio_are_understood(book: Book, execution: Execution) -> None:
    held = book.positions[AAPL.con_id]
    assert len(fields_of(replies.position(held, "DU1"))) == 16
    account, contract, shares, cost = understood(replies.position(held, "DU1"))
    assert (account, contract.symbol, shares, cost) == ("DU1", "AAPL", 100, 101.26)
    assert len(fields_of(replies.portfolio(held, mark(AAPL), "DU1"))) == 20
    _contract, *numbers, account = understood(replies.portfolio(held, mark(AAPL), "DU1"))
    assert numbers == [100, 102, 10200, 101.26, 74, 0]
    assert account == "DU1"


def test_contract_details_are_understood() -> None:
    number, details = understood(replies.contract_details(5, AAPL))
    assert (number, details.contract.conId, details.contract.primaryExchange) == (
        5,
        265598,
        "NASDAQ",
    )
    assert (details.minTick, details.longName, details.stockType) == (0.01, "APPLE INC", "COMMON")
    assert (details.sizeIncrement, details.suggestedSizeIncrement) == (0.0001, 100)


def test_pnl_is_understood(book: Book, execution: Execution) -> None:
    assert understood(replies.pnl(5, book.pnl(mark))) == (5, 74, 74, 0)
    pnl = book.pnl(mark)
    told = understood(replies.pnl_single(5, Decimal(100), pnl, Decimal(10200)))
    assert told == (5, 100, 74, 74, 0, 10200)


def test_simple_messages_are_understood() -> None:
    assert understood(replies.next_valid_id(7)) == (7,)
    assert understood(replies.managed_accounts("DU1")) == ("DU1",)
    assert understood(replies.error(5, 200, "no")) == (5, 200, "no", "")
    assert understood(replies.current_time(NOW)) == (int(NOW.timestamp()),)
    assert understood(replies.account_value("A", "1", "USD", "DU1")) == ("A", "1", "USD", "DU1")
    assert understood(replies.market_data_type(5, 3)) == (5, 3)
    assert understood(replies.tick_parameters(5)) == (5, 0.01, "9c0001", 3)
    assert fields_of(replies.handshake(176, NOW)) == ["176", "20260105 10:00:00 EST"]


@pytest.mark.parametrize(
    ("delayed", "bid", "last_time"), [(False, 1, 45), (True, 66, 88)], ids=["live", "delayed"]
)
def test_a_quote_is_understood(delayed: bool, bid: int, last_time: int) -> None:
    quote = Market(1, 0.25).quote(AAPL)
    told = [
        understood(tick.addressed(5))
        for tick in all_ticks(quote, NOW, delayed=delayed)
        if "\0" + "0.0" not in tick.tail
    ]
    assert (5, bid, 229.99, quote.bid_size) in told
    assert (5, last_time, str(int(NOW.timestamp()))) in told
    assert len({arguments[1] for arguments in told}) == 9


def test_only_what_changed_is_told_again() -> None:
    quote = Market(1, 0.25).quote(AAPL)
    assert changed_ticks(quote, quote, NOW) == []
    moved = replace(quote, bid=quote.bid - 1)
    [tick] = changed_ticks(quote, moved, NOW)
    assert understood(tick.addressed(5)) == (5, 1, 228.99, quote.bid_size)


def test_account_values_add_up(book: Book, execution: Execution) -> None:
    values = {
        key: float(one)
        for (key, currency), one in _values(book).items()
        if currency == "USD" and key != "Currency"
    }
    assert values["NetLiquidation"] == 1_000_000 + 74
    assert values["TotalCashValue"] == 1_000_000 - 10_125 - 1
    assert values["GrossPositionValue"] == values["StockMarketValue"] == 10_200
    assert values["UnrealizedPnL"] == 74
    assert values["AvailableFunds"] == values["NetLiquidation"] - values["InitMarginReq"]


def test_a_summary_holds_what_its_tags_name(book: Book) -> None:
    values = _values(book)
    assert set(summary(values, ("NetLiquidation",))) == {("NetLiquidation", "USD")}
    ledger = summary(values, ("$LEDGER:ALL",))
    assert ("CashBalance", "BASE") in ledger
    assert ("NetLiquidation", "USD") not in ledger


def _values(book: Book) -> dict[tuple[str, str], str]:
    return dict(account_values(book, mark, "DU1"))
