"""Positions, profit and loss, quotes: what the gateway tells, cleaned."""

import math
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

# The client's "no value" for a double is 1.7976931348623157e308; nothing real is near it.
_ABSURD = 1e300


def finite(value: float | str | None) -> float | None:
    """The number, or None for NaN, infinity, the client's sentinels and what is no number."""
    try:
        number = float(value) if value is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) and abs(number) < _ABSURD else None


def price(value: float | None) -> float | None:
    """A usable price: the gateway sends 0 and -1 for "none"."""
    number = finite(value)
    return number if number is not None and number > 0 else None


@dataclass(frozen=True, slots=True)
class Position:
    """Shares held (negative: short), cost per share and unrealised P&L in account currency."""

    account: str
    symbol: str
    quantity: Decimal
    average_cost: float | None = None
    unrealized_pnl: float | None = None


@dataclass(frozen=True, slots=True)
class AccountPnl:
    """Account currency; None is "not known yet"."""

    daily: float | None = None
    unrealized: float | None = None
    realized: float | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """Last known market data of a symbol; prices in its currency, sizes in shares."""

    symbol: str
    bid: float | None = None
    ask: float | None = None
    last: float | None = None
    bid_size: float | None = None
    ask_size: float | None = None
    close: float | None = None
    delayed: bool = False
    last_tick_at: datetime | None = None
