"""Placing, cancelling and finding orders.

At most once: the intent is committed before anything is sent; what was sent is never sent again.
"""

import asyncio
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from stocks_api.domain.errors import (
    ChangeRefused,
    DatabaseUnavailable,
    GatewayUnavailable,
    IdempotencyConflict,
    NothingToResolve,
    NotYourOrder,
    OrderFinal,
    OrderNotFound,
    RiskRefused,
    StocksError,
)
from stocks_api.domain.orders import (
    Actor,
    Change,
    NewOrder,
    Order,
    OrderFact,
    OrderStatus,
    Terms,
    changed_terms,
    new_order,
)
from stocks_api.services.order_writer import OrderWriter, Snapshot
from stocks_api.services.outbox import Outbox, not_sent

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OrderQuery:
    """Filters and a page: at most `limit` orders older than the sequence number `before`."""

    status: OrderStatus | None = None
    symbol: str | None = None
    limit: int = 50
    before: int | None = None


@dataclass(frozen=True, slots=True)
class OrderPage:
    """Orders, newest first; `next_before` continues, None at the end."""

    orders: Sequence[Order]
    next_before: int | None


class OrderRepository(Protocol):
    """Where orders are kept. Every method raises DatabaseUnavailable."""

    async def add(self, order: Order) -> Order:
        """Commit the intent; the earlier order instead if client and idempotency key are known."""

    async def get(self, order_id: str) -> Order | None:
        """The order, or None."""

    async def by_key(self, client: str, idempotency_key: str) -> Order | None:
        """The order that this client placed with this key, or None."""

    async def find(self, query: OrderQuery) -> OrderPage:
        """A page of orders."""


class OrderGateway(Protocol):
    """Who knows of orders. Raises GatewayUnavailable."""

    async def snapshot(self) -> Snapshot:
        """Everything that the gateway knows of orders."""


class LinkState(Protocol):
    """Whether orders may be sent."""

    def require(self) -> None:
        """Raise GatewayUnavailable unless the link is verified."""


class RiskCheck(Protocol):
    """Pre-trade limits."""

    def reserve(self, order: Order) -> None:
        """Let a new order pass, and count it from now on. Raises RiskRefused."""

    def release(self, order_id: str) -> None:
        """The order did not come to be."""

    def check_change(self, order: Order, terms: Terms) -> None:
        """Let an open order get new terms. Raises RiskRefused."""


class Permission(Protocol):
    """Whether trading goes on."""

    def require(self) -> None:
        """Raise KillSwitchActive while it is stopped."""


class RefusalMetrics(Protocol):
    """Where refusals are counted."""

    def order_refused(self, reason: str) -> None:
        """An order was refused before it was sent."""


@dataclass(frozen=True, slots=True)
class OrderTiming:
    """Seconds."""

    acknowledgement: float = 5.0
    resolve_every: float = 10.0


@dataclass(frozen=True, slots=True)
class Resolution:
    """What somebody found out about an unresolved order: it is filled, or it is no more."""

    status: OrderStatus
    reason: str


@dataclass(frozen=True, slots=True)
class Placed:
    """The order, and whether this is the answer to an earlier request with the same key."""

    order: Order
    replayed: bool


