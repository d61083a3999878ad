"""Positions, profit and loss, quotes: what the gateway tells, cleaned."""

import math
from dataclasses import dataclass, fields, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

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
class Pnl:
    """Of the account or of one position, account currency; None is "not known yet"."""

    daily: float | None = None
    unrealized: float | None = None
    realized: float | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """Shares held (negative: short), cost per share and P&L in account currency."""

    account: str
    symbol: str
    quantity: Decimal
    average_cost: float | None = None
    pnl: Pnl = Pnl()


@dataclass(frozen=True, slots=True)
class AccountSummary:
    """What the account is worth and may do, in its currency; None is "not known yet"."""

    account: str | None = None
    currency: str | None = None
    net_liquidation: float | None = None
    total_cash: float | None = None
    settled_cash: float | None = None
    gross_position_value: float | None = None
    buying_power: float | None = None
    available_funds: float | None = None
    excess_liquidity: float | None = None
    initial_margin: float | None = None
    maintenance_margin: float | None = None


_Known = TypeVar("_Known", Pnl, AccountSummary)


def updated(known: _Known, heard: _Known) -> _Known:
    """What is known now: what was heard, and what was known of the rest."""
    news = {field.name: getattr(heard, field.name) for field in fields(heard)}
    return replace(known, **{name: value for name, value in news.items() if value is not None})


class Feed(StrEnum):
    """What kind of market data the account is entitled to; frozen: as of the last close."""

    LIVE = "live"
    FROZEN = "frozen"
    DELAYED = "delayed"
    DELAYED_FROZEN = "delayed_frozen"


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
    feed: Feed = Feed.LIVE
    last_tick_at: datetime | None = None

    @property
    def delayed(self) -> bool:
        """Whether its prices are those of some minutes ago."""
        return self.feed in (Feed.DELAYED, Feed.DELAYED_FROZEN)
