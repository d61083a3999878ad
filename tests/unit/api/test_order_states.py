"""How facts move an order, in whatever order they come."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stocks_api.domain.errors import ImpossibleChange
from stocks_api.domain.orders import (
    Change,
    Fill,
    Irregular,
    Message,
    NewOrder,
    Order,
    OrderFact,
    OrderStatus,
    OrderType,
    Side,
    Terms,
    TimeInForce,
    apply,
    changed_terms,
    enter,
    irregular,
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


def charged(exec_id: str, commission: str | None) -> OrderFact:
    amount = None if commission is None else Decimal(commission)
    currency = None if commission is None else "USD"
    told = replace(fill(exec_id, "4"), commission=amount, commission_currency=currency)
    return replace(fact(None, told), message=Message.COMMISSION)


@pytest.mark.parametrize(
    ("facts", "commissions"),
    [
        pytest.param([fact(None, fill("a.b.01.01", "4"))], [None], id="not yet"),
        pytest.param(
            [fact(None, fill("a.b.01.01", "4")), charged("a.b.01.01", "1")], ["1"], id="later"
        ),
        pytest.param(
            [charged("a.b.01.01", "1"), fact(None, fill("a.b.01.01", "4"))],
            ["1"],
            id="before its execution is known",
        ),
        pytest.param(
            [charged("a.b.01.01", "1"), charged("a.b.01.01", None)], ["1"], id="unknown again"
        ),
        pytest.param(
            [charged("a.b.01.01", "1"), charged("a.b.01.01", "1.5")], ["1.5"], id="corrected"
        ),
        pytest.param(
            [fact(None, fill("a.b.01.02", "4")), charged("a.b.01.01", "1")],
            [None],
            id="of an execution that was corrected since",
        ),
    ],
)
def test_a_commission_comes_when_it_likes(
    facts: list[OrderFact], commissions: list[str | None]
) -> None:
    order = after(*facts)
    assert [one.commission for one in order.fills] == [
        None if one is None else Decimal(one) for one in commissions
    ]
    assert (order.filled_quantity, order.status) == (Decimal(4), S.ACCEPTED)


def test_a_commission_that_was_heard_changes_nothing() -> None:
    order = after(charged("a.b.01.01", "1"))
    assert apply(order, charged("a.b.01.01", "1.000000")) is order


@pytest.mark.parametrize(
    ("status", "told", "expected"),
    [
        pytest.param(S.ACCEPTED, fact(S.ACCEPTED), None, id="open orders hear everything"),
        pytest.param(S.FILLED, fact(S.ACCEPTED), Irregular.LATE, id="accepted after the fill"),
        pytest.param(S.FILLED, fact(S.FILLED), None, id="the fill's own status"),
        pytest.param(S.FILLED, fact(None), None, id="a status that says nothing"),
    ],
)
def test_a_status_of_a_final_order_is_late(
    status: OrderStatus, told: OrderFact, expected: Irregular | None
) -> None:
    order = after(fact(status))
    assert irregular(order, replace(told, message=Message.ORDER_STATUS)) is expected


def test_an_execution_of_a_final_order_is_late_and_its_commission_is_not() -> None:
    filled = after(fact(S.FILLED))
    execution = replace(fact(None, fill("a.b.01.01", "4")), message=Message.EXECUTION)
    assert irregular(filled, execution) is Irregular.LATE
    assert irregular(apply(filled, execution), charged("a.b.01.01", "1")) is None


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
                commission=st.none() | st.integers(-1, 1).map(Decimal),
            ),
            max_size=3,
        ).map(tuple),
    ),
    max_size=12,
)


def charged_ids(order: Order) -> set[str]:
    return {fill.exec_id for fill in order.fills if fill.commission is not None}


def limit_order() -> Order:
    request = replace(an_order().request, order_type=OrderType.LIMIT, limit_price=Decimal(5))
    return new_order("id-1", "desk", request, AT)


def test_the_history_tells_each_doubt() -> None:
    order = after(fact(S.UNRESOLVED), fact(S.ACCEPTED), fact(S.UNRESOLVED), fact(S.CANCELLED))
    assert [change.status for change in order.history] == [
        S.PENDING,
        S.UNRESOLVED,
        S.ACCEPTED,
        S.UNRESOLVED,
        S.CANCELLED,
    ]


def test_terms_are_what_the_gateway_says_and_a_change_of_them_is_in_the_history() -> None:
    placed = apply(limit_order(), fact(S.ACCEPTED))
    told = replace(fact(), terms=Terms(Decimal(20), Decimal("5.5"), Decimal(0)))
    changed = apply(placed, told)
    assert changed.terms == Terms(Decimal(20), Decimal("5.5"), None)
    assert changed.history[-1].detail == "changed: quantity 20, limit 5.5, stop -"
    assert newly_entered(placed, changed) == ()
    assert changed.request == placed.request  # by which a repeated request is known
    assert apply(changed, told) is changed


def test_the_same_terms_again_are_no_change() -> None:
    placed = apply(limit_order(), fact(S.ACCEPTED))
    assert apply(placed, replace(fact(), terms=Terms(Decimal(10), Decimal("5.00")))) is placed


def test_an_order_is_filled_when_its_changed_quantity_is() -> None:
    smaller = apply(an_order(), replace(fact(S.ACCEPTED), terms=Terms(Decimal(4))))
    assert apply(smaller, fact(None, fill("a.b.01.01", "4"))).status is S.FILLED


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (Change(stop_price=Decimal(1)), "stop_price"),
        (Change(quantity=Decimal(4)), "quantity"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(change: Change, field: str) -> None:
    order = apply(limit_order(), fact(None, fill("a.b.01.01", "4")))
    with pytest.raises(ImpossibleChange) as caught:
        changed_terms(order, change)
    assert caught.value.field == field


@given(_FACTS)
def test_whatever_is_heard_each_status_is_entered_once_and_shares_never_vanish(
    facts: list[OrderFact],
) -> None:
    order = an_order()
    for each in facts:
        heard = apply(order, each)
        assert heard.filled_quantity >= order.filled_quantity
        assert charged_ids(order) <= charged_ids(heard)
        assert order.status is not S.FILLED or heard.status is S.FILLED
        assert apply(heard, each) is heard or each.status is S.UNRESOLVED
        order = heard
    entered = newly_entered(an_order(), order)
    assert len(entered) == len(set(entered))
    assert order.history[-1].status is order.status
    assert order.status is not S.FILLED or order.filled_quantity >= order.request.quantity
