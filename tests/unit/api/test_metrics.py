"""What reaches a gauge, under which label, and what never does."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from prometheus_client import CollectorRegistry

from stocks_api.adapters.metrics import Metrics
from stocks_api.domain.market import Pnl, Position

STARTED = 1_700_000_000.0


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry, ["AAPL", "TSLA"], STARTED)


def held(symbol: str, quantity: int, pnl: float | None = None) -> Position:
    return Position("DU1", symbol, Decimal(quantity), 100.0, Pnl(unrealized=pnl))


@pytest.mark.parametrize(
    "name", ["ib_last_roundtrip_timestamp_seconds", "database_last_success_timestamp_seconds"]
)
def test_before_the_first_success_ages_count_from_the_start(
    metrics: Metrics, registry: CollectorRegistry, name: str
) -> None:
    assert registry.get_sample_value(name) == STARTED


def test_a_symbol_without_ticks_ages_from_the_start(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    name = "market_data_last_tick_timestamp_seconds"
    assert registry.get_sample_value(name, {"symbol": "TSLA"}) == STARTED
    metrics.ticked("TSLA", datetime.fromtimestamp(STARTED + 5, UTC))
    assert registry.get_sample_value(name, {"symbol": "TSLA"}) == STARTED + 5


@pytest.mark.parametrize("nothing", [None, math.nan, math.inf, 1.7976931348623157e308])
def test_no_value_leaves_the_gauge_as_it_was(
    metrics: Metrics, registry: CollectorRegistry, nothing: float | None
) -> None:
    metrics.account_pnl(Pnl(1.0, 2.0, 3.0))
    metrics.account_pnl(Pnl(nothing, nothing, nothing))
    assert registry.get_sample_value("pnl_daily_total") == 1
    assert registry.get_sample_value("pnl_unrealized_total") == 2
    assert registry.get_sample_value("pnl_realized_total") == 3
    metrics.positions([held("AAPL", 1, nothing)])
    assert registry.get_sample_value("position_pnl_unrealized", {"symbol": "AAPL"}) is None


def test_pnl_is_absent_until_it_is_known(metrics: Metrics, registry: CollectorRegistry) -> None:
    names = ("pnl_unrealized_total", "pnl_realized_total", "pnl_daily_total")
    assert [registry.get_sample_value(name) for name in names] == [None, None, None]
    metrics.account_pnl(Pnl(daily=1.0, unrealized=None, realized=0.0))
    assert [registry.get_sample_value(name) for name in names] == [None, 0, 1]


def test_net_liquidation_is_absent_until_it_is_known(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    assert registry.get_sample_value("account_net_liquidation") is None
    metrics.net_liquidation(math.nan)
    assert registry.get_sample_value("account_net_liquidation") is None
    metrics.net_liquidation(5000.0)
    metrics.net_liquidation(6000.0)
    assert registry.get_sample_value("account_net_liquidation") == 6000


def test_positions_off_the_watch_list_add_up_under_other(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    metrics.positions([held("AAPL", 5, 1.0), held("NVDA", 2, 10.0), held("AMD", -3, 20.0)])
    size = registry.get_sample_value("position_size", {"symbol": "other"})
    pnl = registry.get_sample_value("position_pnl_unrealized", {"symbol": "other"})
    assert (size, pnl) == (-1, 30)
    assert registry.get_sample_value("active_positions_total") == 3


def test_a_closed_position_has_size_0_and_no_pnl(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    metrics.positions([held("AAPL", 5, 1.0), held("NVDA", 2, 10.0)])
    metrics.positions([])
    assert registry.get_sample_value("position_size", {"symbol": "AAPL"}) == 0
    assert registry.get_sample_value("position_size", {"symbol": "other"}) is None
    assert registry.get_sample_value("position_pnl_unrealized", {"symbol": "AAPL"}) is None


@pytest.mark.parametrize(("code", "label"), [(201, "201"), (123456, "other")])
def test_error_codes_are_bounded(
    metrics: Metrics, registry: CollectorRegistry, code: int, label: str
) -> None:
    metrics.gateway_error(code)
    assert registry.get_sample_value("ib_errors_total", {"code": label}) == 1


def test_methods_are_bounded(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.request("BREW", "unmatched", 404, 0.1)
    labels = {"method": "OTHER", "route": "unmatched", "status": "404"}
    assert registry.get_sample_value("api_requests_total", labels) == 1


def test_no_created_series(metrics: Metrics) -> None:
    assert b"_created" not in metrics.exposition()
