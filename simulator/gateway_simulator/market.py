"""Prices: one seeded random walk per symbol, advanced by the tick loop. No clock, no sockets."""

import random
from dataclasses import dataclass
from decimal import Decimal

from gateway_simulator.contracts import Instrument

CENT = Decimal("0.01")
MIN_PRICE = Decimal("1.00")
MAX_PRICE = Decimal("1000000.00")

# 30 % a year over 252 sessions of 23,400 s: 0.3 / sqrt(252 * 23400) per second.
_VOLATILITY_PER_SQRT_SECOND = 1.24e-4


@dataclass(frozen=True)
class Quote:
    """What the market shows for one symbol: prices in USD, sizes and volume in shares."""

    bid: Decimal
    ask: Decimal
    last: Decimal
    bid_size: int
    ask_size: int
    last_size: int
    volume: int
    high: Decimal
    low: Decimal
    open: Decimal
    close: Decimal


class Walk:
    """The random walk of one symbol; the same seed and symbol give the same steps."""

    def __init__(self, instrument: Instrument, seed: int, step_seconds: float) -> None:
        self._random = random.Random(f"{seed}:{instrument.symbol}")  # noqa: S311 - not for secrets
        self._sigma = _VOLATILITY_PER_SQRT_SECOND * step_seconds**0.5
        self._exact = float(instrument.start_price)
        self.quote = self._opening(instrument.start_price)

    def step(self) -> Quote:
        """Move on by one tick."""
        self._exact *= 1 + self._random.gauss(0, self._sigma)
        return self._trade_at(self._exact)

    def jump(self, price: Decimal) -> Quote:
        """Trade at `price` at once; the walk goes on from there."""
        self._exact = float(price)
        return self._trade_at(self._exact)

    def _opening(self, price: Decimal) -> Quote:
        close = (price * (1 + Decimal(self._random.gauss(0, 0.005)))).quantize(CENT)
        sizes = self._sizes()
        return Quote(price - CENT, price + CENT, price, *sizes, 0, price, price, price, close)

    def _trade_at(self, exact: float) -> Quote:
        last = min(max(Decimal(exact).quantize(CENT), MIN_PRICE), MAX_PRICE)
        self._exact = min(max(exact, float(MIN_PRICE)), float(MAX_PRICE))
        half_spread = max(CENT, (last / 20_000).quantize(CENT))  # 1 basis point wide in all
        bid_size, ask_size, last_size = self._sizes()
        before = self.quote
        return self._show(
            Quote(
                bid=last - half_spread,
                ask=last + half_spread,
                last=last,
                bid_size=bid_size,
                ask_size=ask_size,
                last_size=last_size,
                volume=before.volume + last_size,
                high=max(before.high, last),
                low=min(before.low, last),
                open=before.open,
                close=before.close,
            )
        )

    def _sizes(self) -> tuple[int, int, int]:
        """Bid, ask and last size: round lots, and what can be filled within one tick."""
        draw = self._random.randint
        return draw(5, 30) * 100, draw(5, 30) * 100, draw(1, 5) * 100

    def _show(self, quote: Quote) -> Quote:
        self.quote = quote
        return quote


class Market:
    """The walks of all symbols anybody has asked for."""

    def __init__(self, seed: int, step_seconds: float) -> None:
        self._seed = seed
        self._step_seconds = step_seconds
        self._walks: dict[int, Walk] = {}
        self._taken: dict[tuple[int, str], Decimal] = {}

    def quote(self, instrument: Instrument) -> Quote:
        """The present quote; the first question about a symbol starts its walk."""
        return self._walk(instrument).quote

    def quotes(self) -> dict[int, Quote]:
        """The present quotes by contract id."""
        return {con_id: walk.quote for con_id, walk in self._walks.items()}

    def step(self) -> None:
        """Advance every walk by one tick and show fresh sizes."""
        self._taken.clear()
        for walk in self._walks.values():
            walk.step()

    def jump(self, instrument: Instrument, price: Decimal) -> Quote:
        """Move one symbol to `price` (USD); the walk goes on from there."""
        for action in ("BUY", "SELL"):
            self._taken.pop((instrument.con_id, action), None)
        return self._walk(instrument).jump(price)

    def available(self, instrument: Instrument, action: str) -> Decimal:
        """Shares that can still be bought (or sold) within this tick."""
        quote = self.quote(instrument)
        shown = quote.ask_size if action == "BUY" else quote.bid_size
        return Decimal(shown) - self._taken.get((instrument.con_id, action), Decimal(0))

    def take(self, instrument: Instrument, action: str, shares: Decimal) -> None:
        """Note that `shares` of what was shown are gone until the next tick."""
        key = (instrument.con_id, action)
        self._taken[key] = self._taken.get(key, Decimal(0)) + shares

    def _walk(self, instrument: Instrument) -> Walk:
        walk = self._walks.get(instrument.con_id)
        if walk is None:
            walk = Walk(instrument, self._seed, self._step_seconds)
            self._walks[instrument.con_id] = walk
        return walk
