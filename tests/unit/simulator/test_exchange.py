"""Matching: what fills, what rests, and which events come in which order."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gateway_simulator.book import Book, RefusedError, Terms
from gateway_simulator.contracts import Directory, Instrument
from gateway_simulator.exchange import (
    Acknowledged,
    Cancelled,
    Event,
    Exchange,
    Filled,
    Rejected,
)
from gateway_simulator.market import Market

AAPL, MSFT = Directory().symbol("AAPL"), Directory().symbol("MSFT")
NOW = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)


def terms(
    action: str = "BUY",
    quantity: str = "100",
    order_type: str = "MKT",
    limit: str | None = None,
    stop: str | None = None,
    tif: str = "DAY",
) -> Terms:
    return Terms(
        action,
        Decimal(quantity),
        order_type,
        Decimal(limit) if limit else None,
        Decimal(stop) if stop else None,
        tif,
    )


@pytest.fixture
def exchange() -> Exchange:
    made = Exchange(Book(1, Decimal(1_000_000)), Market(1, 0.25), lambda: NOW)
    made.market.jump(AAPL, Decimal(100))
    return made


def kinds(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def fills(events: list[Event]) -> list[Filled]:
    return [event for event in events if isinstance(event, Filled)]


def statuses(exchange: Exchange) -> list[str]:
    return [one.status for one in exchange.book.open_orders()]


def test_a_market_order_is_acknowledged_then_filled_at_the_other_side(exchange: Exchange) -> None:
    events = exchange.place(1, 1, AAPL, terms())
    assert kinds(events) == ["Acknowledged", "Filled"]
    assert fills(events)[0].execution.price == exchange.market.quote(AAPL).ask
    sold = exchange.place(1, 2, AAPL, terms("SELL"))
    assert fills(sold)[0].execution.price == exchange.market.quote(AAPL).bid


def test_a_limit_at_the_other_side_fills_and_a_cent_short_of_it_rests(exchange: Exchange) -> None:
    ask = exchange.market.quote(AAPL).ask
    short = exchange.place(1, 1, AAPL, terms(order_type="LMT", limit=str(ask - Decimal("0.01"))))
    assert kinds(short) == ["Acknowledged"]
    exact = exchange.place(1, 2, AAPL, terms(order_type="LMT", limit=str(ask)))
    assert kinds(exact) == ["Acknowledged", "Filled"]


@pytest.mark.parametrize(
    ("action", "limit", "moved_to"),
    [("BUY", "99", "98.50"), ("SELL", "101", "101.50")],
    ids=["a buy fills when the price falls", "a sale fills when the price rises"],
)
def test_a_limit_order_rests_until_the_price_reaches_it(
    exchange: Exchange, action: str, limit: str, moved_to: str
) -> None:
    assert kinds(exchange.place(1, 1, AAPL, terms(action, order_type="LMT", limit=limit))) == [
        "Acknowledged"
    ]
    assert exchange.match() == []
    exchange.market.jump(AAPL, Decimal(moved_to))
    price = fills(exchange.match())[0].execution.price
    assert abs(price - Decimal(moved_to)) <= Decimal("0.01")


def test_a_large_order_fills_in_parts_of_what_is_shown(exchange: Exchange) -> None:
    filled = fills(exchange.place(1, 1, AAPL, terms(quantity="10000")))
    while exchange.book.open_orders():
        assert exchange.match() == []  # nothing more within this tick
        exchange.market.step()
        filled += fills(exchange.match())
    assert len(filled) > 1
    assert sum(one.execution.shares for one in filled) == 10_000
    assert filled[-1].execution.order.status == "Filled"


def test_a_stop_waits_and_becomes_a_market_order(exchange: Exchange) -> None:
    exchange.place(1, 1, AAPL, terms("SELL", order_type="STP", stop="95"))
    assert statuses(exchange) == ["PreSubmitted"]
    exchange.market.jump(AAPL, Decimal("95.01"))
    assert exchange.match() == []
    exchange.market.jump(AAPL, Decimal("95.00"))
    assert kinds(exchange.match()) == ["Acknowledged", "Filled"]


def test_a_stop_limit_becomes_a_limit_order_and_stays_one(exchange: Exchange) -> None:
    exchange.place(1, 1, AAPL, terms("SELL", order_type="STP LMT", stop="95", limit="96"))
    exchange.market.jump(AAPL, Decimal("94.50"))
    assert kinds(exchange.match()) == ["Acknowledged"]
    assert statuses(exchange) == ["Submitted"]
    exchange.market.jump(AAPL, Decimal("96.50"))
    assert kinds(exchange.match()) == ["Filled"]


def test_immediate_or_cancel_keeps_nothing(exchange: Exchange) -> None:
    resting = exchange.place(1, 1, AAPL, terms(order_type="LMT", limit="90", tif="IOC"))
    assert kinds(resting) == ["Acknowledged", "Cancelled"]
    large = exchange.place(1, 2, AAPL, terms(quantity="10000", tif="IOC"))
    assert kinds(large) == ["Acknowledged", "Filled", "Cancelled"]
    assert exchange.book.open_orders() == []


def test_a_modification_replaces_the_terms_and_matches_again(exchange: Exchange) -> None:
    exchange.place(1, 1, AAPL, terms(order_type="LMT", limit="90"))
    events = exchange.modify(1, 1, AAPL, terms(order_type="LMT", limit="110", quantity="50"))
    assert kinds(events) == ["Acknowledged", "Filled"]
    assert fills(events)[0].execution.shares == 50


def test_an_injected_rejection_ends_inactive_and_uses_the_id_up(exchange: Exchange) -> None:
    events = exchange.place(1, 1, AAPL, terms(), rejection=(201, "no"))
    assert isinstance(events[0], Rejected)
    assert events[0].order.status == "Inactive"
    assert exchange.book.next_order_id(1) == 2


def test_held_fills_rest_and_go_on_later(exchange: Exchange) -> None:
    exchange.fills_held = True
    assert kinds(exchange.place(1, 1, AAPL, terms())) == ["Acknowledged"]
    assert exchange.match() == []
    exchange.fills_held = False
    assert kinds(exchange.match()) == ["Filled"]


def test_while_the_link_is_lost_orders_and_cancels_wait(exchange: Exchange) -> None:
    exchange.place(1, 1, AAPL, terms(order_type="LMT", limit="90"))
    exchange.reachable = False
    assert kinds(exchange.place(1, 2, AAPL, terms())) == ["Acknowledged"]
    assert kinds(exchange.cancel(1, 1)) == ["Acknowledged"]
    assert statuses(exchange) == ["PendingCancel", "PendingSubmit"]
    assert exchange.match() == []

    events = exchange.reconnect()

    assert kinds(events) == ["Cancelled", "Acknowledged", "Filled"]
    assert exchange.book.open_orders() == []


def test_cancelling_all_spares_nobody(exchange: Exchange) -> None:
    for client in (1, 2):
        exchange.place(client, 1, AAPL, terms(order_type="LMT", limit="90"))
    events = exchange.cancel_all()
    assert [one.order.client_id for one in events if isinstance(one, Cancelled)] == [1, 2]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (terms("HOLD"), 321),
        (terms(quantity="0"), 321),
        (terms(quantity="-5"), 321),
        (terms(quantity="NaN"), 321),
        (terms(quantity="1e308"), 321),
        (terms(quantity="0.00001"), 321),
        (terms(limit="1e308"), 321),
        (terms(stop="NaN"), 321),
        (terms(order_type="LMT"), 321),
        (terms(order_type="LMT", limit="Infinity"), 321),
        (terms(order_type="STP"), 321),
        (terms(order_type="TRAIL"), 387),
        (terms(tif="FOK"), 201),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else f"{value.order_type} {value.tif}",
)
def test_impossible_terms_are_refused_and_not_booked(
    exchange: Exchange, wrong: Terms, code: int
) -> None:
    with pytest.raises(RefusedError) as refused:
        exchange.place(1, 1, AAPL, wrong)
    assert refused.value.code == code
    assert exchange.book.next_order_id(1) == 1


def test_orders_that_are_done_or_unknown_refuse_changes(exchange: Exchange) -> None:
    exchange.place(1, 1, AAPL, terms())
    cases: list[tuple[Callable[[], object], int]] = [
        (lambda: exchange.modify(1, 1, AAPL, terms()), 104),
        (lambda: exchange.modify(1, 9, AAPL, terms()), 103),
        (lambda: exchange.cancel(1, 1), 10148),
        (lambda: exchange.cancel(1, 9), 10147),
        (lambda: exchange.cancel(2, 1), 10147),
    ]
    for change, code in cases:
        with pytest.raises(RefusedError) as refused:
            change()
        assert refused.value.code == code


@pytest.mark.parametrize(
    ("instrument", "changed", "code"),
    [
        (MSFT, terms(order_type="LMT", limit="90"), 105),
        (AAPL, terms("SELL", order_type="LMT", limit="90"), 105),
        (AAPL, terms(order_type="LMT", limit="-1"), 321),
    ],
    ids=["another stock", "the other side", "an impossible price"],
)
def test_some_changes_need_a_new_order(
    exchange: Exchange, instrument: Instrument, changed: Terms, code: int
) -> None:
    exchange.place(1, 1, AAPL, terms(order_type="LMT", limit="90"))
    with pytest.raises(RefusedError) as refused:
        exchange.modify(1, 1, instrument, changed)
    assert refused.value.code == code


def test_events_say_what_was_true_when_they_happened(exchange: Exchange) -> None:
    acknowledged, filled = exchange.place(1, 1, AAPL, terms())
    assert isinstance(acknowledged, Acknowledged)
    assert isinstance(filled, Filled)
    assert acknowledged.order.status == "Submitted"
    assert filled.execution.order.status == "Filled"
