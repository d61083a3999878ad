"""Where orders meet prices: accepts, matches, changes and cancels them. No sockets.

What happens is returned as events, in the order in which the gateway tells it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from gateway_simulator.book import Book, Execution, Order, RefusedError, Terms
from gateway_simulator.contracts import Instrument
from gateway_simulator.market import Market, Quote

ORDER_TYPES = ("MKT", "LMT", "STP", "STP LMT")
TIMES_IN_FORCE = ("DAY", "GTC", "IOC")
SIZE_INCREMENT = Decimal("0.0001")
MAX_QUANTITY = Decimal(10_000_000)
MAX_PRICE = Decimal(1_000_000)


@dataclass(frozen=True)
class Acknowledged:
    """An order was accepted, changed or set free: its new state."""

    order: Order


@dataclass(frozen=True)
class Filled:
    """Part or all of an order was filled."""

    execution: Execution


@dataclass(frozen=True)
class Cancelled:
    """An order was cancelled, by request or because its time in force ended."""

    order: Order


@dataclass(frozen=True)
class Rejected:
    """An order was refused after it had been taken in: it ends Inactive."""

    order: Order
    code: int
    text: str


Event = Acknowledged | Filled | Cancelled | Rejected


class Exchange:
    """The account's orders against the market. `clock` gives the time of executions."""

    def __init__(self, book: Book, market: Market, clock: Callable[[], datetime]) -> None:
        self.book = book
        self.market = market
        self.fills_held = False
        """While set nothing fills; orders are accepted and rest."""
        self.reachable = True
        """While False the gateway has lost its link: orders and cancels wait for it."""
        self._clock = clock
        self._waiting_cancels: set[tuple[int, int]] = set()

    def mark(self, instrument: Instrument) -> Decimal:
        """The price positions are valued at: the last trade, USD."""
        return self.market.quote(instrument).last

    def place(
        self,
        client_id: int,
        order_id: int,
        instrument: Instrument,
        terms: Terms,
        rejection: tuple[int, str] | None = None,
    ) -> list[Event]:
        """Take in a new order and match it; with `rejection` (code, text) refuse it instead.

        Raises RefusedError when the order is not even taken in.
        """
        check(terms)
        order = self.book.open(client_id, order_id, instrument, terms)
        if rejection:
            return [self._reject(order, *rejection)]
        return self._activate(order)

    def modify(
        self, client_id: int, order_id: int, instrument: Instrument, terms: Terms
    ) -> list[Event]:
        """Give an open order new terms. Raises RefusedError (104 when it is filled)."""
        order = self.book.find(client_id, order_id)
        if order is None:
            raise RefusedError(103, "Duplicate order id")
        if order.is_done:
            raise RefusedError(*_too_late_to_modify(order))
        check(terms)
        if (instrument, terms.action) != (order.instrument, order.terms.action):
            raise RefusedError(105, "Order being modified does not match original order")
        if terms.quantity <= order.filled:
            raise RefusedError(201, "Order rejected - reason:quantity is not above what is filled")
        return self._activate(self.book.put(replace(order, terms=terms)))

    def cancel(self, client_id: int, order_id: int) -> list[Event]:
        """Cancel an order. Raises RefusedError: 10147 when it is unknown, 10148 when it is done."""
        order = self.book.find(client_id, order_id)
        if order is None:
            raise RefusedError(
                10147, f"OrderId {order_id} that needs to be cancelled is not found."
            )
        if order.is_done:
            raise RefusedError(
                10148,
                f"OrderId {order_id} that needs to be cancelled can not be cancelled, "
                f"state: {order.status}.",
            )
        if not self.reachable:
            self._waiting_cancels.add(order.key)
            return [Acknowledged(self.book.put(replace(order, status="PendingCancel")))]
        return [self._cancel(order)]

    def cancel_all(self) -> list[Event]:
        """Cancel every open order of every client."""
        return [event for one in self.book.open_orders() for event in self.cancel(*one.key)]

    def match(self) -> list[Event]:
        """Fill what can be filled at the present quotes."""
        if self.fills_held or not self.reachable:
            return []
        return [event for one in self.book.open_orders() for event in self._match(one)]

    def reconnect(self) -> list[Event]:
        """The link is back: what waited for it is carried out."""
        self.reachable = True
        cancelled, self._waiting_cancels = self._waiting_cancels, set()
        events: list[Event] = []
        for order in self.book.open_orders():
            if order.key in cancelled:
                events.append(self._cancel(order))
            elif order.status == "PendingSubmit":
                events += self._activate(order)
        return events

    def end_day(self) -> list[Event]:
        """Midnight: today's completed orders and executions are gone, day orders expire."""
        return [self._cancel(one) for one in self.book.end_day(self.mark)]

    def _activate(self, order: Order) -> list[Event]:
        if not self.reachable:
            return [Acknowledged(order)]
        active = self.book.put(replace(order, status=_resting_status(order)))
        events: list[Event] = [Acknowledged(active)]
        if not self.fills_held:
            events += self._match(active)
        return events + self._end_immediate(active)

    def _match(self, order: Order) -> Iterator[Event]:
        order, triggered = self._trigger(order)
        if triggered:
            yield Acknowledged(order)
        price = fill_price(order, self.market.quote(order.instrument))
        shares = min(order.remaining, self._available(order))
        if price is None or shares <= 0:
            return
        self.market.take(order.instrument, order.terms.action, shares)
        yield Filled(self.book.fill(order, shares, price, self._clock()))

    def _trigger(self, order: Order) -> tuple[Order, bool]:
        if not is_triggered(order, self.market.quote(order.instrument)):
            return order, False
        return self.book.put(replace(order, triggered=True, status="Submitted")), True

    def _available(self, order: Order) -> Decimal:
        return self.market.available(order.instrument, order.terms.action)

    def _end_immediate(self, order: Order) -> list[Event]:
        """What an immediate-or-cancel order could not fill at once is cancelled."""
        left = self.book.find(*order.key)
        if order.terms.tif != "IOC" or left is None or left.is_done:
            return []
        return [self._cancel(left)]

    def _cancel(self, order: Order) -> Cancelled:
        reason = "Cancelled by Trader"
        done = replace(order, status="Cancelled", completed_at=self._clock(), reason=reason)
        return Cancelled(self.book.put(done))

    def _reject(self, order: Order, code: int, text: str) -> Rejected:
        done = replace(order, status="Inactive", completed_at=self._clock(), reason=text)
        return Rejected(self.book.put(done), code, text)


