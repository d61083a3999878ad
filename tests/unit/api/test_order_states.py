"""How facts move an order, in whatever order they come."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stocks_api.domain.orders import (
    Fill,
    NewOrder,
    Order,
    OrderFact,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
    apply,
    enter,
    new_order,
    newly_entered,
)

AT = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
S = OrderStatus


def an_order(quantity: str = "10") -> Order:
    request = NewOrder("AAPL", Side.BUY, OrderType.MARKET, Decimal(quantity), None, TimeInForce.DAY)
    return new_order("id-1", "desk", request, AT)


def fact(status: OrderStatus | None = None, *fills: Fill, filled: str = "0") -> OrderFact:
    return OrderFact("id-1", AT, status=status, fills=fills, filled_quantity=Decimal(filled))


def fill(exec_id: str, quantity: str, price: str = "100") -> Fill:
    return Fill(exec_id, Decimal(quantity), Decimal(price), AT)


def after(*facts: OrderFact) -> Order:
    order = an_order()
    for each in facts:
        order = apply(order, each)
    return order


@pytest.mark.parametrize(
    ("facts", "status", "entered"),
    [
        pytest.param([fact(S.ACCEPTED)], S.ACCEPTED, [S.ACCEPTED], id="acknowledged"),
        pytest.param(
            [fact(S.ACCEPTED), fact(S.ACCEPTED)], S.ACCEPTED, [S.ACCEPTED], id="acknowledged twice"
        ),
        pytest.param(
            [fact(S.FILLED)], S.FILLED, [S.ACCEPTED, S.FILLED], id="filled at once was accepted"
        ),
        pytest.param(
            [fact(S.FILLED), fact(S.ACCEPTED)],
            S.FILLED,
            [S.ACCEPTED, S.FILLED],
            id="a late acknowledgement changes nothing",
        ),
        pytest.param(
            [fact(None, fill("a.b.01.01", "4"))], S.ACCEPTED, [S.ACCEPTED], id="a partial fill"
        ),
        pytest.param(
            [fact(None, fill("a.b.01.01", "4")), fact(None, fill("a.b.02.01", "6"))],
            S.FILLED,
            [S.ACCEPTED, S.FILLED],
            id="executions alone fill an order",
        ),
        pytest.param([fact(S.REJECTED)], S.REJECTED, [S.REJECTED], id="rejected"),
        pytest.param(
            [fact(S.ACCEPTED), fact(S.REJECTED)],
            S.REJECTED,
            [S.ACCEPTED, S.REJECTED],
            id="rejected by the exchange after the gateway took it",
        ),
        pytest.param(
            [fact(S.REJECTED), fact(S.CANCELLED)], S.REJECTED, [S.REJECTED], id="rejected is final"
        ),
        pytest.param(
            [fact(S.UNRESOLVED), fact(S.ACCEPTED), fact(S.UNRESOLVED)],
            S.UNRESOLVED,
            [S.UNRESOLVED, S.ACCEPTED],
            id="in doubt twice is counted once",
        ),
        pytest.param(
            [fact(S.CANCELLED), fact(S.FILLED)],
            S.FILLED,
            [S.CANCELLED, S.ACCEPTED, S.FILLED],
            id="an execution has the last word",
        ),
    ],
)
def test_facts_move_an_order(
    facts: list[OrderFact], status: OrderStatus, entered: list[OrderStatus]
) -> None:
    order = after(*facts)
    assert order.status is status
    assert list(newly_entered(an_order(), order)) == entered


def test_the_average_price_weighs_the_fills() -> None:
    order = after(fact(None, fill("a.b.01.01", "4", "100"), fill("a.b.02.01", "6", "101")))
    assert order.average_price == Decimal("100.6")


def test_a_duplicate_execution_counts_once() -> None:
    once = fact(None, fill("a.b.01.01", "4"))
    assert after(once, once).filled_quantity == 4


def test_a_corrected_execution_replaces_the_first() -> None:
    order = after(fact(None, fill("a.b.01.01", "4")), fact(None, fill("a.b.01.02", "4", "99")))
    assert [one.price for one in order.fills] == [99]


def test_the_gateways_cumulative_quantity_counts_without_executions() -> None:
    assert after(fact(S.ACCEPTED, filled="3")).filled_quantity == 3


def test_filled_means_all_of_it() -> None:
    assert after(fact(S.FILLED)).filled_quantity == 10


def test_the_reason_of_a_rejection_is_kept() -> None:
    rejected = apply(an_order(), replace(fact(S.REJECTED), reason="201: margin"))
    assert rejected.reason == "201: margin"
    assert rejected.history[-1].detail == "201: margin"


def test_an_order_does_not_enter_what_may_not_follow() -> None:
    filled = after(fact(S.FILLED))
    assert enter(filled, S.CANCELLED, AT) is filled


_FACTS = st.lists(
    st.builds(
        OrderFact,
        order_id=st.just("id-1"),
        at=st.just(AT),
        status=st.sampled_from([None, *(set(S) - {S.PENDING})]),
        filled_quantity=st.integers(0, 10).map(Decimal),
        fills=st.lists(
            st.builds(
                Fill,
                exec_id=st.sampled_from(["a.b.01.01", "a.b.02.01", "a.b.03.01"]),
                quantity=st.integers(1, 3).map(Decimal),
                price=st.integers(1, 200).map(Decimal),
                at=st.just(AT),
            ),
            max_size=3,
        ).map(tuple),
    ),
    max_size=12,
)


@given(_FACTS)
def test_whatever_is_heard_each_status_is_entered_once_and_shares_never_vanish(
    facts: list[OrderFact],
) -> None:
    order = an_order()
    for each in facts:
        heard = apply(order, each)
        assert heard.filled_quantity >= order.filled_quantity
        assert order.status is not S.FILLED or heard.status is S.FILLED
        assert apply(heard, each) is heard or each.status is S.UNRESOLVED
        order = heard
    statuses = [change.status for change in order.history]
    assert len(statuses) == len(set(statuses))
    assert order.status in statuses
    assert order.status is not S.FILLED or order.filled_quantity >= order.request.quantity
