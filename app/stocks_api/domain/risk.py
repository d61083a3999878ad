"""Pre-trade limits, after SEC rule 15c3-5: pure checks of one order against what is known.

An order that only makes a position smaller passes the limits on positions and exposure: whoever is
beyond a limit must be able to come back.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from stocks_api.domain.errors import RiskRefused
from stocks_api.domain.orders import NewOrder, OrderType, Side, Terms

# Beyond these an order is a mistake, whatever the configuration says. Shares; account currency.
MOST_SHARES = Decimal(1_000_000)
MOST_NOTIONAL = Decimal(100_000_000)


@dataclass(frozen=True, slots=True)
class OrderRate:
    """At most so many orders in so many seconds."""

    orders: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """Shares and account currency; `price_collar` is a fraction. None: no such limit."""

    max_quantity: Decimal = MOST_SHARES
    max_notional: Decimal = MOST_NOTIONAL
    position_limit: Decimal = MOST_SHARES
    position_limits: Mapping[str, Decimal] = field(default_factory=dict)
    max_gross_exposure: Decimal | None = None
    price_collar: Decimal | None = None
    require_price: bool = False
    order_rate: OrderRate | None = None
    duplicate_seconds: float = 0
    restricted: frozenset[str] = frozenset()

    def position_limit_of(self, symbol: str) -> Decimal:
        """Shares that may be held, long or short."""
        return self.position_limits.get(symbol, self.position_limit)


@dataclass(frozen=True, slots=True)
class Proposal:
    """An order to judge: new, or with the terms that it shall get."""

    symbol: str
    side: Side
    order_type: OrderType
    terms: Terms

    @classmethod
    def of(cls, request: NewOrder, terms: Terms) -> "Proposal":
        """An order with these terms."""
        return cls(request.symbol, request.side, request.order_type, terms)


@dataclass(frozen=True, slots=True)
class Situation:
    """What else counts. Shares (sold short: negative) and account currency; prices may be unknown.

    `open_quantity` are the shares that open orders of the same symbol and side may still trade,
    `gross_exposure` is what positions and all open orders are worth, this one not included.
    """

    position: Decimal
    open_quantity: Decimal
    gross_exposure: Decimal
    last_price: Decimal | None
    recent_orders: int
    duplicate_of: str | None


Rule = Callable[[Proposal, Situation, RiskLimits], None]


def check(proposal: Proposal, situation: Situation, limits: RiskLimits) -> None:
    """Raise RiskRefused by the first rule that the order breaks."""
    for rule in _RULES:
        rule(proposal, situation, limits)


def worst_price(proposal: Proposal, last_price: Decimal | None) -> Decimal | None:
    """What a share may cost at most, as far as it is known."""
    terms = proposal.terms
    if proposal.side is Side.BUY and terms.limit_price is not None:
        return terms.limit_price
    known = [one for one in (terms.limit_price, terms.stop_price, last_price) if one is not None]
    return max(known, default=None)


def _restricted(proposal: Proposal, _situation: Situation, limits: RiskLimits) -> None:
    if proposal.symbol in limits.restricted:
        listed = ", ".join(sorted(limits.restricted))
        raise RiskRefused("restricted", "restricted", listed, proposal.symbol)


def _quantity(proposal: Proposal, _situation: Situation, limits: RiskLimits) -> None:
    _at_most("max_quantity", limits.max_quantity, proposal.terms.quantity)


def _price_known(_proposal: Proposal, situation: Situation, limits: RiskLimits) -> None:
    if limits.require_price and situation.last_price is None:
        raise RiskRefused("price_collar", "require_price", "a last trade", "none is known")


def _notional(proposal: Proposal, situation: Situation, limits: RiskLimits) -> None:
    price = worst_price(proposal, situation.last_price)
    if price is not None:
        _at_most("max_notional", limits.max_notional, price * proposal.terms.quantity)


def _position(proposal: Proposal, situation: Situation, limits: RiskLimits) -> None:
    if not _reduces(proposal, situation):
        after = abs(_after(proposal, situation))
        _at_most("position_limit", limits.position_limit_of(proposal.symbol), after)


def _exposure(proposal: Proposal, situation: Situation, limits: RiskLimits) -> None:
    price = worst_price(proposal, situation.last_price)
    limit = limits.max_gross_exposure
    if limit is not None and price is not None and not _reduces(proposal, situation):
        after = situation.gross_exposure + price * proposal.terms.quantity
        _at_most("max_gross_exposure", limit, after)


def _collar(proposal: Proposal, situation: Situation, limits: RiskLimits) -> None:
    collar, last = limits.price_collar, situation.last_price
    if collar is None or last is None:
        return
    low, high = last * (1 - collar), last * (1 + collar)
    for price in (proposal.terms.limit_price, proposal.terms.stop_price):
        if price is not None and not low <= price <= high:
            span = f"{low:.2f} to {high:.2f}"
            raise RiskRefused("price_collar", "price_collar", span, f"{price:f}")


def _rate(_proposal: Proposal, situation: Situation, limits: RiskLimits) -> None:
    rate = limits.order_rate
    if rate is not None and situation.recent_orders >= rate.orders:
        limit = f"{rate.orders} orders in {rate.seconds:g} s"
        raise RiskRefused("order_rate", "order_rate", limit, str(situation.recent_orders + 1))


def _duplicate(_proposal: Proposal, situation: Situation, limits: RiskLimits) -> None:
    if situation.duplicate_of is not None:
        limit = f"{limits.duplicate_seconds:g} s between equal orders"
        raise RiskRefused("duplicate", "duplicate_seconds", limit, situation.duplicate_of)


_RULES: tuple[Rule, ...] = (
    _restricted,
    _quantity,
    _price_known,
    _notional,
    _position,
    _exposure,
    _collar,
    _duplicate,
    _rate,
)


def _after(proposal: Proposal, situation: Situation) -> Decimal:
    """The position if this order and all open ones on its side trade in full."""
    traded = situation.open_quantity + proposal.terms.quantity
    return situation.position + (traded if proposal.side is Side.BUY else -traded)


def _reduces(proposal: Proposal, situation: Situation) -> bool:
    """Whether the position can only become smaller, and never turn."""
    after = _after(proposal, situation)
    same_way = after * situation.position >= 0 and situation.position != 0
    return same_way and abs(after) < abs(situation.position)


def _at_most(rule: str, limit: Decimal, value: Decimal) -> None:
    if value > limit:
        raise RiskRefused("risk_limit", rule, f"{limit:f}", f"{value:f}")
