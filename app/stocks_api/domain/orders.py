"""An order, the statuses that it goes through, and the facts that move it.

The gateway repeats itself, answers late and out of order. So nothing here trusts sequence:
`apply` takes a fact, and returns the order as it is known then. A fact heard twice changes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

ZERO = Decimal(0)
_MICRO = Decimal("0.000001")  # the precision that is stored

# How the reason of an order begins that was committed, but certainly never left.
NOT_SENT = "not sent"


def exact(value: Decimal) -> Decimal:
    """The value with the precision that is stored, so that hearing it again changes nothing."""
    return value.quantize(_MICRO)


class Side(StrEnum):
    """Which way."""

    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    """How the price is set."""

    MARKET = "MKT"
    LIMIT = "LMT"


class TimeInForce(StrEnum):
    """How long an order rests: until the close, or until cancelled."""

    DAY = "DAY"
    GTC = "GTC"


class OrderStatus(StrEnum):
    """Where an order stands.

    `pending`: committed here, not acknowledged. `unresolved`: it may or may not be at the gateway;
    it is never sent again, and a later reconciliation settles it.
    """

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    FILLED = "filled"
    CANCELLED = "cancelled"
    UNRESOLVED = "unresolved"


_OPEN = frozenset({OrderStatus.PENDING, OrderStatus.ACCEPTED, OrderStatus.UNRESOLVED})

# Filled follows even cancelled and rejected: an execution at the exchange is the last word.
_NEXT: dict[OrderStatus, frozenset[OrderStatus]] = {
    OrderStatus.PENDING: frozenset(OrderStatus) - {OrderStatus.PENDING},
    OrderStatus.UNRESOLVED: frozenset(OrderStatus) - {OrderStatus.PENDING, OrderStatus.UNRESOLVED},
    OrderStatus.ACCEPTED: frozenset(OrderStatus) - {OrderStatus.PENDING, OrderStatus.ACCEPTED},
    OrderStatus.REJECTED: frozenset({OrderStatus.FILLED}),
    OrderStatus.CANCELLED: frozenset({OrderStatus.FILLED}),
    OrderStatus.FILLED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution; `exec_id` is the gateway's, quantity in shares, price in account currency."""

    exec_id: str
    quantity: Decimal
    price: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class StatusChange:
    """An order entered `status`; `detail` is for people."""

    status: OrderStatus
    at: datetime
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NewOrder:
    """What a client asks for. Quantity in shares, limit price in account currency."""

    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    limit_price: Decimal | None
    time_in_force: TimeInForce
    client_order_id: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """An order with its history. `id` travels to the gateway as orderRef."""

    id: str
    client: str
    request: NewOrder
    idempotency_key: str | None
    created_at: datetime
    status: OrderStatus
    history: tuple[StatusChange, ...]
    fills: tuple[Fill, ...] = ()
    filled_quantity: Decimal = ZERO
    average_price: Decimal | None = None
    perm_id: int | None = None
    reason: str = ""

    @property
    def is_open(self) -> bool:
        """Whether anything can still happen to it in the ordinary course."""
        return self.status in _OPEN

    def entered(self, status: OrderStatus) -> bool:
        """Whether it was ever in `status`."""
        return any(change.status is status for change in self.history)


@dataclass(frozen=True, slots=True)
class OrderFact:
    """Something the gateway said about an order; None and zero mean "it did not say"."""

    order_id: str
    at: datetime
    perm_id: int | None = None
    status: OrderStatus | None = None
    filled_quantity: Decimal = ZERO
    average_price: Decimal | None = None
    fills: tuple[Fill, ...] = ()
    reason: str = ""


def new_order(
    order_id: str,
    client: str,
    request: NewOrder,
    at: datetime,
    idempotency_key: str | None = None,
) -> Order:
    """The intent: what is committed before anything is sent."""
    return Order(
        id=order_id,
        client=client,
        request=request,
        idempotency_key=idempotency_key,
        created_at=at,
        status=OrderStatus.PENDING,
        history=(StatusChange(OrderStatus.PENDING, at),),
    )


def apply(order: Order, fact: OrderFact) -> Order:
    """The order after hearing `fact`; the same object if nothing is new."""
    learned = _with_fills(_with_identity(order, fact), fact)
    status = _implied_status(learned, fact)
    moved = learned if status is None else enter(learned, status, fact.at, fact.reason)
    return order if moved == order else moved


def enter(order: Order, status: OrderStatus, at: datetime, reason: str = "") -> Order:
    """The order in `status`, if that may follow; what is filled was accepted on the way."""
    if status not in _NEXT[order.status]:
        return order
    passed = order
    if status is OrderStatus.FILLED and not order.entered(OrderStatus.ACCEPTED):
        passed = _remember(passed, OrderStatus.ACCEPTED, at, "")
    passed = _remember(passed, status, at, reason)
    return replace(passed, status=status, reason=reason or order.reason)


def newly_entered(before: Order, after: Order) -> tuple[OrderStatus, ...]:
    """Statuses that `after` has been in and `before` had not, in order."""
    return tuple(change.status for change in after.history[len(before.history) :])


def _remember(order: Order, status: OrderStatus, at: datetime, detail: str) -> Order:
    """Each status is entered once: counters and history agree on that."""
    if order.entered(status):
        return order
    return replace(order, history=(*order.history, StatusChange(status, at, detail)))


def _with_identity(order: Order, fact: OrderFact) -> Order:
    return replace(order, perm_id=order.perm_id or fact.perm_id)


def _with_fills(order: Order, fact: OrderFact) -> Order:
    fills = _merge(order.fills, fact.fills)
    known = sum((fill.quantity for fill in fills), ZERO)
    said = order.request.quantity if fact.status is OrderStatus.FILLED else fact.filled_quantity
    filled = max(order.filled_quantity, said, known)
    price = _average(fills) if known == filled and fills else fact.average_price
    return replace(
        order, fills=fills, filled_quantity=filled, average_price=price or order.average_price
    )


def _implied_status(order: Order, fact: OrderFact) -> OrderStatus | None:
    """Executions speak louder than the status field, which may be late or missing."""
    if order.filled_quantity >= order.request.quantity:
        return OrderStatus.FILLED
    if fact.status is None and fact.fills and order.is_open:
        return OrderStatus.ACCEPTED
    return fact.status


def _merge(known: tuple[Fill, ...], heard: Iterable[Fill]) -> tuple[Fill, ...]:
    """Executions by identity; a correction repeats the id with its last part raised (TWS API)."""
    merged = {_execution(fill): fill for fill in known}
    for fill in heard:
        current = merged.get(_execution(fill))
        if current is None or _revision(fill) > _revision(current):
            merged[_execution(fill)] = fill
    return tuple(merged.values())


def _execution(fill: Fill) -> str:
    return _split(fill.exec_id)[0]


def _revision(fill: Fill) -> int:
    return _split(fill.exec_id)[1]


def _split(exec_id: str) -> tuple[str, int]:
    """`xxxx.yyyy.NN.01` is revision 1 of execution `xxxx.yyyy.NN`; other shapes have none."""
    head, _, last = exec_id.rpartition(".")
    if head.count(".") >= 2 and last.isdecimal():
        return head, int(last)
    return exec_id, 0


def _average(fills: tuple[Fill, ...]) -> Decimal:
    quantity = sum((fill.quantity for fill in fills), ZERO)
    worth = sum((fill.quantity * fill.price for fill in fills), ZERO)
    return exact(worth / quantity)
