"""Positions, profit and loss and net liquidation, as the gateway last told them.

What is known survives a lost link: the numbers stay, and the link's own metric says that they age.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from stocks_api.domain.market import AccountSummary, Pnl, Position, updated


class PortfolioMetrics(Protocol):
    """Where the portfolio is shown; money in account currency, None is "not known"."""

    def positions(self, positions: Iterable[Position]) -> None:
        """All positions that are not flat."""

    def account_pnl(self, pnl: Pnl) -> None:
        """Profit and loss of the account."""

    def net_liquidation(self, value: float) -> None:
        """What the account is worth."""


class Portfolio:
    """The current state; kept by the gateway's messages."""

    def __init__(self, metrics: PortfolioMetrics) -> None:
        self._metrics = metrics
        self._positions: dict[tuple[str, str], Position] = {}
        self.pnl = Pnl()
        self.summary = AccountSummary()

    @property
    def positions(self) -> tuple[Position, ...]:
        """Positions that are not flat, by symbol."""
        return tuple(sorted(self._positions.values(), key=lambda position: position.symbol))

    def replace_positions(self, positions: Iterable[Position]) -> None:
        """The whole truth after a resync: what is missing was closed meanwhile."""
        known = self._positions
        self._positions = {
            _key(position): _keep_pnl(position, known.get(_key(position)))
            for position in positions
            if position.quantity
        }
        self._metrics.positions(self.positions)

    def position_changed(self, position: Position) -> None:
        """One position changed; a quantity of zero closes it."""
        if position.quantity:
            known = self._positions.get(_key(position))
            self._positions[_key(position)] = _keep_pnl(position, known)
        else:
            self._positions.pop(_key(position), None)
        self._metrics.positions(self.positions)

    def position_pnl_changed(self, account: str, symbol: str, pnl: Pnl) -> None:
        """The P&L of a position changed; what this message does not know stays as it was."""
        known = self._positions.get((account, symbol))
        if known is not None:
            self._positions[account, symbol] = replace(known, pnl=updated(known.pnl, pnl))
            self._metrics.positions(self.positions)

    def account_pnl_changed(self, pnl: Pnl) -> None:
        """The account's P&L changed; what this message does not know stays as it was."""
        self.pnl = updated(self.pnl, pnl)
        self._metrics.account_pnl(self.pnl)

    def summary_changed(self, summary: AccountSummary) -> None:
        """Some of the account's values changed; None: not those."""
        self.summary = updated(self.summary, summary)
        if summary.net_liquidation is not None:
            self._metrics.net_liquidation(summary.net_liquidation)


def _key(position: Position) -> tuple[str, str]:
    return position.account, position.symbol


def _keep_pnl(position: Position, known: Position | None) -> Position:
    return position if known is None else replace(position, pnl=updated(known.pnl, position.pnl))
