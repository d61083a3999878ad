"""Portfolio, quotes and the database's health, with what they tell the metrics."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from tests.unit.api import clock

from stocks_api.domain.errors import DatabaseUnavailable, NotWatched
from stocks_api.domain.market import AccountSummary, Pnl, Position, Quote
from stocks_api.services.database_health import DatabaseHealth, HealthTiming
from stocks_api.services.portfolio import Portfolio
from stocks_api.services.quotes import Quotes

AT = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)


class Shown:
    def __init__(self) -> None:
        self.held: tuple[Position, ...] = ()
        self.pnl = Pnl()
        self.worth: list[float] = []
        self.ticks: list[str] = []
        self.up: list[bool] = []
        self.successes = 0

    def positions(self, positions: Iterable[Position]) -> None:
        self.held = tuple(positions)

    def account_pnl(self, pnl: Pnl) -> None:
        self.pnl = pnl

    def net_liquidation(self, value: float) -> None:
        self.worth.append(value)

    def ticked(self, symbol: str, _at: datetime) -> None:
        self.ticks.append(symbol)

    def database_up(self, up: bool) -> None:
        self.up.append(up)

    def database_succeeded(self, _at: float) -> None:
        self.successes += 1


def held(symbol: str, quantity: int) -> Position:
    return Position("DU1", symbol, Decimal(quantity), 100.0)


def test_a_position_keeps_its_pnl_when_its_size_changes() -> None:
    shown = Shown()
    portfolio = Portfolio(shown)
    portfolio.position_changed(held("AAPL", 5))
    portfolio.position_pnl_changed("DU1", "AAPL", Pnl(1.0, 12.0, 3.0))
    portfolio.position_pnl_changed("DU1", "AAPL", Pnl(2.0))
    portfolio.position_changed(held("AAPL", 6))
    (position,) = shown.held
    assert position.quantity == 6
    assert position.pnl == Pnl(2.0, 12.0, 3.0)


def test_a_position_of_0_is_gone() -> None:
    shown = Shown()
    portfolio = Portfolio(shown)
    portfolio.position_changed(held("AAPL", 5))
    portfolio.position_changed(held("AAPL", 0))
    portfolio.position_pnl_changed("DU1", "AAPL", Pnl(12.0))  # late
    assert shown.held == portfolio.positions == ()


def test_a_resync_takes_away_what_was_closed_meanwhile() -> None:
    portfolio = Portfolio(Shown())
    portfolio.position_changed(held("AAPL", 5))
    portfolio.position_changed(held("MSFT", 5))
    portfolio.replace_positions([held("MSFT", 7), held("TSLA", 0)])
    (position,) = portfolio.positions
    assert position.symbol == "MSFT"
    assert position.quantity == 7


def test_pnl_that_is_not_told_stays_as_it_was() -> None:
    shown = Shown()
    portfolio = Portfolio(shown)
    portfolio.account_pnl_changed(Pnl(1.0, 2.0, None))
    portfolio.account_pnl_changed(Pnl(None, 5.0, None))
    assert shown.pnl == Pnl(1.0, 5.0, None)


def test_the_summary_keeps_what_it_knows_and_unknown_worth_is_not_shown() -> None:
    shown = Shown()
    portfolio = Portfolio(shown)
    portfolio.summary_changed(AccountSummary("DU1", "USD", total_cash=5.0))
    portfolio.summary_changed(AccountSummary("DU1", "USD", net_liquidation=9.0))
    assert shown.worth == [9.0]
    known = AccountSummary("DU1", "USD", net_liquidation=9.0, total_cash=5.0)
    assert portfolio.summary == known


def test_quotes_are_those_of_the_watch_list() -> None:
    shown = Shown()
    quotes = Quotes(["AAPL"], shown)
    assert quotes.get("AAPL").last is None
    quotes.ticked(Quote("AAPL", last=3.0, last_tick_at=AT))
    quotes.ticked(Quote("NVDA", last=3.0, last_tick_at=AT))
    assert (quotes.get("AAPL").last, shown.ticks) == (3.0, ["AAPL"])
    with pytest.raises(NotWatched, match=r"NVDA.*AAPL"):
        quotes.get("NVDA")


class Database:
    def __init__(self) -> None:
        self.here = True
        self.slow = False
        self.stored_at = -math.inf
        self.migrations = 0

    async def migrate(self) -> None:
        self._answer()
        self.migrations += 1

    async def ping(self) -> None:
        if self.slow:
            await asyncio.sleep(60)
        self._answer()

    def _answer(self) -> None:
        if not self.here:
            raise DatabaseUnavailable("gone")


def health(database: Database, shown: Shown) -> DatabaseHealth:
    return DatabaseHealth(database, shown, HealthTiming())


def test_a_database_is_migrated_once_then_watched() -> None:
    async def scenario() -> None:
        database, shown = Database(), Shown()
        watched = health(database, shown)
        for here in (False, True, True, False):
            database.here = here
            await watched.check()
        assert shown.up == [False, True, True, False]
        assert (shown.successes, database.migrations) == (2, 1)
        assert watched.problem == "gone"

    clock.run(scenario())


def test_a_database_that_hangs_is_down_after_3_seconds() -> None:
    async def scenario() -> None:
        database, shown = Database(), Shown()
        database.slow = True
        await health(database, shown).check()
        assert asyncio.get_running_loop().time() == pytest.approx(3)
        assert shown.up == [False]

    clock.run(scenario())


def test_a_database_that_stores_orders_while_it_is_asked_is_only_busy() -> None:
    async def scenario() -> None:
        database, shown = Database(), Shown()
        database.slow, database.stored_at = True, math.inf
        await health(database, shown).check()
        assert shown.up == [True]

    clock.run(scenario())
