"""Orders whose outcome nobody can tell: they stay unresolved until a person decides."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.integration.api.conftest import (
    CHIEF,
    READER,
    RESTING_BUY,
    TRADER,
    Api,
    running,
    simulating,
)
from tests.ports import free_ports

from stocks_api.settings import Settings

BUY_LMT = {"side": "BUY", "order_type": "LMT"}
WHY = "never arrived: not in the statement"


@pytest.fixture
def settings(tmp_path: Path, settings: Settings) -> Settings:
    """A gateway of its own port, and a limit that one order uses up."""
    (tmp_path / "risk.yaml").write_text("position_limit: 10")
    there = {"gateway_port": free_ports(1)[0], "risk_file": tmp_path / "risk.yaml"}
    return settings.model_copy(update=there)


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[Api]:
    """No gateway yet."""
    async with running(settings) as api:
        yield api


async def forgotten(api: Api) -> str:
    """An order that the gateway took, and then forgot; the gateway is gone again."""
    async with simulating(port=api.settings.gateway_port):
        await api.until_ready()
        placed = await api.place(RESTING_BUY)
    await api.until_metric("ib_connection_status", 0)
    return str(placed["id"])


@pytest.mark.parametrize("outcome", ["cancelled", "filled"])
async def test_an_admin_ends_it_and_the_history_says_who_and_why(api: Api, outcome: str) -> None:
    order_id = await forgotten(api)
    async with simulating(port=api.settings.gateway_port) as simulator:
        await api.until_status(order_id, "unresolved")
        await api.until_ready()
        assert (await api.post(RESTING_BUY)).json()["rule"] == "position_limit"  # it still counts
        for key in (READER, TRADER):
            assert (await api.resolve(order_id, outcome, WHY, key)).status_code == 403
        answer = await api.resolve(order_id, outcome, WHY)
        assert answer.status_code == 200, answer.text
        assert answer.json()["status"] == outcome
        assert answer.json()["filled_quantity"] == ("10" if outcome == "filled" else "0")
        last = (await api.order(order_id))["history"][-1]
        assert (last["status"], last["detail"]) == (outcome, f"resolved by officer: {WHY}")
        assert await api.count("orders_unresolved") == 0
        assert await api.count("orders_total", **BUY_LMT, status=outcome) == 1
        assert await api.count("order_rejections_total", reason="gateway") == 0

        again = await api.resolve(order_id, "cancelled", WHY, CHIEF)
        assert again.status_code == 409
        assert "nothing to resolve" in again.json()["detail"]
        assert await simulator.orders() == []
        assert (await api.post(RESTING_BUY)).status_code == 201  # it counts no more


async def test_nothing_is_decided_while_the_gateway_cannot_be_asked(api: Api) -> None:
    order_id = await forgotten(api)
    async with simulating(port=api.settings.gateway_port):
        await api.until_status(order_id, "unresolved")
    await api.until_metric("ib_connection_status", 0)
    assert (await api.resolve(order_id, "cancelled", WHY)).status_code == 503
    assert (await api.order(order_id))["status"] == "unresolved"


async def test_an_order_that_is_not_in_doubt_is_left_alone(api: Api) -> None:
    async with simulating(port=api.settings.gateway_port):
        await api.until_ready()
        placed = await api.place(RESTING_BUY)
        assert (await api.resolve(placed["id"], "cancelled", WHY)).status_code == 409
        assert (await api.order(placed["id"]))["status"] == "accepted"
