"""Orders go through the API and the real IB client to the simulator, and move the metrics."""

from __future__ import annotations

import pytest
from tests.e2e.stack import NAMESPACE, Stack
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("no_thresholds")


#: What one filled order adds 1 to.
WATCHED = [
    ("orders_total", 'status="filled",side="BUY"'),
    ("orders_total", 'status="accepted",side="BUY"'),
    ("order_latency_seconds_count", 'stage="ack"'),
    ("order_latency_seconds_count", 'stage="fill"'),
]


def total(stack: Stack, metric: str, matchers: str = "") -> float:
    return stack.value(f'sum({metric}{{namespace="{NAMESPACE}",{matchers}}})') or 0.0


def wait_for(stack: Stack, metric: str, matchers: str = "", *, at_least: float) -> None:
    eventually(lambda: total(stack, metric, matchers), lambda now: now >= at_least, within=60)


def test_an_order_comes_back_filled_and_every_metric_moves(stack: Stack) -> None:
    stack.wait_up()
    before = {series: total(stack, *series) for series in WATCHED}
    placed = stack.order("MSFT", quantity=10)
    order = eventually(
        lambda: stack.api.get(f"/v1/orders/{placed['id']}").json(),
        lambda found: found["status"] == "filled",
        within=30,
    )
    assert order["symbol"] == "MSFT"
    for series, count in before.items():
        wait_for(stack, *series, at_least=count + 1)
        assert total(stack, *series) == count + 1
    wait_for(stack, "active_positions_total", at_least=1)


def test_a_jump_of_the_price_moves_the_unrealised_pnl(stack: Stack) -> None:
    stack.order("MSFT", quantity=10)
    before = total(stack, "pnl_unrealized_total")
    stack.inject("price", {"symbol": "MSFT", "factor": 1.5})
    wait_for(stack, "pnl_unrealized_total", at_least=before + 100)


def test_an_order_without_a_key_is_refused(stack: Stack) -> None:
    order = {"symbol": "AAPL", "side": "BUY", "quantity": 1, "order_type": "MKT"}
    answer = stack.api.post("/v1/orders", json=order, headers={"X-API-Key": ""})
    assert answer.status_code == 401