class OrderService:
    """What clients can do with orders."""

    def __init__(
        self,
        repository: OrderRepository,
        gateway: OrderGateway,
        link: LinkState,
        outbox: Outbox,
        writer: OrderWriter,
        risk: RiskCheck,
        trading: Permission,
        metrics: RefusalMetrics,
        timing: OrderTiming,
    ) -> None:
        self._repository = repository
        self._gateway = gateway
        self._link = link
        self._outbox = outbox
        self._writer = writer
        self._risk = risk
        self._trading = trading
        self._metrics = metrics
        self._timing = timing

    async def place(self, client: str, request: NewOrder, idempotency_key: str | None) -> Placed:
        """Commit, send, and wait a little for the acknowledgement.

        Raises GatewayUnavailable, DatabaseUnavailable, Backlog, KillSwitchActive, RiskRefused
        (nothing was sent) and IdempotencyConflict.
        """
        try:
            return await self._place(client, request, idempotency_key)
        except StocksError as error:
            if error.rejection:
                self._metrics.order_refused(error.rejection)
            raise

    async def cancel(self, order_id: str, actor: Actor) -> Order:
        """Ask the gateway to cancel, and wait a little for the outcome.

        Raises OrderNotFound, NotYourOrder, OrderFinal, OrderUnknownToGateway, GatewayUnavailable
        and DatabaseUnavailable.
        """
        order = await self._get_for(order_id, actor)
        if not order.is_open:
            raise OrderFinal(f"order {order_id} is {order.status}: nothing is left to cancel")
        self.require_ready()
        await self._outbox.cancel(order)
        await self._writer.finished(order_id, self._timing.acknowledgement)
        return await self.get(order_id)

    async def change(self, order_id: str, change: Change, actor: Actor) -> Order:
        """Ask the gateway to change an order, and wait a little for the outcome.

        The gateway's word counts: the order has the new terms when it confirms them, also later.
        Raises OrderNotFound, NotYourOrder, OrderFinal, ImpossibleChange, ChangeRefused,
        OrderUnknownToGateway, GatewayUnavailable, DatabaseUnavailable, KillSwitchActive and
        RiskRefused.
        """
        order = await self._get_for(order_id, actor)
        _require_changeable(order)
        terms = changed_terms(order, change)
        if terms == order.terms:
            return order
        self._trading.require()
        self.require_ready()
        self._check_change(order, terms)
        await self._change(order, terms)
        after = await self.get(order_id)
        if after.terms != terms:
            _require_changeable(after)
        return after

    async def resolve(self, order_id: str, resolution: Resolution, actor: Actor) -> Order:
        """End an unresolved order by a decision, which its history keeps.

        The gateway is asked once more before: what it knows needs no decision. Raises
        OrderNotFound, NothingToResolve, GatewayUnavailable and DatabaseUnavailable.
        """
        _require_unresolved(await self.get(order_id))
        await self._settle()
        detail = f"resolved by {actor.name}: {resolution.reason}"
        log.warning("order is %s", detail, extra={"order_id": order_id})
        self._writer.close(
            OrderFact(order_id, datetime.now(UTC), status=resolution.status, reason=detail)
        )
        await self._writer.finished(order_id, self._timing.acknowledgement)
        resolved = await self.get(order_id)
        if resolved.is_open:
            _require_unresolved(resolved)
        return resolved

    async def _get_for(self, order_id: str, actor: Actor) -> Order:
        order = await self.get(order_id)
        if not order.yields_to(actor):
            raise NotYourOrder(
                f"order {order_id} belongs to {order.client}: use that client's key, or one with "
                "the scope admin as well"
            )
        return order

    def _check_change(self, order: Order, terms: Terms) -> None:
        try:
            self._risk.check_change(order, terms)
        except RiskRefused as error:
            self._metrics.order_refused(error.rejection)
            raise

    async def _change(self, order: Order, terms: Terms) -> None:
        refusal = await self._outbox.change(order, terms)
        waiting = self._writer.changed(order.id, terms, self._timing.acknowledgement)
        confirmed = asyncio.create_task(waiting)
        either: set[asyncio.Future[Any]] = {confirmed, refusal}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if refusal.done():
                raise ChangeRefused(f"the gateway refused the change: {refusal.result()}")
        finally:
            confirmed.cancel()
            refusal.cancel()

    async def get(self, order_id: str) -> Order:
        """The order. Raises OrderNotFound and DatabaseUnavailable."""
        order = await self._repository.get(order_id)
        if order is None:
            raise OrderNotFound(f"no order has the id {order_id}")
        return order

    async def find(self, query: OrderQuery) -> OrderPage:
        """A page of orders. Raises DatabaseUnavailable."""
        return await self._repository.find(query)

    async def resync(self) -> None:
        """Settle stored orders by what the gateway knows. Raises GatewayUnavailable."""
        self._writer.reconcile(await self._gateway.snapshot())

    async def _settle(self) -> None:
        self._link.require()
        self._writer.settle(await self._gateway.snapshot())

    async def resolve_forever(self) -> None:
        """An order whose answer was lost on a good link is asked about again and again."""
        while True:
            await asyncio.sleep(self._timing.resolve_every)
            await self.resolve_doubts()

    async def resolve_doubts(self) -> None:
        """Ask the gateway about orders in doubt, if there are any and it can be asked."""
        if not self._writer.in_doubt:
            return
        try:
            await self._settle()
        except GatewayUnavailable as error:
            log.info("unresolved orders wait for the gateway: %s", error)

    def require_ready(self) -> None:
        """Raise GatewayUnavailable unless an order could be sent now."""
        self._link.require()
        if self._writer.reconciling:
            raise GatewayUnavailable("orders are being reconciled with the gateway")

    async def _place(self, client: str, request: NewOrder, key: str | None) -> Placed:
        if key is not None and (earlier := await self._repository.by_key(client, key)):
            return _replay(earlier, request)  # also while the gateway is down
        self._trading.require()
        self.require_ready()
        order = new_order(str(uuid.uuid4()), client, request, datetime.now(UTC), key)
        stored = await self._commit(order)
        if stored.id != order.id:
            return _replay(stored, request)
        log.info("order committed", extra={"order_id": order.id})  # ties it to the request's id
        await self._outbox.send(order)
        await self._writer.settled(order.id, self._timing.acknowledgement)
        return Placed(await self._outcome(order), replayed=False)

    async def _commit(self, order: Order) -> Order:
        self._writer.intend(order.id)
        committed = False
        try:
            self._outbox.expect(order.id)
            self._risk.reserve(order)
            stored = await self._repository.add(order)
            committed = stored.id == order.id
            return stored
        except DatabaseUnavailable as error:
            # The commit may have succeeded all the same; what is found later was never sent.
            self._writer.record(not_sent(order.id, OrderStatus.REJECTED, str(error)))
            raise
        finally:
            if not committed:
                self._writer.abandon(order.id)
                self._risk.release(order.id)
                self._outbox.abandon(order.id)

    async def _outcome(self, order: Order) -> Order:
        """What is known of an order that was sent; as it was, if the database has gone since."""
        try:
            return await self._acknowledged(order)
        except DatabaseUnavailable as error:
            log.error("order is sent, its outcome is not stored yet: %s", error)
            return order

    async def _acknowledged(self, order: Order) -> Order:
        current = await self.get(order.id)
        if current.status is not OrderStatus.PENDING:
            return current
        waited = f"no answer within {self._timing.acknowledgement:g} s"
        self._writer.doubt(order.id, waited)
        await self._writer.settled(order.id, self._timing.acknowledgement)
        return await self.get(order.id)


def _require_changeable(order: Order) -> None:
    if not order.is_open:
        raise OrderFinal(f"order {order.id} is {order.status}: nothing is left to change")
    if order.status is not OrderStatus.ACCEPTED:
        raise ChangeRefused(f"order {order.id} is {order.status}: the gateway must have it first")


def _require_unresolved(order: Order) -> None:
    if order.status is not OrderStatus.UNRESOLVED:
        raise NothingToResolve(f"order {order.id} is {order.status}: there is nothing to resolve")


def _replay(earlier: Order, request: NewOrder) -> Placed:
    if earlier.request != request:
        raise IdempotencyConflict(
            f"this idempotency key belongs to order {earlier.id}, which asked for something else"
        )
    return Placed(earlier, replayed=True)
