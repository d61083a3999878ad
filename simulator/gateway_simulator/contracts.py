"""The stocks that exist: a built-in universe, and a made-up one for any other plain symbol."""

import re
import zlib
from dataclasses import dataclass
from decimal import Decimal

MAX_INSTRUMENTS = 2000
"""How many different symbols one process will invent: a bound on memory."""

_PLAIN_SYMBOL = re.compile(r"[A-Z]{1,5}([ .][A-Z])?")
_PRIMARY_EXCHANGES = {"SMART", "NASDAQ", "ISLAND", "NYSE", "ARCA", "AMEX", "BATS", "IEX"}


class UnknownContractError(Exception):
    """No security definition matches (code 200 on the wire)."""


@dataclass(frozen=True)
class Instrument:
    """A US stock. `start_price` (USD) is where its random walk begins."""

    con_id: int
    symbol: str
    long_name: str
    primary_exchange: str
    start_price: Decimal

    @property
    def market_name(self) -> str:
        """Name of the market rule family, as the gateway gives it for Nasdaq stocks."""
        return "NMS" if self.primary_exchange == "NASDAQ" else self.symbol


@dataclass(frozen=True)
class ContractQuery:
    """What a client says about the contract it means; empty or 0 where it says nothing."""

    con_id: int = 0
    symbol: str = ""
    sec_type: str = "STK"
    exchange: str = "SMART"
    currency: str = "USD"
    local_symbol: str = ""


def _listed(con_id: int, symbol: str, name: str, exchange: str, price: str) -> Instrument:
    return Instrument(con_id, symbol, name, exchange, Decimal(price))


UNIVERSE = (
    _listed(265598, "AAPL", "APPLE INC", "NASDAQ", "230.00"),
    _listed(272093, "MSFT", "MICROSOFT CORP", "NASDAQ", "425.00"),
    _listed(76792991, "TSLA", "TESLA INC", "NASDAQ", "250.00"),
    _listed(3691937, "AMZN", "AMAZON.COM INC", "NASDAQ", "200.00"),
    _listed(4815747, "NVDA", "NVIDIA CORP", "NASDAQ", "140.00"),
    _listed(208813720, "GOOG", "ALPHABET INC-CL C", "NASDAQ", "175.00"),
    _listed(107113386, "META", "META PLATFORMS INC-CLASS A", "NASDAQ", "580.00"),
    _listed(4391, "AMD", "ADVANCED MICRO DEVICES", "NASDAQ", "150.00"),
    _listed(270639, "INTC", "INTEL CORP", "NASDAQ", "24.00"),
    _listed(320227571, "QQQ", "INVESCO QQQ TRUST SERIES 1", "NASDAQ", "500.00"),
    _listed(756733, "SPY", "SS SPDR S&P 500 ETF TRUST-US", "ARCA", "590.00"),
    _listed(8314, "IBM", "INTL BUSINESS MACHINES CORP", "NYSE", "220.00"),
    _listed(1520593, "JPM", "JPMORGAN CHASE & CO", "NYSE", "240.00"),
)


class Directory:
    """Finds the instrument a client means; what it has once invented it remembers."""

    def __init__(self) -> None:
        self._by_symbol = {one.symbol: one for one in UNIVERSE}
        self._by_con_id = {one.con_id: one for one in UNIVERSE}

    def find(self, query: ContractQuery) -> Instrument:
        """The instrument of a query, by contract id if it has one. Raises UnknownContractError."""
        if query.sec_type not in ("STK", "") or query.currency not in ("USD", ""):
            raise UnknownContractError("only US stocks in USD are simulated")
        if query.exchange not in _PRIMARY_EXCHANGES | {""}:
            raise UnknownContractError(f"no such exchange: {query.exchange}")
        if query.con_id:
            return self._known(query.con_id)
        return self.symbol(query.symbol or query.local_symbol)

    def symbol(self, symbol: str) -> Instrument:
        """The instrument of a plain symbol, invented when it is new. See `find`."""
        known = self._by_symbol.get(symbol)
        return known or self._invent(symbol)

    def _known(self, con_id: int) -> Instrument:
        try:
            return self._by_con_id[con_id]
        except KeyError:
            raise UnknownContractError(f"no contract has the id {con_id}") from None

    def _invent(self, symbol: str) -> Instrument:
        if not _PLAIN_SYMBOL.fullmatch(symbol) or symbol.startswith("ZZZ"):
            raise UnknownContractError(f"no stock is called {symbol!r}")
        if len(self._by_symbol) >= MAX_INSTRUMENTS:
            raise UnknownContractError(f"the simulator knows {MAX_INSTRUMENTS} symbols at most")
        instrument = invented(symbol)
        while instrument.con_id in self._by_con_id:  # two symbols with the same checksum
            instrument = invented(symbol, instrument.con_id + 1)
        self._by_symbol[symbol] = self._by_con_id[instrument.con_id] = instrument
        return instrument


def invented(symbol: str, con_id: int = 0) -> Instrument:
    """A stock made up from its symbol alone, the same in every process: 10 to 410 USD."""
    checksum = zlib.crc32(symbol.encode())
    price = Decimal(10) + Decimal(checksum % 40_000) / 100
    return Instrument(
        con_id or 400_000_000 + checksum % 100_000_000, symbol, f"{symbol} INC", "NYSE", price
    )
