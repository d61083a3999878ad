"""The exposition of a running API: names, types and labels are a contract with the rules."""

from __future__ import annotations

import asyncio
import math
import re
import subprocess
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.integration.api.conftest import MARKET_BUY, RESTING_BUY, Api, Simulator, running, until
from tests.postgresql import Postgresql

from stocks_api.adapters.metrics import REJECTION_REASONS
from stocks_api.settings import Settings

# The library's own affair with the newest pandas.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

#: docs: "Metrics of the API"; all of them.
CONTRACT: dict[str, tuple[str, set[str]]] = {
    "api_requests_total": ("counter", {"method", "route", "status"}),
    "api_request_duration_seconds": ("histogram", {"method", "route"}),
    "ib_connection_status": ("gauge", set()),
    "gateway_leader": ("gauge", set()),
    "orders_total": ("counter", {"side", "order_type", "status"}),
    "order_latency_seconds": ("histogram", {"stage"}),
    "active_positions_total": ("gauge", set()),
    "pnl_unrealized_total": ("gauge", set()),
    "ib_last_roundtrip_timestamp_seconds": ("gauge", set()),
    "ib_disconnects_total": ("counter", {"reason"}),
    "ib_errors_total": ("counter", {"code"}),
    "ib_irregular_messages_total": ("counter", {"message", "reason"}),
    "database_up": ("gauge", set()),
    "database_last_success_timestamp_seconds": ("gauge", set()),
    "database_query_duration_seconds": ("histogram", {"operation"}),
    "auth_failures_total": ("counter", {"reason"}),
    "order_rejections_total": ("counter", {"reason"}),
    "orders_unresolved": ("gauge", set()),
    "kill_switch_active": ("gauge", set()),
    "position_limit": ("gauge", {"symbol"}),
    "risk_file_valid": ("gauge", set()),
    "event_loop_blocked_seconds_total": ("counter", set()),
    "position_size": ("gauge", {"symbol"}),
    "position_pnl_unrealized": ("gauge", {"symbol"}),
    "pnl_realized_total": ("gauge", set()),
    "pnl_daily_total": ("gauge", set()),
    "account_net_liquidation": ("gauge", set()),
    "market_session_open": ("gauge", {"calendar"}),
    "market_data_last_tick_timestamp_seconds": ("gauge", {"symbol"}),
}
#: Absent until the gateway has told a number.
UNKNOWN_YET = {"position_pnl_unrealized", "market_session_open"}
OF_THE_PROCESS = ("process_", "python_")


