"""Pre-trade risk: judges an order by positions, open orders, prices and what came before.

Checking and reserving is one step without a pause, so two orders at a time can't both use what is
left of a limit. Open orders count in full until they are final; unresolved ones, too.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Protocol

from stocks_api.domain.market import Position
from stocks_api.domain.orders import ZERO, Order, Terms
from stocks_api.domain.risk import (
    Proposal,
    RiskLimits,
    Situation,
    check,
    worst_price,
)


class Limits(Protocol):
    """The limits in force."""

    @property
    def limits(self) -> RiskLimits:
        """As they are now."""


class Holdings(Protocol):
    """What is held."""

    @property
    def positions(self) -> Iterable[Position]:
        """All that are not flat."""


class Prices(Protocol):
    """What shares cost."""

    def last_price(self, symbol: str) -> Decimal | None:
        """The last trade, None if it isn't known."""


class Risk:
    """Keeps open orders and recent requests; lives on one event loop."""

    def __init__(self, limits: Limits, holdings: Holdings, prices: Prices) -> None:
        self._limits = limits
        self._holdings = holdings
        self._prices = prices
        self._open: dict[str, Order] = {}
        self._recent: deque[tuple[float, Order]] = deque()

    def reserve(self, order: Order) -> None:
        """Let a new order pass, and count it from now on. Raises RiskRefused."""
        proposal = Proposal.of(order.request, order.terms)
        self._forget()
        check(proposal, self._situation(proposal, order, self._duplicate(order)), self._now_limits)
        self._open[order.id] = order
        self._recent.append((_now(), order))

    def release(self, order_id: str) -> None:
        """The order did not come to be."""
        self._open.pop(order_id, None)

    def check_change(self, order: Order, terms: Terms) -> None:
        """Let an open order get new terms. Raises RiskRefused."""
        left = Terms(terms.quantity - order.filled_quantity, terms.limit_price, terms.stop_price)
        proposal = Proposal.of(order.request, left)
        self._forget()
        check(proposal, self._situation(proposal, order, None), self._now_limits)
        self._recent.append((_now(), order))

    def follow(self, order: Order) -> None:
        """An order is stored as it is now."""
        if order.is_open:
            self._open[order.id] = order
        else:
            self._open.pop(order.id, None)

    @property
    def _now_limits(self) -> RiskLimits:
        return self._limits.limits

    def _situation(self, proposal: Proposal, order: Order, duplicate: str | None) -> Situation:
        others = [one for one in self._open.values() if one.id != order.id]
        rivals = (
            one
            for one in others
            if (one.request.symbol, one.request.side) == (proposal.symbol, proposal.side)
        )
        held = _held(self._holdings.positions)
        return Situation(
            position=held.get(proposal.symbol, ZERO),
            open_quantity=sum((one.remaining for one in rivals), ZERO),
            gross_exposure=self._exposure(others),
            last_price=self._prices.last_price(proposal.symbol),
            recent_orders=self._count_recent(),
            duplicate_of=duplicate,
        )

    def _exposure(self, orders: Iterable[Order]) -> Decimal:
        if self._now_limits.max_gross_exposure is None:
            return ZERO  # nobody asks
        held = sum((self._worth(position) for position in self._holdings.positions), ZERO)
        return held + sum((self._worth_of_order(order) for order in orders), ZERO)

    def _worth(self, position: Position) -> Decimal:
        price = self._prices.last_price(position.symbol)
        if price is None:
            price = Decimal(str(position.average_cost or 0))
        return abs(position.quantity) * price

    def _worth_of_order(self, order: Order) -> Decimal:
        proposal = Proposal.of(order.request, order.terms)
        price = worst_price(proposal, self._prices.last_price(proposal.symbol))
        return order.remaining * (price or ZERO)

    def _count_recent(self) -> int:
        rate = self._now_limits.order_rate
        if rate is None:
            return 0
        since = _now() - rate.seconds
        return sum(at > since for at, _ in self._recent)

    def _duplicate(self, order: Order) -> str | None:
        """An equal order of the same client; a repeated idempotency key is a retry instead."""
        since = _now() - self._now_limits.duplicate_seconds
        for at, earlier in self._recent:
            retry = order.idempotency_key and order.idempotency_key == earlier.idempotency_key
            if at > since and _wish(earlier) == _wish(order) and not retry:
                return f"equal to order {earlier.id}"
        return None

    def _forget(self) -> None:
        rate, duplicate = self._now_limits.order_rate, self._now_limits.duplicate_seconds
        oldest = _now() - max(duplicate, rate.seconds if rate else 0)
        while self._recent and self._recent[0][0] <= oldest:
            self._recent.popleft()


def _held(positions: Iterable[Position]) -> Mapping[str, Decimal]:
    held: dict[str, Decimal] = {}
    for position in positions:
        held[position.symbol] = held.get(position.symbol, ZERO) + position.quantity
    return held


def _wish(order: Order) -> tuple[object, ...]:
    request = order.request
    return order.client, request.symbol, request.side, request.order_type, request.terms


def _now() -> float:
    return asyncio.get_running_loop().time()
