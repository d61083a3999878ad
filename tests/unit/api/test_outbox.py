"""Orders leave below the gateway's pace; what waits when the link is lost is not sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from tests.unit.api import clock

from stocks_api.domain.errors import Backlog, GatewayUnavailable
from stocks_api.domain.orders import (
    NewOrder,
    Order,
    OrderFact,
    OrderStatus,
    OrderType,
    Side,
    Terms,
    TimeInForce,
    new_order,
)
from stocks_api.services.outbox import MOST_WAITING, Outbox
from stocks_api.services.pacing import CHORES, ORDERS, Pace

AT = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
S = OrderStatus


def now() -> float:
    return asyncio.get_running_loop().time()


def order(number: int) -> Order:
    request = NewOrder("AAPL", Side.BUY, OrderType.MARKET, Decimal(10), None, TimeInForce.DAY)
    return new_order(f"order-{number}", "desk", request, AT)


class World:
    """Gateway, journal and permission in one."""

    def __init__(self) -> None:
        self.pace = Pace()
        self.placed: list[tuple[float, str]] = []
        self.cancelled: list[str] = []
        self.facts: dict[str, OrderFact] = {}
        self.sent: list[str] = []
        self.doubted: list[str] = []
        self.problem: Exception | None = None
        self.broken = False

    def place(self, order: Order) -> None:
        if self.broken:
            raise ValueError("a bug")
        self.pace.spent()
        self.placed.append((now(), order.id))

    def cancel(self, order: Order) -> None:
        self.pace.spent()
        self.cancelled.append(order.id)

    def change(self, order: Order, terms: Terms) -> asyncio.Future[str]:
        raise NotImplementedError

    def sending(self, order_id: str) -> None:
        self.sent.append(order_id)

    def record(self, fact: OrderFact) -> None:
        self.facts[fact.order_id] = fact

    def doubt(self, order_id: str, reason: str) -> None:
        self.doubted.append(order_id)

    def permitted(self) -> None:
        if self.problem:
            raise self.problem


@asynccontextmanager
async def sending(world: World) -> AsyncIterator[Outbox]:
    outbox = Outbox(world, world, world.pace, world.permitted)
    task = asyncio.create_task(outbox.run())
    yield outbox
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def test_100_orders_leave_in_order_and_at_most_40_in_any_second() -> None:
    async def scenario() -> None:
        world = World()
        async with sending(world) as outbox:
            await asyncio.gather(*(outbox.send(order(number)) for number in range(100)))
        assert [name for _, name in world.placed] == [f"order-{n}" for n in range(100)]
        times = [at for at, _ in world.placed]
        assert max(sum(at <= t <= at + 1 for t in times) for at in times) == ORDERS
        assert times[-1] < 2.1

    clock.run(scenario())


def test_who_may_use_less_of_the_pace_waits_for_who_may_use_more() -> None:
    async def scenario() -> None:
        pace = Pace()
        for _ in range(CHORES):
            pace.spent()
        await pace.room(ORDERS)
        assert now() == 0
        await pace.room(CHORES)
        assert now() == pytest.approx(1, abs=0.01)

    clock.run(scenario())


def test_what_waits_when_the_link_is_lost_is_rejected_at_once_and_never_sent() -> None:
    async def scenario() -> None:
        world = World()
        async with sending(world) as outbox:
            tasks = [asyncio.create_task(outbox.send(order(number))) for number in range(100)]
            await asyncio.sleep(0.5)
            outbox.refuse_waiting(GatewayUnavailable("the link dropped"))
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert now() == pytest.approx(0.5)
            await asyncio.sleep(10)
        assert len(world.placed) == ORDERS
        assert [type(result) for result in results[ORDERS:]] == [GatewayUnavailable] * 60
        assert {fact.status for fact in world.facts.values()} == {S.REJECTED}
        assert set(world.facts) == {f"order-{number}" for number in range(ORDERS, 100)}
        assert all("not sent" in fact.reason for fact in world.facts.values())

    clock.run(scenario())


def test_an_order_whose_turn_comes_while_nothing_may_be_sent_is_rejected() -> None:
    async def scenario() -> None:
        world = World()
        world.problem = GatewayUnavailable("no link")
        async with sending(world) as outbox:
            with pytest.raises(GatewayUnavailable, match="no link"):
                await outbox.send(order(1))
        assert (world.placed, world.sent) == ([], [])
        assert world.facts["order-1"].status is S.REJECTED

    clock.run(scenario())


def test_an_order_that_may_not_be_sent_waits_for_no_room() -> None:
    async def scenario() -> None:
        world = World()
        world.problem = GatewayUnavailable("the link comes and goes")
        for _ in range(ORDERS):
            world.pace.spent()
        async with sending(world) as outbox:
            with pytest.raises(GatewayUnavailable):
                await outbox.send(order(1))
        assert now() == 0
        assert world.facts["order-1"].status is S.REJECTED
        assert not world.placed

    clock.run(scenario())


def test_an_order_keeps_its_turn_when_whoever_asked_goes_away() -> None:
    async def scenario() -> None:
        world = World()
        async with sending(world) as outbox:
            for _ in range(ORDERS):
                world.pace.spent()
            task = asyncio.create_task(outbox.send(order(1)))
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.sleep(2)
        assert world.sent == ["order-1"]

    clock.run(scenario())


def test_a_waiting_order_is_cancelled_without_asking_the_gateway() -> None:
    async def scenario() -> None:
        world = World()
        async with sending(world) as outbox:
            for _ in range(ORDERS):
                world.pace.spent()
            waiting = asyncio.create_task(outbox.send(order(1)))
            await asyncio.sleep(0.1)
            await outbox.cancel(order(1))
            await waiting
            await outbox.cancel(order(2))
            await asyncio.sleep(2)
        assert world.placed == []
        assert world.cancelled == ["order-2"]
        assert world.facts["order-1"].status is S.CANCELLED

    clock.run(scenario())


def test_a_failure_that_nobody_foresaw_leaves_the_order_in_doubt_and_the_next_goes_out() -> None:
    async def scenario() -> None:
        world = World()
        async with sending(world) as outbox:
            world.broken = True
            await outbox.send(order(1))
            world.broken = False
            await outbox.send(order(2))
        assert (world.doubted, world.sent) == (["order-1"], ["order-2"])

    clock.run(scenario())


def test_too_many_waiting_orders_are_a_backlog() -> None:
    async def scenario() -> None:
        world = World()
        async with sending(world) as outbox:
            for number in range(MOST_WAITING):
                outbox.expect(f"order-{number}")
            with pytest.raises(Backlog):
                outbox.expect("one more")
            outbox.abandon("order-0")
            outbox.expect("order-0")
            tasks = [asyncio.create_task(outbox.send(order(n))) for n in range(MOST_WAITING)]
            await asyncio.sleep(0)
            with pytest.raises(Backlog):
                outbox.expect("one more")
            await asyncio.gather(*tasks)
            outbox.expect("one more")

    clock.run(scenario())


def test_what_waits_at_the_end_is_not_sent() -> None:
    async def scenario() -> None:
        world = World()
        async with sending(world) as outbox:
            tasks = [asyncio.create_task(outbox.send(order(number))) for number in range(50)]
            await asyncio.sleep(0.5)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one) for one in results[ORDERS:]] == [GatewayUnavailable] * 10

    clock.run(scenario())