def families(page: str) -> dict[str, Any]:
    """Exposed name -> family; the parser takes `_total` off the name of a counter."""
    parsed = text_string_to_metric_families(page)
    return {
        family.name + ("_total" if family.type == "counter" else ""): family for family in parsed
    }


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With a calendar, that is always the same."""
    return settings.model_copy(update={"calendar": "24/7"})


async def traded(api: Api, simulator: Simulator) -> str:
    """The page after something happened to every metric."""
    placed = await api.place(MARKET_BUY)
    await api.until_status(placed["id"], "filled")
    await simulator.inject("price", symbol="AAPL", factor=1.5)
    await until(lambda: api.metric("position_pnl_unrealized", symbol="AAPL"), bool)
    await api.until_metric("position_size", 10, symbol="AAPL")
    await api.until_metric("market_session_open", 1, calendar="24/7")
    await api.get("/v1/pnl", key=None)
    await api.get("/nowhere")
    return (await api.http.get("/metrics")).text


async def test_names_types_and_labels_are_exactly_the_contract(
    api: Api, simulator: Simulator
) -> None:
    found = families(await traded(api, simulator))
    ours = {name for name in found if not name.startswith(OF_THE_PROCESS)}
    assert ours == set(CONTRACT)
    for name, (kind, labels) in CONTRACT.items():
        assert found[name].type == kind, name
        assert found[name].samples, name
        for sample in found[name].samples:
            assert set(sample.labels) - {"le"} == labels, sample


async def test_every_value_is_a_number(api: Api, simulator: Simulator) -> None:
    for family in families(await traded(api, simulator)).values():
        for sample in family.samples:
            assert math.isfinite(sample.value), sample
            assert abs(sample.value) < 1e300, sample


async def test_it_is_served_as_text_0_0_4_whatever_is_asked_for(api: Api) -> None:
    asked = {"Accept": "application/openmetrics-text;version=1.0.0"}
    answer = await api.http.get("/metrics", headers=asked)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def promtool(page: str) -> subprocess.CompletedProcess[str]:
    command = ["promtool", "check", "metrics"]
    return subprocess.run(command, input=page, text=True, capture_output=True)


async def test_debians_promtool_reads_it(api: Api, simulator: Simulator) -> None:
    done = promtool(await traded(api, simulator))
    # 3 is "well formed, with hints on style": two gauges are called _total by specification.
    assert done.returncode == 3, done.stderr
    hints = [
        line for line in done.stderr.splitlines() if not line.startswith(("python_", "process_"))
    ]
    assert {hint.split()[0] for hint in hints} <= {
        "active_positions_total",
        "pnl_unrealized_total",
        "pnl_realized_total",
        "pnl_daily_total",
    }
    assert promtool("nonsense{").returncode == 1  # so that it could have failed


async def test_closed_label_sets_are_0_before_anything_happens(settings: Settings) -> None:
    async with running(settings) as api:
        for side in ("BUY", "SELL"):
            for order_type in ("MKT", "LMT", "STP", "STP_LMT"):
                for status in ("accepted", "rejected", "filled", "cancelled", "unresolved"):
                    labels = {"side": side, "order_type": order_type, "status": status}
                    assert await api.count("orders_total", **labels) == 0
        for stage in ("ack", "fill"):
            assert await api.count("order_latency_seconds_count", stage=stage) == 0
        for reason in REJECTION_REASONS:
            assert await api.count("order_rejections_total", reason=reason) == 0
        for reason in ("missing", "malformed", "unknown", "expired", "scope"):
            assert await api.count("auth_failures_total", reason=reason) == 0


async def test_there_is_a_bucket_at_each_latency_threshold(api: Api) -> None:
    for edge in ("0.1", "0.25", "0.5", "1.0", "2.0", "5.0"):
        labels = {"method": "GET", "route": "/healthz", "le": edge}
        assert await api.metric("api_request_duration_seconds_bucket", **labels) is not None


async def test_requests_are_counted_under_the_template_of_their_route(api: Api) -> None:
    placed = await api.place(RESTING_BUY)
    await api.order(placed["id"])
    await api.get("/v1/orders/not-an-id")
    await api.get("/v1/quotes/AAPL")
    name, order = "api_requests_total", "/v1/orders/{order_id}"
    assert await api.count(name, method="POST", route="/v1/orders", status="201") == 1
    assert await api.count(name, method="GET", route=order, status="200") == 1
    assert await api.count(name, method="GET", route=order, status="422") == 1
    quotes = {"method": "GET", "route": "/v1/quotes/{symbol}"}
    assert await api.count(name, **quotes, status="200") == 1
    assert await api.count("api_request_duration_seconds_count", **quotes) == 1


async def test_the_labels_of_nonsense_are_bounded(api: Api) -> None:
    name = "api_requests_total"
    for path in ("/nowhere", "/v1/nothing/at/all", "/%00"):
        await api.get(path)
    await api.http.request("BREW", "/coffee")
    await api.http.request("PUT", "/v1/orders")
    assert await api.count(name, method="GET", route="unmatched", status="404") == 3
    assert await api.count(name, method="OTHER", route="unmatched", status="404") == 1
    assert await api.count(name, method="PUT", route="/v1/orders", status="405") == 1


async def test_every_answer_has_the_id_of_its_request(api: Api) -> None:
    answer = await api.http.get("/healthz", headers={"X-Request-ID": "abc-1"})
    assert answer.headers["x-request-id"] == "abc-1"
    strange = await api.http.get("/healthz", headers={"X-Request-ID": "a b;c"})
    assert len(strange.headers["x-request-id"]) == 32
    refused = await api.http.get("/v1/pnl")
    assert refused.headers["x-request-id"]


async def test_the_documentation_needs_no_other_host(api: Api) -> None:
    page = (await api.http.get("/docs")).text
    assert "://" not in page
    parts = set(re.findall(r'(?:src|href)="([^"]+)"', page))
    assert len(parts) == 3  # script, style and icon
    for part in parts:
        answer = await api.http.get(part)
        assert (answer.status_code, len(answer.content) > 500) == (200, True), part


async def test_metrics_and_health_need_no_key(api: Api) -> None:
    async with httpx.AsyncClient(transport=api.http._transport, base_url="http://api") as http:
        for path in ("/metrics", "/healthz", "/readyz", "/docs", "/openapi.json"):
            assert (await http.get(path)).status_code == 200


BLOCKED = 80


async def test_metrics_are_right_while_80_requests_wait_and_database_and_gateway_are_away(
    settings: Settings, simulator: Simulator, postgresql: Postgresql, postgresql_url: str
) -> None:
    url = type(settings.database_url)(f"postgresql+asyncpg://{postgresql_url}")
    patient = {"database_url": url, "acknowledge_seconds": 60}
    async with running(settings.model_copy(update=patient)) as api:
        await api.until_ready()
        await simulator.inject("deaf", mode="mute")
        waiting = [asyncio.create_task(api.post(RESTING_BUY)) for _ in range(BLOCKED)]
        await until(simulator.arrived, lambda arrived: len(arrived) >= BLOCKED // 4)
        await asyncio.to_thread(postgresql.stop)
        try:
            reads = [asyncio.create_task(api.get("/v1/orders")) for _ in range(BLOCKED)]
            await api.until_metric("database_up", 0)
            await api.until_metric("ib_connection_status", 0)
            assert sum(not request.done() for request in waiting) >= BLOCKED // 4
            page = (await api.http.get("/metrics")).text
            ours = {name for name in families(page) if not name.startswith(OF_THE_PROCESS)}
            assert CONTRACT.keys() - ours <= UNKNOWN_YET
            assert {answer.status_code for answer in await asyncio.gather(*reads)} == {503}
        finally:
            await asyncio.to_thread(postgresql.start)
        await simulator.heal()
        assert {one.status_code for one in await asyncio.gather(*waiting)} <= {201, 202, 503}
        await api.until_ready()
        assert set((await simulator.arrived()).values()) == {1}
