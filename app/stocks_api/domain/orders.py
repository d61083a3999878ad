"""An order, the statuses that it goes through, and the facts that move it.

The gateway repeats itself, answers late and out of order. So nothing here trusts sequence:
`apply` takes a fact, and returns the order as it is known then. A fact heard twice changes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from stocks_api.domain.errors import ImpossibleChange

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
    STOP = "STP"
    STOP_LIMIT = "STP_LMT"

    @property
    def has_limit(self) -> bool:
        """Whether it names the worst price to trade at."""
        return self in (OrderType.LIMIT, OrderType.STOP_LIMIT)

    @property
    def has_stop(self) -> bool:
        """Whether it waits until the last trade reaches a price."""
        return self in (OrderType.STOP, OrderType.STOP_LIMIT)


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
    """One execution; `exec_id` is the gateway's, quantity in shares, price in account currency.

    The commission is told after the execution, or never, and then None; a rebate is negative.
    """

    exec_id: str
    quantity: Decimal
    price: Decimal
    at: datetime
    commission: Decimal | None = None
    commission_currency: str | None = None


@dataclass(frozen=True, slots=True)
class StatusChange:
    """An order entered `status`; `detail` is for people."""

    status: OrderStatus
    at: datetime
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """What of an order can be changed. Quantity in shares, prices in account currency."""

    quantity: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None

    def __str__(self) -> str:
        """For people: quantity 10, limit 1.5, stop -."""
        limit, stop = (_shown(price) for price in (self.limit_price, self.stop_price))
        return f"quantity {_shown(self.quantity)}, limit {limit}, stop {stop}"


@dataclass(frozen=True, slots=True)
class Change:
    """New terms for an order; None leaves one as it is."""

    quantity: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Actor:
    """Who wants to do something to an order: its own client, or who may do it to any order."""

    name: str
    any_order: bool = False


@dataclass(frozen=True, slots=True)
class NewOrder:
    """What a client asks for. Quantity in shares, prices in account currency."""

    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    limit_price: Decimal | None
    time_in_force: TimeInForce
    client_order_id: str | None = None
    stop_price: Decimal | None = None

    @property
    def terms(self) -> Terms:
        """As asked for at first."""
        return Terms(self.quantity, self.limit_price, self.stop_price)


@dataclass(frozen=True, slots=True)
class Order:
    """An order with its history. `id` travels to the gateway as orderRef.

    `changed` are the terms in force at the gateway, if they are not those of the request any more.
    """

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
    changed: Terms | None = None

    @property
    def terms(self) -> Terms:
        """Those in force."""
        return self.changed or self.request.terms

    @property
    def remaining(self) -> Decimal:
        """Shares that may still trade."""
        return max(ZERO, self.terms.quantity - self.filled_quantity) if self.is_open else ZERO

    @property
    def is_open(self) -> bool:
        """Whether anything can still happen to it in the ordinary course."""
        return self.status in _OPEN

    @property
    def missing_message(self) -> "Message | None":
        """What has not been told: an execution, or what one cost."""
        if sum((fill.quantity for fill in self.fills), ZERO) < self.filled_quantity:
            return Message.EXECUTION
        if any(fill.commission is None for fill in self.fills):
            return Message.COMMISSION
        return None

    def yields_to(self, actor: Actor) -> bool:
        """Whether this actor may change or cancel it."""
        return actor.any_order or actor.name == self.client

    def changed_as(self, change: Change) -> bool:
        """Whether its terms are as the change wants them."""
        wanted = (change.quantity, change.limit_price, change.stop_price)
        terms = (self.terms.quantity, self.terms.limit_price, self.terms.stop_price)
        return all(new is None or new == now for new, now in zip(wanted, terms, strict=True))

    def entered(self, status: OrderStatus) -> bool:
        """Whether it was ever in `status`."""
        return any(change.status is status for change in self.history)


class Message(StrEnum):
    """What the gateway says of orders without being asked."""

    OPEN_ORDER = "open_order"
    ORDER_STATUS = "order_status"
    EXECUTION = "execution"
    COMMISSION = "commission"


class Irregular(StrEnum):
    """What may be wrong with a message.

    `duplicate`: said before. `late`: the order was final already. `missing`: not told, not even
    when it was asked for. `unknown`: about an order that is not stored here.
    """

    DUPLICATE = "duplicate"
    LATE = "late"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class OrderFact:
    """Something the gateway said about an order; None and zero mean "it did not say".

    `order_id` is empty where it did not say ours: `perm_id`, its own, tells which order it is.
    `message` is None for what was asked for, and for what is no word of the gateway.
    """

    order_id: str
    at: datetime
    perm_id: int | None = None
    status: OrderStatus | None = None
    filled_quantity: Decimal = ZERO
    average_price: Decimal | None = None
    fills: tuple[Fill, ...] = ()
    reason: str = ""
    terms: Terms | None = None
    message: Message | None = None


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


def changed_terms(order: Order, change: Change) -> Terms:
    """The terms after the change. Raises ImpossibleChange."""
    order_type, terms = order.request.order_type, order.terms
    if change.limit_price is not None and not order_type.has_limit:
        raise ImpossibleChange("limit_price", f"an order of type {order_type} has none")
    if change.stop_price is not None and not order_type.has_stop:
        raise ImpossibleChange("stop_price", f"an order of type {order_type} has none")
    quantity = terms.quantity if change.quantity is None else change.quantity
    if quantity <= order.filled_quantity:
        raise ImpossibleChange(
            "quantity", f"must be above the {order.filled_quantity} shares that are filled"
        )
    return Terms(
        quantity, change.limit_price or terms.limit_price, change.stop_price or terms.stop_price
    )


def apply(order: Order, fact: OrderFact) -> Order:
    """The order after hearing `fact`; the same object if nothing is new."""
    learned = _with_fills(_with_terms(_with_identity(order, fact), fact), fact)
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
    """Statuses that `after` has been in and `before` never had, in order: each counts once."""
    new = (change.status for change in after.history[len(before.history) :])
    return tuple(dict.fromkeys(status for status in new if not before.entered(status)))


def irregular(order: Order | None, fact: OrderFact) -> Irregular | None:
    """What is wrong with a message about an order as it was before; None if nothing is."""
    if order is None:
        return Irregular.UNKNOWN
    if order.is_open:
        return None
    if fact.message is Message.ORDER_STATUS:
        late = fact.status not in (None, order.status)
    else:
        late = len(_merge(order.fills, fact.fills)) > len(order.fills)
    return Irregular.LATE if late else None


def _remember(order: Order, status: OrderStatus, at: datetime, detail: str) -> Order:
    return replace(order, history=(*order.history, StatusChange(status, at, detail)))


def _with_identity(order: Order, fact: OrderFact) -> Order:
    return replace(order, perm_id=order.perm_id or fact.perm_id)


def _with_terms(order: Order, fact: OrderFact) -> Order:
    """The gateway's word on quantity and prices; a change of them is part of the history."""
    if fact.terms is None or not order.is_open:
        return order
    terms = _of_type(fact.terms, order.request.order_type)
    if terms == order.terms:
        return order
    changed = replace(order, changed=terms)
    return _remember(changed, order.status, fact.at, f"changed: {terms}")


