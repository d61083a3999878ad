# mypy: disable-error-code="no-untyped-call"
"""The control port: what it refuses, and what it tells."""

from typing import Any

import pytest
from ib_insync import IB, MarketOrder, Stock
from tests.integration.simulator.support import Control, until


async def test_healthz_says_simulated(control: Control) -> None:
    status, answer = await control.send("GET", "/healthz")
    assert (status, answer) == (200, {"status": "ok", "gateway": "SIMULATED", "listening": True})
    await control.fault("refuse", seconds=60)
    status, answer = await control.send("GET", "/healthz")
    assert (status, answer["listening"]) == (200, False)


async def test_state_tells_clients_orders_positions_and_requests(
    ib: IB, aapl: Stock, control: Control
) -> None:
    trade = ib.placeOrder(aapl, MarketOrder("BUY", 100, orderRef="desk-1"))
    await until(trade.isDone)
    state = await control.state()
    assert state["clients"] == [{"client_id": 1, "market_data": []}]
    [order] = state["orders"]
    assert (order["order_ref"], order["status"], order["filled"]) == ("desk-1", "Filled", 100)
    [position] = state["positions"]
    assert (position["symbol"], position["quantity"]) == ("AAPL", 100)
    assert state["received"]["PlaceOrder"] == 1
    assert state["net_liquidation"] == pytest.approx(
        1_000_000 + state["pnl"]["realized"] + state["pnl"]["unrealized"]
    )


@pytest.mark.parametrize(
    ("fault", "body", "field"),
    [
        ("reject", {}, "orders"),
        ("reject", {"orders": 0}, "orders"),
        ("reject", {"orders": 1, "code": "x"}, "code"),
        ("reject", {"orders": 1, "message": "a\u0000b"}, "message"),
        ("reject", {"order": 1}, "order"),
        ("drop", {"reset": 1}, "reset"),
        ("refuse", {}, "seconds"),
        ("refuse", {"seconds": None}, "seconds"),
        ("refuse", {"seconds": 3601}, "seconds"),
        ("deaf", {"seconds": 0}, "seconds"),
        ("deaf", {"mode": "blind"}, "mode"),
        ("stall", {"symbols": []}, "symbols"),
        ("stall", {"symbols": ["ZZZZ"]}, "symbols"),
        ("price", {"symbol": "AAPL"}, "price"),
        ("price", {"symbol": "AAPL", "price": 1, "factor": 1}, "price"),
        ("price", {"symbol": "AAPL", "price": 0}, "price"),
        ("price", {"symbol": "AAPL", "factor": -1}, "factor"),
        ("price", {"symbol": "../x", "factor": 1}, "symbol"),
        ("price", {"factor": 1}, "symbol"),
        ("system", {"code": 1103}, "code"),
        ("system", {}, "code"),
        ("hold-fills", {"seconds": "long"}, "seconds"),
        ("messages", {"fate": "burnt", "kinds": ["execution"]}, "fate"),
        ("messages", {"fate": "lost"}, "kinds"),
        ("messages", {"fate": "lost", "kinds": []}, "kinds"),
        ("messages", {"fate": "lost", "kinds": ["gossip"]}, "kinds"),
        ("lose-feeds", {"seconds": 1}, "seconds"),
        ("drop", [], "body"),
        ("drop", b"{", "body"),
    ],
    ids=str,
)
async def test_bad_input_is_refused_with_field_limit_and_fix(
    control: Control, fault: str, body: Any, field: str
) -> None:
    status, answer = await control.send("POST", f"/faults/{fault}", body)
    assert status == 422
    assert answer["error"]["field"] == field
    assert answer["error"]["limit"]
    assert answer["error"]["fix"]
    assert (await control.state())["faults"] == {}


async def test_a_large_body_is_refused(control: Control) -> None:
    status, answer = await control.send("POST", "/faults/drop", b" " * 70_000)
    assert status == 413
    assert "error" in answer


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("POST", "/faults/unknown", 404), ("GET", "/faults/drop", 405)],
)
async def test_other_paths_are_refused_in_json(
    control: Control, method: str, path: str, status: int
) -> None:
    answered, answer = await control.send(method, path)
    assert answered == status
    assert answer["error"]["reason"]


async def test_faults_in_force_are_told_with_the_time_left(control: Control) -> None:
    await control.fault("reject", orders=3, code=321)
    await control.fault("stall", symbols=["AAPL", "MSFT"], seconds=60)
    answer = await control.fault("deaf", mode="mute")
    assert answer["faults"]["reject"] == {"orders": 3, "code": 321}
    assert set(answer["faults"]["stall"]) == {"AAPL", "MSFT"}
    assert 0 < answer["faults"]["stall"]["AAPL"] <= 60
    assert answer["faults"]["deaf"] == {"seconds": None, "mode": "mute"}