def check(terms: Terms) -> None:
    """Refuse (321, 387) terms that no exchange would take, before they are booked."""
    if terms.action not in ("BUY", "SELL"):
        raise RefusedError(321, f"Error validating request: invalid action {terms.action!r}")
    if terms.order_type not in ORDER_TYPES:
        raise RefusedError(387, "Unsupported order type for this exchange and security type.")
    if terms.tif not in TIMES_IN_FORCE:
        raise RefusedError(
            201, f"Order rejected - reason:The time-in-force {terms.tif} is not simulated"
        )
    if not _within(terms.quantity, MAX_QUANTITY):
        raise RefusedError(
            321, f"Error validating request: quantity must be above 0 and at most {MAX_QUANTITY}"
        )
    if terms.quantity % SIZE_INCREMENT:
        raise RefusedError(
            321, f"Error validating request: quantity must be a multiple of {SIZE_INCREMENT}"
        )
    for name, needed, price in _prices(terms):
        if (needed or price) and not _within(price, MAX_PRICE):
            raise RefusedError(
                321, f"Error validating request: {name} must be above 0 and at most {MAX_PRICE}"
            )


def _prices(terms: Terms) -> Iterator[tuple[str, bool, Decimal | None]]:
    yield "limit price", terms.order_type in ("LMT", "STP LMT"), terms.limit_price
    yield "stop price", terms.order_type in ("STP", "STP LMT"), terms.stop_price


def _within(number: Decimal | None, limit: Decimal) -> bool:
    return number is not None and number.is_finite() and 0 < number <= limit


def is_triggered(order: Order, quote: Quote) -> bool:
    """Whether the last trade has just reached the stop price of an order that waits for it."""
    stop = order.terms.stop_price
    if order.triggered or stop is None or order.terms.order_type not in ("STP", "STP LMT"):
        return False
    return (quote.last - stop) * order.terms.sign >= 0


def fill_price(order: Order, quote: Quote) -> Decimal | None:
    """The price (USD) at which an order would trade against a quote, or None when it rests."""
    if order.terms.order_type.startswith("STP") and not order.triggered:
        return None
    price = quote.ask if order.terms.sign > 0 else quote.bid
    limit = order.terms.limit_price
    if not order.terms.order_type.endswith("LMT") or limit is None:
        return price
    return price if (limit - price) * order.terms.sign >= 0 else None


def _resting_status(order: Order) -> str:
    """A stop order waits at the broker (PreSubmitted), all others at the exchange."""
    waits = order.terms.order_type.startswith("STP") and not order.triggered
    return "PreSubmitted" if waits else "Submitted"


def _too_late_to_modify(order: Order) -> tuple[int, str]:
    if order.status == "Filled":
        return 104, "Cannot modify a filled order"
    return 103, "Duplicate order id"
