"""Orders go through the API and the real IB client to the simulator, and move the metrics."""

from __future__ import annotations

import pytest
from tests.e2e.stack import NAMESPACE, Stack
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("no_thresholds")


def total(stack: Stack, metric: str, matchers: str = "") -> float:
    return stack.value(f'sum({metric}{{namespace="{NAMESPACE}",{matchers}}})') or 0.0


def test_an_order_comes_back_filled_and_every_metric_moves(stack: Stack) -> None:
    eventually(
        lambda: stack.value(f'up{{namespace="{NAMESPACE}",service="stocks-api"}}'), bool, within=90
    )
    watched = {
        "filled": lambda: total(stack, "orders_total", 'status="filled",side="BUY"'),
        "accepted": lambda: total(stack, "orders_total", 'status="accepted",side="BUY"'),
        "ack": lambda: total(stack, "order_latency_seconds_count", 'stage="ack"'),
        "fill": lambda: total(stack, "order_latency_seconds_count", 'stage="fill"'),
    }
    before = {name: probe() for name, probe in watched.items()}
    placed = stack.order("MSFT", quantity="10")
    order = eventually(
        lambda: stack.api.get(f"/v1/orders/{placed['id']}").json(),
        lambda found: found["status"] == "filled",
        within=30,
    )
    assert order["symbol"] == "MSFT"
    for name, probe in watched.items():
        eventually(probe, lambda now, name=name: now == before[name] + 1, within=60)
    eventually(lambda: total(stack, "active_positions_total"), lambda now: now >= 1, within=60)


def test_a_jump_of_the_price_moves_the_unrealised_pnl(stack: Stack) -> None:
    stack.order("MSFT", quantity="10")
    before = eventually(
        lambda: stack.value(f'pnl_unrealized_total{{namespace="{NAMESPACE}"}}'),
        lambda now: now is not None,
        within=60,
    )
    assert before is not None
    stack.inject("price", {"symbol": "MSFT", "factor": 1.5})
    eventually(
        lambda: total(stack, "pnl_unrealized_total"), lambda now: now > before + 100, within=60
    )


def test_an_order_without_a_key_is_refused(stack: Stack) -> None:
    order = {"symbol": "AAPL", "side": "BUY", "quantity": "1", "order_type": "MKT"}
    answer = stack.api.post("/v1/orders", json=order, headers={"X-API-Key": ""})
    assert answer.status_code == 401
