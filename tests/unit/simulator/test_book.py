"""Book-keeping against a model of a few lines, and identities that must hold at any time."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_simulator import book as book_module
from gateway_simulator.book import Book, Order, RefusedError, Terms, commission
from gateway_simulator.contracts import Directory, Instrument

AAPL = Directory().symbol("AAPL")
NOW = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
CASH = Decimal(1_000_000)
MILLIONTH = Decimal("0.000001")

shares = st.integers(-500, 500).filter(bool).map(Decimal)
prices = st.decimals(min_value=1, max_value=999, places=2)
trades = st.lists(st.tuples(shares, prices), min_size=1, max_size=25)


def new_book() -> Book:
    return Book(run=1, initial_cash=CASH)


def trade(book: Book, number: int, signed: Decimal, price: Decimal) -> None:
    terms = Terms("BUY" if signed > 0 else "SELL", abs(signed), "MKT")
    order = book.open(1, number, AAPL, terms)
    book.fill(order, abs(signed), price, NOW)


def at(price: Decimal) -> book_module.Mark:
    def mark(_instrument: Instrument) -> Decimal:
        return price

    return mark


def model(made: list[tuple[Decimal, Decimal]]) -> tuple[Decimal, Decimal, Decimal]:
    """Quantity, average cost and realised P&L, share by share with the average-cost method."""
    quantity, average, realized = Decimal(0), Decimal(0), Decimal(0)
    for signed, price in made:
        side = 1 if signed > 0 else -1
        each = price + side * commission(abs(signed), price) / abs(signed)
        for _ in range(int(abs(signed))):
            if quantity * side >= 0:
                average = (average * abs(quantity) + each) / (abs(quantity) + 1)
            else:
                realized += (average - each) * side
            quantity += side
    return quantity, average if quantity else Decimal(0), realized


@given(trades)
def test_positions_agree_with_counting_share_by_share(made: list[tuple[Decimal, Decimal]]) -> None:
    book = new_book()
    for number, (signed, price) in enumerate(made, start=1):
        trade(book, number, signed, price)
    held = book.positions[AAPL.con_id]

    quantity, average, realized = model(made)

    assert held.quantity == quantity
    assert abs(held.average_cost - average) < MILLIONTH
    assert abs(held.realized - realized) < MILLIONTH


@given(trades, prices)
def test_net_liquidation_is_initial_cash_and_all_profit(
    made: list[tuple[Decimal, Decimal]], price: Decimal
) -> None:
    book = new_book()
    for number, (signed, paid) in enumerate(made, start=1):
        trade(book, number, signed, paid)
    pnl = book.pnl(at(price))
    assert abs(book.net_liquidation(at(price)) - CASH - pnl.realized - pnl.unrealized) < MILLIONTH
    assert abs(pnl.daily - pnl.realized - pnl.unrealized) < MILLIONTH


def test_a_round_trip_costs_both_commissions() -> None:
    book = new_book()
    trade(book, 1, Decimal(100), Decimal("10.00"))
    trade(book, 2, Decimal(-100), Decimal("11.00"))
    assert book.positions[AAPL.con_id].realized == Decimal(100) - 2
    assert book.held() == []
    assert book.executions()[-1].realized == Decimal(98)


@pytest.mark.parametrize(
    ("number", "price", "fee"),
    [("100", "200", "1"), ("1000", "200", "5"), ("10", "2", "0.2")],
    ids=["at least a dollar", "half a cent a share", "at most one per cent"],
)
def test_commission(number: str, price: str, fee: str) -> None:
    assert commission(Decimal(number), Decimal(price)) == Decimal(fee)


def test_partial_fills_average_and_complete_the_order() -> None:
    book = new_book()
    order = book.open(1, 1, AAPL, Terms("BUY", Decimal(300), "MKT"))
    first = book.fill(order, Decimal(100), Decimal("10.00"), NOW).order
    assert (first.status, first.remaining) == ("Submitted", Decimal(200))
    last = book.fill(first, Decimal(200), Decimal("10.30"), NOW).order
    assert (last.status, last.average_price, last.remaining) == (
        "Filled",
        Decimal("10.20"),
        Decimal(0),
    )
    assert book.open_orders() == []
    assert book.completed_orders() == [last]
    assert [one.order.filled for one in book.executions()] == [100, 300]


def test_order_ids_only_go_up_and_are_each_clients_own() -> None:
    book = new_book()
    terms = Terms("BUY", Decimal(1), "MKT")
    book.open(1, 5, AAPL, terms)
    assert book.next_order_id(1) == 6
    assert book.next_order_id(2) == 1
    with pytest.raises(RefusedError) as refused:
        book.open(1, 5, AAPL, terms)
    assert refused.value.code == 103
    book.open(2, 5, AAPL, terms)


def test_permanent_and_execution_ids_of_two_runs_differ() -> None:
    ids = set()
    for run in (1000, 1001):
        book = Book(run, CASH)
        trade(book, 1, Decimal(1), Decimal(10))
        ids |= {book.completed_orders()[0].perm_id, book.executions()[0].exec_id}
    assert len(ids) == 4


def test_a_new_day_forgets_what_is_done_and_counts_profit_from_then() -> None:
    book = new_book()
    trade(book, 1, Decimal(100), Decimal("10.00"))
    trade(book, 2, Decimal(-50), Decimal("12.00"))
    day_order = book.open(1, 3, AAPL, Terms("BUY", Decimal(1), "LMT", Decimal(5)))
    book.open(1, 4, AAPL, Terms("BUY", Decimal(1), "LMT", Decimal(5), tif="GTC"))

    expired = book.end_day(at(Decimal("12.00")))

    assert expired == [day_order]
    assert book.executions() == []
    assert book.completed_orders() == []
    assert book.pnl(at(Decimal("12.00"))).daily == 0
    assert book.pnl(at(Decimal("12.50"))).daily == 25
    assert book.pnl(at(Decimal("12.50"))).realized == 0


def test_open_orders_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_module, "MAX_OPEN_ORDERS", 2)
    book, terms = new_book(), Terms("BUY", Decimal(1), "LMT", Decimal(5))
    for number in (1, 2):
        book.open(1, number, AAPL, terms)
    with pytest.raises(RefusedError, match="2 open orders are the limit"):
        book.open(1, 3, AAPL, terms)


def test_the_oldest_completed_orders_are_forgotten_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(book_module, "MAX_COMPLETED_ORDERS", 2)
    book = new_book()
    for number in (1, 2, 3):
        trade(book, number, Decimal(1), Decimal(10))
    assert [one.order_id for one in book.completed_orders()] == [2, 3]
    assert [one.order.order_id for one in book.executions()] == [2, 3]
    assert book.forgotten_orders == 1


def test_an_order_told_is_not_changed_afterwards() -> None:
    book = new_book()
    order: Order = book.open(1, 1, AAPL, Terms("BUY", Decimal(1), "MKT"))
    book.fill(order, Decimal(1), Decimal(10), NOW)
    assert order.status == "PendingSubmit"


def test_a_restart_loses_the_newest_open_orders_and_counts_ids_from_the_open_ones() -> None:
    book = new_book()
    kept = book.open(1, 1, AAPL, Terms("BUY", Decimal(1), "MKT"))
    filled = book.open(1, 2, AAPL, Terms("BUY", Decimal(1), "MKT"))
    book.fill(filled, Decimal(1), Decimal("10.00"), NOW)
    book.open(1, 3, AAPL, Terms("BUY", Decimal(1), "MKT"))
    book.restart(forgotten=1)
    assert book.open_orders() == [kept]
    assert book.next_order_id(1) == 2
    again = book.open(1, 2, AAPL, Terms("SELL", Decimal(1), "MKT"))
    assert again.perm_id not in {one.perm_id for one in book.completed_orders()}
