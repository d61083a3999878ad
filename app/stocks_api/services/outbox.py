"""Orders on their way out: committed, not sent, waiting for their turn.

What waits here has certainly not been sent. So when the link is lost, or trading is stopped, it
ends as rejected ("not sent"), at once: never unresolved, and never sent later.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from stocks_api.domain.errors import Backlog, GatewayUnavailable, StocksError
from stocks_api.domain.orders import NOT_SENT, Order, OrderFact, OrderStatus, Terms
from stocks_api.services.pacing import CANCELS, ORDERS, Pace

log = logging.getLogger(__name__)

MOST_WAITING = 400  # ten seconds at full pace: who comes later had better know


class Sender(Protocol):
    """Where orders go. All raise GatewayUnavailable when nothing was sent."""

    def place(self, order: Order) -> None:
        """Send the order, once."""

    def cancel(self, order: Order) -> None:
        """Ask to cancel; the outcome comes as a fact. Raises OrderUnknownToGateway."""

    def change(self, order: Order, terms: Terms) -> asyncio.Future[str]:
        """Ask to change; the outcome comes as a fact, or the future gets a refusal.

        Raises OrderUnknownToGateway and ChangeRefused.
        """


class Journal(Protocol):
    """Who keeps what became of an order."""

    def sending(self, order_id: str) -> None:
        """The order goes out now."""

    def record(self, fact: OrderFact) -> None:
        """Something is known about an order."""

    def doubt(self, order_id: str, reason: str) -> None:
        """The order may or may not have arrived."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    order: Order
    sent: asyncio.Future[StocksError | None]


class Outbox:
    """First in, first out, below the gateway's pace; `run` never returns."""

    def __init__(
        self, gateway: Sender, journal: Journal, pace: Pace, permitted: Callable[[], None]
    ) -> None:
        """`permitted` raises a StocksError unless an order may go out at this moment."""
        self._gateway = gateway
        self._journal = journal
        self._pace = pace
        self._permitted = permitted
        self._waiting: dict[str, _Waiting] = {}
        self._expected: set[str] = set()
        self._filled = asyncio.Event()

    def expect(self, order_id: str) -> None:
        """Keep a place for an order that is about to be committed. Raises Backlog."""
        if len(self._waiting) + len(self._expected) >= MOST_WAITING:
            raise Backlog(f"{MOST_WAITING} orders wait to be sent: slow down")
        self._expected.add(order_id)

    def abandon(self, order_id: str) -> None:
        """The order was not committed after all."""
        self._expected.discard(order_id)

    async def send(self, order: Order) -> None:
        """Send a committed order when its turn comes. Raises the reason why it was not sent."""
        waiting = _Waiting(order, asyncio.get_running_loop().create_future())
        self._expected.discard(order.id)
        self._refuse_if_stopped(waiting)
        self._waiting[order.id] = waiting
        self._filled.set()
        # Whoever asked may go away: the order is committed, and keeps its turn.
        error = await asyncio.shield(waiting.sent)
        if error is not None:
            raise error

    async def cancel(self, order: Order) -> None:
        """Take the order out of the queue, or ask the gateway to cancel it."""
        waiting = self._waiting.pop(order.id, None)
        if waiting is None:
            await self._pace.room(CANCELS)
            self._gateway.cancel(order)
        else:
            self._end(waiting, OrderStatus.CANCELLED, "cancelled before its turn came")

    async def change(self, order: Order, terms: Terms) -> asyncio.Future[str]:
        """Ask the gateway to change an order. Raises the reason why that was not sent."""
        await self._pace.room(ORDERS)
        self._permitted()
        return self._gateway.change(order, terms)

    def refuse_waiting(self, error: StocksError) -> None:
        """Nothing of what waits will be sent."""
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            self._refuse(each, error)

    async def run(self) -> None:
        """Send what waits, for ever; what is left at the end is not sent."""
        try:
            while True:
                await self._filled.wait()
                await self._pace.room(ORDERS)
                self._send_next()
        finally:
            self.refuse_waiting(GatewayUnavailable("the API is stopping"))

    def _send_next(self) -> None:
        if not self._waiting:
            self._filled.clear()
            return
        waiting = self._waiting.pop(next(iter(self._waiting)))
        try:
            self._permitted()
            self._gateway.place(waiting.order)
        except StocksError as error:
            self._refuse(waiting, error)
        except Exception:
            log.exception("order may not have been sent", extra={"order_id": waiting.order.id})
            self._journal.doubt(waiting.order.id, "sending it failed in an unknown way")
            _answer(waiting, None)
        else:
            self._journal.sending(waiting.order.id)
            _answer(waiting, None)

    def _refuse_if_stopped(self, waiting: _Waiting) -> None:
        """Its turn may be long in coming: a link that comes and goes spends all of the pace."""
        try:
            self._permitted()
        except StocksError as error:
            self._refuse(waiting, error)
            raise

    def _refuse(self, waiting: _Waiting, error: StocksError) -> None:
        self._journal.record(not_sent(waiting.order.id, OrderStatus.REJECTED, str(error)))
        _answer(waiting, error)

    def _end(self, waiting: _Waiting, status: OrderStatus, reason: str) -> None:
        self._journal.record(not_sent(waiting.order.id, status, reason))
        _answer(waiting, None)


def not_sent(order_id: str, status: OrderStatus, reason: str) -> OrderFact:
    """An order that was committed, and certainly never left."""
    return OrderFact(order_id, datetime.now(UTC), status=status, reason=f"{NOT_SENT}: {reason}")


def _answer(waiting: _Waiting, error: StocksError | None) -> None:
    if not waiting.sent.done():
        waiting.sent.set_result(error)
