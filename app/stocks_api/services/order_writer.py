"""The single writer of orders: everything that changes one passes through here, in order.

A job is retried while the database is away, so nothing that the gateway said is lost while this
process lives; what it says after that is recovered by the next reconciliation. Metrics move after
the commit, so they never count what is not stored.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from stocks_api.domain.errors import DatabaseUnavailable, Deposed
from stocks_api.domain.orders import (
    Irregular,
    Message,
    Order,
    OrderFact,
    OrderStatus,
    Terms,
    apply,
    enter,
    irregular,
    newly_entered,
)

log = logging.getLogger(__name__)

_RETRY_SECONDS = 0.5  # a database that is away is asked again this often

_Job = Callable[[], Awaitable[None]]
_Condition = Callable[[Order], bool]


class OrderStore(Protocol):
    """Where orders are kept. Every method raises DatabaseUnavailable."""

    async def get(self, order_id: str) -> Order | None:
        """The order, or None."""

    async def many(self, order_ids: Collection[str]) -> Sequence[Order]:
        """Those of the orders that are stored."""

    async def by_perm_ids(self, perm_ids: Collection[int]) -> Mapping[int, str]:
        """Our ids of orders, by the gateway's permanent ones."""

    async def open_orders(self) -> Sequence[Order]:
        """Every order that is pending, accepted or unresolved."""

    async def save(self, order: Order) -> None:
        """Store the order as it is now, with its history and fills, in one transaction."""


class OrderMetrics(Protocol):
    """Where orders are counted."""

    def order_entered(self, order: Order, status: OrderStatus) -> None:
        """The order entered `status`, for the first time."""

    def order_latency(self, stage: str, seconds: float) -> None:
        """`ack`: sent to acknowledged; `fill`: sent to filled."""

    def unresolved_orders(self, count: int) -> None:
        """How many orders are unresolved now."""

    def irregular_message(self, message: Message, irregular: Irregular) -> None:
        """The gateway said something that it should not have said now, or did not say it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the gateway knows of orders, asked at `asked_at` (monotonic seconds)."""

    asked_at: float
    facts: tuple[OrderFact, ...]


@dataclass(frozen=True, slots=True)
class _Missing:
    message: Message
    since: float  # monotonic seconds


@dataclass(frozen=True, slots=True)
class _Waiter:
    until: _Condition
    event: asyncio.Event


