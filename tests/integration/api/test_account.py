"""Positions, P&L and the account's summary; numbers that the gateway doesn't know go nowhere."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from tests.integration.api.conftest import MARKET_BUY, Api, Simulator, running, samples, until

from stocks_api.settings import Settings

#: What carries numbers that may be "not set": 1.7976931348623157e308 on the wire.
NUMBERS = ["account-value", "account-update-multi", "commission", "pnl", "position-pnl"]
ROUTES = ("/v1/account", "/v1/pnl", "/v1/positions", "/v1/orders", "/v1/quotes/AAPL")


async def test_the_summary_says_what_the_account_is_worth_and_may_do(api: Api) -> None:
    before = await until(lambda: api.json("/v1/account"), lambda found: found["buying_power"])
    assert (before["account"], before["currency"]) == ("DU1234567", "USD")
    assert before["net_liquidation"] == before["total_cash"] == 1_000_000
    assert before["initial_margin"] == before["gross_position_value"] == 0
    assert before["current"]
    await api.place(MARKET_BUY)
    after = await until(
        lambda: api.json("/v1/account"), lambda found: found["gross_position_value"]
    )
    assert after["total_cash"] < before["total_cash"]
    assert 0 < after["maintenance_margin"] < after["initial_margin"]


async def test_each_position_has_its_own_pnl(api: Api, simulator: Simulator) -> None:
    for side in ("BUY", "BUY", "SELL"):
        placed = await api.place(MARKET_BUY | {"side": side})
        await api.until_status(placed["id"], "filled")
    await simulator.inject("price", symbol="AAPL", factor=2)

    async def position() -> dict[str, Any]:
        found: list[dict[str, Any]] = (await api.json("/v1/positions"))["positions"]
        return found[0]

    found = await until(position, lambda one: (one["unrealized_pnl"] or 0) > 500)
    assert found["realized_pnl"] < 0  # the spread and the commissions
    assert found["daily_pnl"] == pytest.approx(
        found["realized_pnl"] + found["unrealized_pnl"], abs=0.01
    )


async def test_numbers_that_are_not_set_reach_neither_json_nor_database_nor_gauge(
    settings: Settings, simulator: Simulator
) -> None:
    await simulator.inject("messages", fate="unset", kinds=NUMBERS)
    async with running(settings) as api:
        await api.until_ready()
        placed = await api.place(MARKET_BUY)
        await api.until_status(placed["id"], "filled")
        await until(lambda: simulator.received("RequestPnlSingle"), lambda asked: asked >= 1)
        for path in ROUTES:
            _require_numbers(json.loads((await api.get(path)).text, parse_constant=_no_number))
        page = samples((await api.http.get("/metrics")).text)
        assert all(abs(value) < 1e300 for value in page.values())  # NaN is not below either
        assert not any(name == "account_net_liquidation" for name, _ in page)
        assert (await api.json("/v1/pnl"))["daily"] is None
        assert (await api.json("/v1/account"))["net_liquidation"] is None
        await simulator.heal()
        await until(lambda: api.json("/v1/pnl"), lambda found: found["daily"] is not None)
        await until(lambda: api.json("/v1/account"), lambda found: found["net_liquidation"])


def _no_number(name: str) -> None:
    raise AssertionError(f"{name} is no JSON number")


def _require_numbers(value: Any) -> None:
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            _require_numbers(each)
    elif isinstance(value, float | int):
        assert math.isfinite(value)
        assert abs(value) < 1e300
        assert value != 2**31 - 1
