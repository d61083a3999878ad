"""Pre-trade limits and the kill switch on the running API: nothing refused reaches the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.api.conftest import (
    MARKET_BUY,
    READER,
    RESTING_BUY,
    TRADER,
    Api,
    Simulator,
    patient,
    running,
    until,
)
from tests.postgresql import Postgresql

from stocks_api.settings import Settings

LIMITS = """
max_quantity: 50
max_notional: 100000
position_limit: 45
price_collar: 0.99999
order_rate: {orders: 12, seconds: 3600}
restricted: [TSLA]
"""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return patient(settings)


@pytest.fixture
async def limited(settings: Settings, tmp_path: Path) -> AsyncIterator[Api]:
    path = tmp_path / "risk.yaml"
    path.write_text(LIMITS)
    async with running(settings.model_copy(update={"risk_file": path})) as api:
        await api.until_ready()
        await until(lambda: api.json("/v1/quotes/AAPL"), lambda quote: quote["last"] is not None)
        yield api


#: What is changed in a good order, and the rule, reason, limit and value of its refusal.
REFUSED: list[tuple[dict[str, Any], str, str, str, str]] = [
    ({"quantity": 51}, "max_quantity", "risk_limit", "50", "51"),
    (
        {"quantity": 11, "order_type": "LMT", "limit_price": 10000},
        *("max_notional", "risk_limit", "100000", "110000"),
    ),
    ({"quantity": 46}, "position_limit", "risk_limit", "45", "46"),
    ({"symbol": "TSLA"}, "restricted", "restricted", "TSLA", "TSLA"),
    (
        {"order_type": "LMT", "limit_price": 0.0001},
        *("price_collar", "price_collar", "0.00 to 4", "0.0001"),
    ),
]


async def refusal(api: Api, order: dict[str, Any]) -> tuple[str, str, str]:
    """Rule, limit and value of the pre-trade limit that refuses this order."""
    answer = await api.post(order)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    return problem["rule"], problem["limit"], problem["value"]


async def test_a_refusal_names_rule_limit_and_value_and_is_counted(
    limited: Api, simulator: Simulator
) -> None:
    for change, rule, reason, limit, value in REFUSED:
        before = await limited.count("order_rejections_total", reason=reason)
        found = await refusal(limited, MARKET_BUY | change)
        assert found[0] == rule
        assert found[1].startswith(limit), found
        assert found[2] == value
        assert await limited.count("order_rejections_total", reason=reason) == before + 1
    assert await simulator.orders() == []
    assert (await limited.json("/v1/orders"))["orders"] == []


async def test_equal_orders_too_close_and_too_much_exposure_are_refused(
    limited: Api, simulator: Simulator, tmp_path: Path
) -> None:
    rules = "max_gross_exposure: 2100\nduplicate_seconds: 60\nposition_limit: 70"
    (tmp_path / "risk.yaml").write_text(rules)
    await limited.until_metric("position_limit", 70, symbol="AAPL")
    order = RESTING_BUY | {"limit_price": 100}
    first = (await limited.place(order))["id"]
    equal = ("duplicate_seconds", "60 s between equal orders", f"equal to order {first}")
    assert await refusal(limited, order) == equal
    assert await limited.count("order_rejections_total", reason="duplicate") == 1
    exposure = ("max_gross_exposure", "2100", "2200")
    assert await refusal(limited, order | {"quantity": 12}) == exposure
    assert len(await simulator.orders()) == 1


async def test_orders_at_a_time_stop_at_the_position_limit(
    limited: Api, simulator: Simulator
) -> None:
    answers = await asyncio.gather(*(limited.post(RESTING_BUY) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] * 4 + [422] * 6
    assert len(await simulator.orders()) == 4


async def test_the_order_rate_is_limited_and_a_change_counts(limited: Api) -> None:
    placed = await limited.place(RESTING_BUY | {"quantity": 1})
    for _ in range(11):
        await limited.patch(placed["id"], limit_price=2 + _)
    answer = await limited.post(RESTING_BUY | {"quantity": 1})
    assert (answer.status_code, answer.json()["rule"]) == (422, "order_rate")


async def test_a_change_beyond_a_limit_is_refused(limited: Api) -> None:
    placed = await limited.place(RESTING_BUY)
    answer = await limited.patch(placed["id"], quantity=46)
    assert (answer.status_code, answer.json()["rule"]) == (422, "position_limit")
    assert (await limited.order(placed["id"]))["quantity"] == "10"


async def test_orders_of_an_earlier_process_count(
    limited: Api, settings: Settings, tmp_path: Path
) -> None:
    for _ in range(4):
        await limited.place(RESTING_BUY)
    other = {"risk_file": tmp_path / "risk.yaml", "gateway_client_id": 2}
    async with running(settings.model_copy(update=other)) as again:
        await again.until_ready()
        answer = await again.post(RESTING_BUY)
        assert (answer.status_code, answer.json()["rule"]) == (422, "position_limit")


async def test_new_limits_are_in_force_within_seconds_and_bad_ones_never(
    limited: Api, tmp_path: Path
) -> None:
    path = tmp_path / "risk.yaml"
    assert await limited.count("position_limit", symbol="AAPL") == 45
    path.write_text("position_limit: 5")
    await limited.until_metric("position_limit", 5, symbol="AAPL")
    assert (await limited.post(RESTING_BUY)).json()["rule"] == "position_limit"
    path.write_text("position_limit: many")
    await limited.until_metric("risk_file_valid", 0)
    assert (await limited.post(RESTING_BUY)).json()["limit"] == "5"
    path.write_text("")
    await limited.until_metric("risk_file_valid", 1)
    assert (await limited.post(RESTING_BUY)).status_code == 201


# The kill switch


async def test_it_stops_new_orders_cancels_the_resting_ones_and_lets_go_again(
    api: Api, simulator: Simulator
) -> None:
    resting = [(await api.place(RESTING_BUY))["id"] for _ in range(3)]
    assert await api.count("kill_switch_active") == 0
    thrown = await api.switch("POST", reason="runaway strategy")
    assert thrown.status_code == 200
    state = thrown.json()
    assert (state["active"], state["by"], state["stored"]) == (True, "officer", True)
    assert await api.count("kill_switch_active") == 1

    answer = await api.post(MARKET_BUY)
    assert (answer.status_code, answer.json()["rule"]) == (503, "kill_switch")
    assert "runaway strategy" in answer.json()["detail"]
    assert await api.count("order_rejections_total", reason="kill_switch") == 1
    for order_id in resting:
        await api.until_status(order_id, "cancelled")
    assert len(await simulator.orders()) == 3

    assert (await api.switch("DELETE")).json()["active"] is False
    assert await api.count("kill_switch_active") == 0
    await api.until_status((await api.place(MARKET_BUY))["id"], "filled")


async def test_a_file_stops_trading_at_the_next_look(api: Api, simulator: Simulator) -> None:
    placed = await api.place(RESTING_BUY)
    api.settings.kill_switch_path.touch()
    await until(lambda: api.post(MARKET_BUY), lambda answer: answer.status_code == 503)
    await api.until_status(placed["id"], "cancelled")
    assert (await api.switch("GET", READER)).json()["active"] is True
    assert (await api.switch("DELETE")).status_code == 200
    assert not api.settings.kill_switch_path.exists()


async def test_in_mid_burst_what_waits_is_not_sent(api: Api, simulator: Simulator) -> None:
    burst = [asyncio.create_task(api.post(RESTING_BUY)) for _ in range(100)]
    await until(simulator.orders, lambda orders: len(orders) >= 20)
    await api.switch("POST", reason="runaway strategy")
    answers = await asyncio.gather(*burst)
    refused = [answer for answer in answers if answer.status_code == 503]
    assert "kill_switch" in {answer.json().get("rule") for answer in refused}
    sent = await simulator.orders()
    assert len(sent) == 100 - len(refused)
    for order in sent:
        await api.until_status(order["order_ref"], "cancelled")
    await api.switch("DELETE")
    last = await api.place(RESTING_BUY)  # whatever still waited would go out before it
    await until(simulator.arrived, lambda arrived: last["id"] in arrived)
    assert len(await simulator.orders()) == len(sent) + 1


async def test_only_an_admin_may_throw_it(api: Api) -> None:
    for key in (TRADER, READER):
        assert (await api.switch("POST", key, reason="why")).status_code == 403
        assert (await api.switch("DELETE", key)).status_code == 403
        assert (await api.switch("GET", key)).json() == (await api.switch("GET")).json()
    assert await api.count("kill_switch_active") == 0


async def test_it_survives_a_restart_and_cancels_when_the_gateway_is_back(
    settings: Settings, simulator: Simulator
) -> None:
    async with running(settings) as api:
        await api.until_ready()
        placed = await api.place(RESTING_BUY)
        await simulator.inject("refuse", seconds=3600)
        await api.until_metric("ib_connection_status", 0)
        assert (await api.switch("POST", reason="runaway strategy")).status_code == 200
        assert (await api.post(MARKET_BUY)).json()["rule"] == "kill_switch"
    async with running(settings) as again:
        assert await again.count("kill_switch_active") == 1
        assert (await again.post(MARKET_BUY)).json()["rule"] == "kill_switch"
        await simulator.heal()
        await again.until_status(placed["id"], "cancelled")
        await again.until_ready()  # so that it can be taken back through a Service
        assert (await again.post(MARKET_BUY)).json()["rule"] == "kill_switch"


async def test_it_works_with_the_database_down(
    settings: Settings,
    simulator: Simulator,
    tmp_path: Path,
    postgresql: Postgresql,
    postgresql_url: str,
) -> None:
    url = type(settings.database_url)(f"postgresql+asyncpg://{postgresql_url}")
    there = {"database_url": url, "kill_switch_file": tmp_path / "kill-switch"}
    async with running(settings.model_copy(update=there)) as api:
        await api.until_ready()
        placed = await api.place(RESTING_BUY)
        await asyncio.to_thread(postgresql.stop)
        try:
            await api.until_metric("database_up", 0)
            thrown = await api.switch("POST", reason="runaway strategy")
            assert thrown.json()["stored"] is True
            await until(simulator.orders, lambda orders: orders[0]["status"] == "Cancelled")
            assert (await api.post(MARKET_BUY)).json()["rule"] == "kill_switch"
        finally:
            await asyncio.to_thread(postgresql.start)
        await api.until_status(placed["id"], "cancelled")


async def test_a_request_sent_before_is_still_replayed(api: Api) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await api.post(RESTING_BUY, **headers)
    await api.switch("POST", reason="runaway strategy")
    again = await api.post(RESTING_BUY, **headers)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
