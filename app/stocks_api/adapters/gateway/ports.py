"""What the gateway needs to know, and who hears what it says."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from stocks_api.domain.market import AccountSummary, Pnl, Position, Quote
from stocks_api.domain.orders import Irregular, Message, OrderFact


class Upstream(Protocol):
    """Who must know that the gateway lost or regained its servers."""

    def upstream_lost(self) -> None:
        """Code 1100."""

    def upstream_restored(self, *, data_lost: bool) -> None:
        """Codes 1101 (data lost) and 1102 (data kept)."""


class OrderFacts(Protocol):
    """Who must know what happens to orders."""

    def record(self, fact: OrderFact) -> None:
        """The gateway said something about an order."""


class PortfolioState(Protocol):
    """Who keeps positions and P&L."""

    def replace_positions(self, positions: Iterable[Position]) -> None:
        """All of them."""

    def position_changed(self, position: Position) -> None:
        """One of them."""

    def position_pnl_changed(self, account: str, symbol: str, pnl: Pnl) -> None:
        """The P&L of one of them."""

    def account_pnl_changed(self, pnl: Pnl) -> None:
        """The account's P&L."""

    def summary_changed(self, summary: AccountSummary) -> None:
        """What the account is worth and may do."""


class QuoteState(Protocol):
    """Who keeps market data."""

    def ticked(self, quote: Quote) -> None:
        """Market data arrived."""


class MessageMetrics(Protocol):
    """Where messages of the gateway are counted."""

    def gateway_error(self, code: int) -> None:
        """The gateway sent an error message."""

    def irregular_message(self, message: Message, irregular: Irregular) -> None:
        """The gateway said something that it should not have said now."""


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Where the gateway is, and what to ask of it; `request_timeout` in seconds."""

    host: str
    port: int
    client_id: int
    symbols: tuple[str, ...]
    live: bool = False
    request_timeout: float = 4.0


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who hears what the gateway says."""

    orders: OrderFacts
    portfolio: PortfolioState
    quotes: QuoteState
    upstream: Upstream
    messages: MessageMetrics