class OrderWriter:
    """Applies facts to stored orders, one at a time."""

    def __init__(
        self,
        store: OrderStore,
        metrics: OrderMetrics,
        follow: Callable[[Order], None] = lambda _: None,
    ) -> None:
        """`follow` is told of every order as it is stored."""
        self._tell = follow
        self._store = store
        self._metrics = metrics
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()
        self._sent: dict[str, float] = {}  # order id -> monotonic seconds, while it is open
        self._waiters: dict[str, list[_Waiter]] = {}
        self._unresolved: set[str] = set()
        self._missing: dict[str, _Missing] = {}  # order id -> what of its fills is not told
        self._reconciling = 0

    @property
    def reconciling(self) -> bool:
        """Whether stored orders are still behind what the gateway told at the last resync."""
        return self._reconciling > 0

    @property
    def in_doubt(self) -> bool:
        """Whether the gateway may know more: of an unresolved order, or of fills."""
        return bool(self._unresolved or self._missing)

    def intend(self, order_id: str) -> None:
        """The order is about to be committed: no reconciliation may judge it yet."""
        self._sent[order_id] = math.inf

    def sending(self, order_id: str) -> None:
        """The order goes out now: latencies count from here."""
        self._sent[order_id] = time.monotonic()

    def abandon(self, order_id: str) -> None:
        """The order was not committed after all."""
        self._sent.pop(order_id, None)

    def record(self, fact: OrderFact) -> None:
        """The gateway said something about an order."""
        self._jobs.put_nowait(partial(self._apply, fact, time.monotonic()))

    def doubt(self, order_id: str, reason: str) -> None:
        """The order may or may not have arrived: unresolved, unless an answer came first."""
        self._jobs.put_nowait(partial(self._doubt, [order_id], reason))

    def close(self, fact: OrderFact) -> None:
        """Somebody decided what became of an unresolved order; what is not in doubt any more stays.

        The gateway's word comes first, even if it comes while the decision waits here.
        """
        self._jobs.put_nowait(partial(self._close, fact))

    def link_lost(self) -> None:
        """The link dropped: whatever was sent and not acknowledged is in doubt."""
        sent = [order_id for order_id, at in self._sent.items() if at < math.inf]
        self._jobs.put_nowait(partial(self._doubt, sent, "the link dropped before an answer"))

    def reconcile(self, snapshot: Snapshot) -> None:
        """Settle stored orders by what the gateway knows; `reconciling` until that is stored."""
        self._reconciling += 1
        self._jobs.put_nowait(partial(self._reconcile, snapshot))

    def settle(self, snapshot: Snapshot) -> None:
        """The same for what is in doubt on a good link: new orders need not wait for it."""
        self._jobs.put_nowait(partial(self._settle, snapshot))

    async def settled(self, order_id: str, seconds: float) -> None:
        """Wait until the order is no longer pending, at most so many seconds."""
        await self._wait(order_id, seconds, lambda order: order.status is not OrderStatus.PENDING)

    async def finished(self, order_id: str, seconds: float) -> None:
        """Wait until nothing more can happen to the order, at most so many seconds."""
        await self._wait(order_id, seconds, lambda order: not order.is_open)

    async def changed(self, order_id: str, terms: Terms, seconds: float) -> None:
        """Wait until the order has these terms or is final, at most so many seconds."""
        await self._wait(order_id, seconds, lambda order: order.terms == terms or not order.is_open)

    async def run(self) -> None:
        """Do the jobs, for ever."""
        while True:
            await self._do(await self._jobs.get())
            self._jobs.task_done()

    async def drain(self) -> None:
        """Wait until every job so far is done."""
        await self._jobs.join()

    async def _wait(self, order_id: str, seconds: float, until: _Condition) -> None:
        waiter = _Waiter(until, asyncio.Event())
        self._waiters.setdefault(order_id, []).append(waiter)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await waiter.event.wait()
        self._waiters[order_id].remove(waiter)
        if not self._waiters[order_id]:
            del self._waiters[order_id]

    async def _do(self, job: _Job) -> None:
        while True:
            try:
                return await job()
            except DatabaseUnavailable as error:
                log.error("order update waits for the database: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
            except Deposed as error:
                log.warning("order update is left to the next leader: %s", error)
                return None
            except Exception:
                # One bad message must not stop the ones after it.
                log.exception("order update failed and was dropped")
                return None

    async def _apply(self, fact: OrderFact, seen: float) -> None:
        (fact,) = await self._named([fact])
        before = await self._store.get(fact.order_id)
        if before is not None:  # else it isn't ours: another client's, or entered by hand
            await self._save(before, apply(before, fact), seen)
        if fact.message is not None and (wrong := irregular(before, fact)) is not None:
            self._metrics.irregular_message(fact.message, wrong)

    async def _named(self, facts: Iterable[OrderFact]) -> Sequence[OrderFact]:
        """With our ids also where the gateway said only its own, of orders that are stored."""
        told = list(facts)
        nameless = {fact.perm_id for fact in told if fact.perm_id and not fact.order_id}
        if not nameless:
            return told
        names = await self._store.by_perm_ids(nameless)
        return [
            fact if fact.order_id else replace(fact, order_id=names.get(fact.perm_id or 0, ""))
            for fact in told
        ]

    async def _doubt(self, order_ids: Iterable[str], reason: str) -> None:
        for order_id in order_ids:
            order = await self._store.get(order_id)
            if order is not None and order.status is OrderStatus.PENDING:
                await self._save(order, _unresolved(order, reason), None)

    async def _close(self, fact: OrderFact) -> None:
        order = await self._store.get(fact.order_id)
        if order is not None and order.status is OrderStatus.UNRESOLVED:
            await self._save(order, apply(order, fact), None)

    async def _reconcile(self, snapshot: Snapshot) -> None:
        await self._settle(snapshot)
        self._reconciling -= 1

    async def _settle(self, snapshot: Snapshot) -> None:
        facts = await self._named(snapshot.facts)
        known = {fact.order_id for fact in facts}
        stored = {order.id: order for order in await self._store.many(known)}
        for fact in facts:
            if (before := stored.get(fact.order_id)) is not None:
                stored[before.id] = apply(before, fact)
                await self._save(before, stored[before.id], time.monotonic())
        for order in await self._store.open_orders():
            self._tell(order)
            if order.status is OrderStatus.UNRESOLVED:
                self._unresolved.add(order.id)
            elif order.id not in known and self._predates(order, snapshot):
                unknown = _unresolved(order, "the gateway does not know this order")
                await self._save(order, unknown, None)
        self._metrics.unresolved_orders(len(self._unresolved))
        self._expect_no_fills_from_before(snapshot.asked_at)

    def _expect_no_fills_from_before(self, asked_at: float) -> None:
        """The gateway was asked: what it did not tell of fills, it does not have."""
        for order_id, missing in list(self._missing.items()):
            if missing.since <= asked_at:
                del self._missing[order_id]
                self._metrics.irregular_message(missing.message, Irregular.MISSING)

    def _predates(self, order: Order, snapshot: Snapshot) -> bool:
        """Whether the gateway should have known the order when it was asked."""
        return self._sent.get(order.id, -math.inf) < snapshot.asked_at

    async def _save(self, before: Order, after: Order, seen: float | None) -> None:
        if after is before:
            return
        await self._store.save(after)
        for status in newly_entered(before, after):
            self._count(after, status, seen)
        self._follow(after)

    def _count(self, order: Order, status: OrderStatus, seen: float | None) -> None:
        self._metrics.order_entered(order, status)
        stage = {OrderStatus.ACCEPTED: "ack", OrderStatus.FILLED: "fill"}.get(status)
        sent = self._sent.get(order.id)
        if stage and sent is not None and seen is not None:
            self._metrics.order_latency(stage, seen - sent)

    def _follow(self, order: Order) -> None:
        log.info(
            "order %s", order.status, extra={"order_id": order.id, "reason": order.reason or None}
        )
        if not order.is_open:
            self._sent.pop(order.id, None)
        self._tell(order)
        self._track_unresolved(order)
        self._track_fills(order)
        for waiter in self._waiters.get(order.id, ()):
            if waiter.until(order):
                waiter.event.set()

    def _track_unresolved(self, order: Order) -> None:
        if order.status is OrderStatus.UNRESOLVED:
            self._unresolved.add(order.id)
        else:
            self._unresolved.discard(order.id)
        self._metrics.unresolved_orders(len(self._unresolved))

    def _track_fills(self, order: Order) -> None:
        """An execution or commission may be lost, or only late; so it is asked for, once."""
        message = order.missing_message
        known = self._missing.get(order.id)
        if message is None:
            self._missing.pop(order.id, None)
        elif known is None or known.message is not message:
            self._missing[order.id] = _Missing(message, time.monotonic())


def _unresolved(order: Order, reason: str) -> Order:
    return enter(order, OrderStatus.UNRESOLVED, datetime.now(UTC), reason)