def _of_type(terms: Terms, order_type: OrderType) -> Terms:
    """Without the prices that this type of order does not have, whatever the gateway fills in."""
    return Terms(
        terms.quantity,
        terms.limit_price if order_type.has_limit else None,
        terms.stop_price if order_type.has_stop else None,
    )


def _shown(number: Decimal | None) -> str:
    return "-" if number is None else f"{number.normalize():f}"


def _with_fills(order: Order, fact: OrderFact) -> Order:
    fills = _merge(order.fills, fact.fills)
    known = sum((fill.quantity for fill in fills), ZERO)
    said = order.terms.quantity if fact.status is OrderStatus.FILLED else fact.filled_quantity
    filled = max(order.filled_quantity, said, known)
    price = _average(fills) if known == filled and fills else fact.average_price
    return replace(
        order, fills=fills, filled_quantity=filled, average_price=price or order.average_price
    )


def _implied_status(order: Order, fact: OrderFact) -> OrderStatus | None:
    """Executions speak louder than the status field, which may be late or missing."""
    if order.filled_quantity >= order.terms.quantity:
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
        elif fill.exec_id == current.exec_id:
            merged[_execution(fill)] = _with_commission(current, fill)
    return tuple(merged.values())


def _with_commission(known: Fill, heard: Fill) -> Fill:
    """The execution as it is known, with the commission that was heard now."""
    if heard.commission is None:
        return known
    return replace(
        known, commission=heard.commission, commission_currency=heard.commission_currency
    )


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
