"""Last known market data of the watch list."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Protocol

from stocks_api.domain.errors import NotWatched
from stocks_api.domain.market import Quote


class TickMetrics(Protocol):
    """Where the age of market data is shown."""

    def ticked(self, symbol: str, at: datetime) -> None:
        """A tick of this symbol arrived."""


class Quotes:
    """One quote for each symbol of the watch list."""

    def __init__(self, symbols: Iterable[str], metrics: TickMetrics) -> None:
        self._quotes = {symbol: Quote(symbol) for symbol in symbols}
        self._metrics = metrics

    def get(self, symbol: str) -> Quote:
        """The quote; its prices are None before the first tick. Raises NotWatched."""
        try:
            return self._quotes[symbol]
        except KeyError:
            known = ", ".join(self._quotes)
            raise NotWatched(f"{symbol} is not on the watch list ({known})") from None

    def last_price(self, symbol: str) -> Decimal | None:
        """The last trade; None before the first tick, and off the watch list."""
        quote = self._quotes.get(symbol)
        return None if quote is None or quote.last is None else Decimal(str(quote.last))

    def silent(self, seconds: float) -> Collection[str]:
        """Symbols without a tick for so long; those that never ticked, too."""
        since = datetime.now(UTC) - timedelta(seconds=seconds)
        return [
            symbol
            for symbol, quote in self._quotes.items()
            if quote.last_tick_at is None or quote.last_tick_at < since
        ]

    def ticked(self, quote: Quote) -> None:
        """Market data arrived."""
        if quote.symbol in self._quotes and quote.last_tick_at is not None:
            self._quotes[quote.symbol] = quote
            self._metrics.ticked(quote.symbol, quote.last_tick_at)
