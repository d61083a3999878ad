"""The single writer: nothing is lost while the database is away, nothing is counted twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from tests.unit.api import clock

from stocks_api.domain.errors import DatabaseUnavailable
from stocks_api.domain.orders import (
    Fill,
    Irregular,
    Message,
    NewOrder,
    Order,
    OrderFact,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
    new_order,
)
from stocks_api.services.order_writer import OrderWriter, Snapshot

AT = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
S = OrderStatus


class Store:
    """Orders in memory; can be away."""

    def __init__(self, *orders: Order) -> None:
        self.orders = {order.id: order for order in orders}
        self.away = False
        self.broken: set[str] = set()

    async def get(self, order_id: str) -> Order | None:
        self._answer(order_id)
        return self.orders.get(order_id)

    async def many(self, order_ids: Collection[str]) -> Sequence[Order]:
        self._answer("")
        return [order for order in self.orders.values() if order.id in order_ids]

    async def by_perm_ids(self, perm_ids: Collection[int]) -> Mapping[int, str]:
        self._answer("")
        found = self.orders.values()
        return {order.perm_id or 0: order.id for order in found if order.perm_id in perm_ids}

    async def open_orders(self) -> Sequence[Order]:
        self._answer("")
        return [order for order in self.orders.values() if order.is_open]

    async def save(self, order: Order) -> None:
        self._answer(order.id)
        self.orders[order.id] = order

    def _answer(self, order_id: str) -> None:
        if self.away:
            raise DatabaseUnavailable("away")
        if order_id in self.broken:
            raise ValueError("a bug")


class Shown:
    def __init__(self) -> None:
        self.entered: list[tuple[str, str]] = []
        self.latencies: list[str] = []
        self.unresolved = -1
        self.irregular: list[tuple[str, str]] = []

    def order_entered(self, order: Order, status: OrderStatus) -> None:
        self.entered.append((order.id, status))

    def order_latency(self, stage: str, seconds: float) -> None:
        assert seconds >= 0
        self.latencies.append(stage)

    def unresolved_orders(self, count: int) -> None:
        self.unresolved = count

    def irregular_message(self, message: Message, irregular: Irregular) -> None:
        self.irregular.append((message, irregular))


def order(order_id: str, status: OrderStatus = S.PENDING) -> Order:
    request = NewOrder("AAPL", Side.BUY, OrderType.MARKET, Decimal(10), None, TimeInForce.DAY)
    return replace(new_order(order_id, "desk", request, AT), status=status)


def fact(order_id: str, status: OrderStatus | None) -> OrderFact:
    return OrderFact(order_id, AT, status=status)


@asynccontextmanager
async def writing(store: Store, shown: Shown) -> AsyncIterator[OrderWriter]:
    writer = OrderWriter(store, shown)
    task = asyncio.create_task(writer.run())
    yield writer
    await writer.drain()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def test_facts_are_stored_and_counted_once() -> None:
    async def scenario() -> None:
        store, shown = Store(order("a")), Shown()
        async with writing(store, shown) as writer:
            writer.sending("a")
            for status in (S.ACCEPTED, S.ACCEPTED, S.FILLED, S.FILLED):
                writer.record(fact("a", status))
        assert store.orders["a"].status is S.FILLED
        assert shown.entered == [("a", "accepted"), ("a", "filled")]
        assert shown.latencies == ["ack", "fill"]

    clock.run(scenario())


def test_what_is_heard_while_the_database_is_away_is_stored_afterwards_in_order() -> None:
    async def scenario() -> None:
        store, shown = Store(order("a")), Shown()
        async with writing(store, shown) as writer:
            store.away = True
            writer.record(fact("a", S.ACCEPTED))
            writer.record(fact("a", S.FILLED))
            await asyncio.sleep(60)
            assert shown.entered == []
            store.away = False
        assert shown.entered == [("a", "accepted"), ("a", "filled")]

    clock.run(scenario())


def test_one_bad_message_does_not_stop_the_next() -> None:
    async def scenario() -> None:
        store, shown = Store(order("a"), order("b")), Shown()
        store.broken = {"a"}
        async with writing(store, shown) as writer:
            writer.record(fact("a", S.ACCEPTED))
            writer.record(fact("b", S.ACCEPTED))
        assert shown.entered == [("b", "accepted")]

    clock.run(scenario())


def test_an_order_of_somebody_else_is_ignored() -> None:
    async def scenario() -> None:
        store, shown = Store(), Shown()
        async with writing(store, shown) as writer:
            writer.record(fact("entered by hand", S.FILLED))
        assert (store.orders, shown.entered) == ({}, [])

    clock.run(scenario())


def test_a_lost_link_puts_what_was_sent_and_not_answered_in_doubt() -> None:
    async def scenario() -> None:
        store, shown = Store(order("sent"), order("answered"), order("not sent yet")), Shown()
        async with writing(store, shown) as writer:
            writer.sending("sent")
            writer.sending("answered")
            writer.intend("not sent yet")
            writer.record(fact("answered", S.ACCEPTED))
            writer.link_lost()
        statuses = {name: each.status for name, each in store.orders.items()}
        assert statuses == {
            "sent": S.UNRESOLVED,
            "answered": S.ACCEPTED,
            "not sent yet": S.PENDING,
        }
        assert shown.unresolved == 1

    clock.run(scenario())


@pytest.mark.parametrize("status", [S.PENDING, S.ACCEPTED])
def test_an_order_that_the_gateway_does_not_know_is_unresolved(status: OrderStatus) -> None:
    async def scenario() -> None:
        store, shown = Store(order("a", status)), Shown()
        async with writing(store, shown) as writer:
            writer.reconcile(Snapshot(asked_at=0, facts=()))
        assert store.orders["a"].status is S.UNRESOLVED
        assert not writer.reconciling
        assert shown.unresolved == 1
        assert writer.in_doubt

    clock.run(scenario())


def test_an_order_that_is_being_sent_is_not_judged_by_an_older_snapshot() -> None:
    async def scenario() -> None:
        store, shown = Store(order("being committed"), order("just sent")), Shown()
        async with writing(store, shown) as writer:
            writer.intend("being committed")
            writer.sending("just sent")
            writer.reconcile(Snapshot(asked_at=0, facts=()))
        assert {each.status for each in store.orders.values()} == {S.PENDING}

    clock.run(scenario())


def test_a_snapshot_settles_what_was_in_doubt() -> None:
    async def scenario() -> None:
        store, shown = Store(order("a", S.UNRESOLVED), order("b", S.UNRESOLVED)), Shown()
        async with writing(store, shown) as writer:
            writer.reconcile(Snapshot(asked_at=0, facts=(fact("a", S.FILLED),)))
        assert store.orders["a"].status is S.FILLED
        assert shown.unresolved == 1
        assert shown.latencies == []  # when it was filled, nobody here saw

    clock.run(scenario())


def test_a_decision_ends_what_is_in_doubt_and_the_gateways_word_comes_before_it() -> None:
    async def scenario() -> None:
        store, shown = Store(order("a", S.UNRESOLVED), order("b", S.UNRESOLVED)), Shown()
        async with writing(store, shown) as writer:
            writer.reconcile(Snapshot(asked_at=0, facts=(fact("b", S.ACCEPTED),)))
            for order_id in ("a", "b"):
                writer.close(replace(fact(order_id, S.CANCELLED), reason="resolved by officer"))
        assert store.orders["a"].status is S.CANCELLED
        assert store.orders["a"].history[-1].detail == "resolved by officer"
        assert store.orders["b"].status is S.ACCEPTED
        assert shown.unresolved == 0

    clock.run(scenario())


def test_what_the_gateway_calls_by_its_own_id_alone_is_found_by_it() -> None:
    async def scenario() -> None:
        known = [replace(order(name), perm_id=number) for number, name in enumerate("abc", 1)]
        store, shown = Store(*known), Shown()
        async with writing(store, shown) as writer:
            writer.record(replace(fact("", S.ACCEPTED), perm_id=1))
            writer.record(replace(fact("", S.ACCEPTED), perm_id=99))  # somebody else's
            nameless = replace(fact("", S.FILLED), perm_id=2)
            writer.reconcile(Snapshot(asked_at=0, facts=(nameless, fact("c", S.ACCEPTED))))
        found = {name: one.status for name, one in store.orders.items()}
        assert found == {"a": S.UNRESOLVED, "b": S.FILLED, "c": S.ACCEPTED}

    clock.run(scenario())


def test_messages_that_are_late_or_about_nobodys_order_are_counted_after_they_are_stored() -> None:
    async def scenario() -> None:
        store, shown = Store(order("a", S.FILLED)), Shown()
        status = replace(fact("a", S.ACCEPTED), message=Message.ORDER_STATUS)
        fill = Fill("a.b.01.01", Decimal(10), Decimal(1), AT)
        execution = replace(fact("a", None), fills=(fill,), message=Message.EXECUTION)
        async with writing(store, shown) as writer:
            store.away = True
            writer.record(status)
            await asyncio.sleep(5)
            assert shown.irregular == []
            store.away = False
            for each in (replace(status, status=S.FILLED), execution, execution):
                writer.record(each)
            writer.record(replace(status, order_id="nobody"))
            writer.record(fact("a", S.ACCEPTED))  # ours, not the gateway's
        assert shown.irregular == [
            ("order_status", "late"),
            ("execution", "late"),
            ("order_status", "unknown"),
        ]

    clock.run(scenario())


def test_what_is_not_told_of_fills_is_asked_for_once_and_counted() -> None:
    async def scenario() -> None:
        store, shown = Store(order("a", S.ACCEPTED)), Shown()
        fill = Fill("a.b.01.01", Decimal(10), Decimal(1), AT)
        in_doubt = []
        async with writing(store, shown) as writer:
            for told in (fact("a", S.FILLED), replace(fact("a", None), fills=(fill,))):
                writer.record(told)
                await writer.drain()
                in_doubt.append(writer.in_doubt)
                writer.settle(Snapshot(asked_at=time.monotonic(), facts=()))
                await writer.drain()
                in_doubt.append(writer.in_doubt)
            writer.record(replace(fact("a", None), fills=(replace(fill, commission=Decimal(1)),)))
        assert in_doubt == [True, False, True, False]
        assert shown.irregular == [("execution", "missing"), ("commission", "missing")]
        assert [one.commission for one in store.orders["a"].fills] == [Decimal(1)]

    clock.run(scenario())


def test_new_orders_need_not_wait_while_doubts_are_settled() -> None:
    async def scenario() -> None:
        store, shown = Store(order("a", S.UNRESOLVED)), Shown()
        async with writing(store, shown) as writer:
            writer.settle(Snapshot(asked_at=0, facts=(fact("a", S.ACCEPTED),)))
            assert not writer.reconciling
        assert store.orders["a"].status is S.ACCEPTED

    clock.run(scenario())


def test_reconciling_lasts_until_the_database_is_back() -> None:
    async def scenario() -> None:
        store, shown = Store(order("a", S.ACCEPTED)), Shown()
        async with writing(store, shown) as writer:
            store.away = True
            writer.reconcile(Snapshot(asked_at=0, facts=()))
            behind = []
            for pause in (30, 1):
                await asyncio.sleep(pause)
                behind.append(writer.reconciling)
                store.away = False
            assert behind == [True, False]

    clock.run(scenario())


def test_waiting_for_an_answer_ends_with_the_answer_or_with_patience() -> None:
    async def scenario() -> None:
        store, shown = Store(order("a"), order("b")), Shown()
        async with writing(store, shown) as writer:
            asyncio.get_running_loop().call_later(2, writer.record, fact("a", S.ACCEPTED))
            started = asyncio.get_running_loop().time()
            await writer.settled("a", 5)
            assert asyncio.get_running_loop().time() - started == pytest.approx(2, abs=0.1)
            await writer.settled("b", 5)
            assert asyncio.get_running_loop().time() - started == pytest.approx(7, abs=0.1)

    clock.run(scenario())
