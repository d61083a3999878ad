"""Orders, executions, positions and cash of one account: arithmetic only, no sockets, no clock.

Money and shares are Decimals, in USD and shares. As Interactive Brokers does, commissions are part
of the average cost and of the realised P&L, so that at any time
``net liquidation - initial cash == realised + unrealised`` (summed over all days).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from gateway_simulator.contracts import Instrument

MAX_OPEN_ORDERS = 2_000
MAX_COMPLETED_ORDERS = 10_000
"""When a day has more completed orders than this, the oldest and their executions are forgotten."""

ZERO = Decimal(0)
DONE = frozenset({"Filled", "Cancelled", "Inactive"})


class RefusedError(Exception):
    """A request about an order that cannot be carried out: a TWS error code and its text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


@dataclass(frozen=True)
class Terms:
    """What the client wants: the part of an order that a modification replaces."""

    action: str  # BUY or SELL
    quantity: Decimal
    order_type: str  # MKT, LMT, STP or STP LMT
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    tif: str = "DAY"
    order_ref: str = ""
    outside_rth: bool = False

    @property
    def sign(self) -> int:
        """1 when the order adds shares, -1 when it takes them away."""
        return 1 if self.action == "BUY" else -1


@dataclass(frozen=True)
class Order:
    """An order as it stands; each change makes a new one, so that what was sent stays as it was."""

    client_id: int
    order_id: int
    perm_id: int
    instrument: Instrument
    terms: Terms
    status: str
    filled: Decimal = ZERO
    average_price: Decimal = ZERO
    last_price: Decimal = ZERO
    triggered: bool = False
    completed_at: datetime | None = None
    reason: str = ""

    @property
    def remaining(self) -> Decimal:
        """Shares still to be filled."""
        return self.terms.quantity - self.filled

    @property
    def is_done(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.status in DONE

    @property
    def key(self) -> tuple[int, int]:
        """What identifies an open order: the client's id and its own id for the order."""
        return self.client_id, self.order_id


@dataclass(frozen=True)
class Execution:
    """One fill. `commission` and `realized` are in USD; `realized` is net of the commission."""

    exec_id: str
    order: Order
    time: datetime
    shares: Decimal
    price: Decimal
    commission: Decimal
    realized: Decimal


@dataclass
class Position:
    """Shares held of one stock and what they cost; flat ones stay until the day ends.

    `cost` is signed: negative for a short position, whose proceeds it is.
    """

    instrument: Instrument
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realized: Decimal = ZERO
    unrealized_at_open: Decimal = ZERO

    @property
    def average_cost(self) -> Decimal:
        """USD per share, commissions included; 0 when flat."""
        return self.cost / self.quantity if self.quantity else ZERO

    def trade(self, shares: Decimal, price: Decimal, commission: Decimal) -> Decimal:
        """Add `shares` (negative: sold) and return the P&L this realised, net of commission."""
        closing = _closing_part(self.quantity, shares)
        fee_of_closing = commission * abs(closing) / abs(shares)
        realized = self._close(closing, price, fee_of_closing)
        opening = shares - closing
        if opening:
            self.quantity += opening
            self.cost += opening * price + commission - fee_of_closing
        self.realized += realized
        return realized

    def unrealized(self, mark: Decimal) -> Decimal:
        """P&L of what is held, were it sold at `mark`."""
        return self.quantity * mark - self.cost

    def daily(self, mark: Decimal) -> Decimal:
        """P&L since the day began."""
        return self.realized + self.unrealized(mark) - self.unrealized_at_open

    def _close(self, closing: Decimal, price: Decimal, fee: Decimal) -> Decimal:
        if not closing:
            return ZERO
        left = self.quantity + closing
        cost = self.cost - (self.cost * left / self.quantity if left else ZERO)
        self.quantity = left
        self.cost -= cost
        return -closing * price - cost - fee


def _closing_part(held: Decimal, shares: Decimal) -> Decimal:
    """The part of a trade that reduces what is held, with the trade's sign."""
    if held * shares >= 0:
        return ZERO
    return shares if abs(shares) <= abs(held) else -held


def commission(shares: Decimal, price: Decimal) -> Decimal:
    """IB's fixed US stock tariff: 0.005 USD a share, at least 1 USD, at most 1 % of the value."""
    tariff = max(shares * Decimal("0.005"), Decimal(1))
    return min(tariff, shares * price / 100).quantize(Decimal("0.0001"))


@dataclass(frozen=True)
class Pnl:
    """P&L in USD since the day began, of what is held, and of what was closed today."""

    daily: Decimal
    unrealized: Decimal
    realized: Decimal


Mark = Callable[[Instrument], Decimal]
"""The price at which a stock is valued now."""


@dataclass
class Book:
    """Everything the account holds. `run` makes ids differ from those of an earlier process."""

    run: int
    initial_cash: Decimal
    cash: Decimal = field(init=False)
    positions: dict[int, Position] = field(default_factory=dict)
    forgotten_orders: int = 0
    _open: dict[tuple[int, int], Order] = field(default_factory=dict)
    _completed: dict[int, Order] = field(default_factory=dict)  # by permanent id, oldest first
    _executions: dict[int, list[Execution]] = field(default_factory=dict)  # by permanent id
    _highest_order_id: dict[int, int] = field(default_factory=dict)
    _orders_made: int = 0
    _executions_made: int = 0

    def __post_init__(self) -> None:
        self.cash = self.initial_cash

    # Orders

    def next_order_id(self, client_id: int) -> int:
        """The lowest order id this client may use."""
        return self._highest_order_id.get(client_id, 0) + 1

    def open_orders(self, client_id: int | None = None) -> list[Order]:
        """Orders that can still fill, of one client or of all, oldest first."""
        return [one for one in self._open.values() if client_id in (None, one.client_id)]

    def completed_orders(self) -> list[Order]:
        """Today's orders that are done, of all clients, oldest first."""
        return list(self._completed.values())

    def executions(self) -> list[Execution]:
        """Today's fills of all orders, oldest first."""
        every = (one for fills in self._executions.values() for one in fills)
        return sorted(every, key=lambda one: one.time)

    def find(self, client_id: int, order_id: int) -> Order | None:
        """An open order, or a completed one of today."""
        return self._open.get((client_id, order_id)) or next(
            (one for one in self._completed.values() if one.key == (client_id, order_id)), None
        )

    def open(self, client_id: int, order_id: int, instrument: Instrument, terms: Terms) -> Order:
        """Take in a new order. Raises RefusedError (103) when its id was used before."""
        if order_id < self.next_order_id(client_id):
            raise RefusedError(103, "Duplicate order id")
        if len(self._open) >= MAX_OPEN_ORDERS:
            raise RefusedError(
                201, f"Order rejected - reason:{MAX_OPEN_ORDERS} open orders are the limit"
            )
        self._highest_order_id[client_id] = order_id
        self._orders_made += 1
        return self.put(
            Order(client_id, order_id, self._perm_id(), instrument, terms, "PendingSubmit")
        )

    def put(self, order: Order) -> Order:
        """Keep the new state of an order."""
        if not order.is_done:
            self._open[order.key] = order
            return order
        self._open.pop(order.key, None)
        self._completed[order.perm_id] = order
        self._forget_oldest()
        return order

    def fill(self, order: Order, shares: Decimal, price: Decimal, now: datetime) -> Execution:
        """Fill `shares` of an order at `price`: book the trade and keep the order's new state."""
        fee = commission(shares, price)
        signed = shares * order.terms.sign
        position = self._position(order.instrument)
        realized = position.trade(signed, price, fee)
        self.cash -= signed * price + fee
        filled = self.put(_filled(order, shares, price, now))
        execution = Execution(self._exec_id(), filled, now, shares, price, fee, realized)
        self._executions.setdefault(order.perm_id, []).append(execution)
        return execution

    def end_day(self, mark: Mark) -> list[Order]:
        """Start a new day: forget what was completed; returns the open orders that expire."""
        self._executions.clear()
        self._completed.clear()
        self.positions = {key: one for key, one in self.positions.items() if one.quantity}
        for position in self.positions.values():
            position.realized = ZERO
            position.unrealized_at_open = position.unrealized(mark(position.instrument))
        return [one for one in self._open.values() if one.terms.tif == "DAY"]

    def restart(self, forgotten: int) -> None:
        """Lose the newest open orders, and count order ids from the open ones on, as IB does."""
        for key in list(self._open)[len(self._open) - forgotten :] if forgotten else []:
            del self._open[key]
        self._highest_order_id = {}
        for client_id, order_id in self._open:
            highest = self._highest_order_id.get(client_id, 0)
            self._highest_order_id[client_id] = max(highest, order_id)

    # Valuation

    def held(self) -> list[Position]:
        """Positions that are not flat."""
        return [one for one in self.positions.values() if one.quantity]

    def position(self, con_id: int) -> Position | None:
        """The position in one stock, if it was traded today or is held."""
        return self.positions.get(con_id)

    def pnl(self, mark: Mark) -> Pnl:
        """P&L of the account."""
        return _total(position_pnl(one, mark) for one in self.positions.values())

    def stock_value(self, mark: Mark) -> Decimal:
        """Market value of all positions, short ones negative."""
        return sum((one.quantity * mark(one.instrument) for one in self.held()), ZERO)

    def gross_value(self, mark: Mark) -> Decimal:
        """Market value of all positions, short ones counted as positive."""
        return sum((abs(one.quantity) * mark(one.instrument) for one in self.held()), ZERO)

    def net_liquidation(self, mark: Mark) -> Decimal:
        """Cash and positions."""
        return self.cash + self.stock_value(mark)

    # Identifiers

    def _perm_id(self) -> int:
        # 32 bits as at the gateway, which has 4 a second before two runs of the process meet.
        return (self.run * 4 + self._orders_made) % 2**31

    def _exec_id(self) -> str:
        """The last part counts corrections, so it is always 01."""
        self._executions_made += 1
        return f"0000e0d5.{self.run:08x}.{self._executions_made:02d}.01"

    def _position(self, instrument: Instrument) -> Position:
        return self.positions.setdefault(instrument.con_id, Position(instrument))

    def _forget_oldest(self) -> None:
        while len(self._completed) > MAX_COMPLETED_ORDERS:
            oldest = next(iter(self._completed))
            del self._completed[oldest]
            self.forgotten_orders += 1
            self._executions.pop(oldest, None)


def position_pnl(position: Position, mark: Mark) -> Pnl:
    """P&L of one position."""
    price = mark(position.instrument)
    return Pnl(position.daily(price), position.unrealized(price), position.realized)


def _total(parts: Iterable[Pnl]) -> Pnl:
    total = Pnl(ZERO, ZERO, ZERO)
    for one in parts:
        total = Pnl(
            total.daily + one.daily,
            total.unrealized + one.unrealized,
            total.realized + one.realized,
        )
    return total


def _filled(order: Order, shares: Decimal, price: Decimal, now: datetime) -> Order:
    filled = order.filled + shares
    done = filled >= order.terms.quantity
    return replace(
        order,
        filled=filled,
        average_price=(order.average_price * order.filled + price * shares) / filled,
        last_price=price,
        status="Filled" if done else "Submitted",
        completed_at=now if done else None,
    )
