"""Many orders at once: paced by us, so that a drop loses and doubles none of them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from functools import partial

import pytest
from tests.integration.api.conftest import RESTING_BUY, Api, Simulator, patient, until

from stocks_api import main
from stocks_api.adapters.database import open_engine
from stocks_api.services import outbox
from stocks_api.settings import Settings

BURST = 100
NOT_SENT = "not sent"


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Nothing may depend on how long SQLite waits for its lock."""
    monkeypatch.setattr(main, "open_engine", partial(open_engine, busy_seconds=0))
    return patient(settings)


async def arrived_before_the_next(api: Api, simulator: Simulator) -> Counter[str]:
    """What reached the gateway before an order placed now: first in, first out."""
    last = (await api.place(RESTING_BUY))["id"]
    arrived = await until(simulator.arrived, lambda arrived: last in arrived)
    return arrived - Counter([last])


async def test_a_burst_goes_out_below_the_gateways_limit_while_the_link_stays_verified(
    api: Api, simulator: Simulator
) -> None:
    started = time.monotonic()
    answers = await asyncio.gather(*(api.post(RESTING_BUY) for _ in range(BURST)))
    assert {answer.status_code for answer in answers} == {201}
    assert time.monotonic() - started > 2  # 40, 40, 20
    assert set((await simulator.arrived()).values()) == {1}
    assert len(await simulator.arrived()) == BURST
    assert await api.count("ib_disconnects_total", reason="unresponsive") == 0


async def test_a_reset_in_mid_burst_loses_no_order_and_doubles_none(
    api: Api, simulator: Simulator
) -> None:
    burst = [asyncio.create_task(api.post(RESTING_BUY)) for _ in range(BURST)]
    await until(simulator.orders, lambda orders: len(orders) >= 20)
    await simulator.inject("drop")
    answers = await asyncio.gather(*burst)
    assert {answer.status_code for answer in answers} <= {201, 202, 503}
    await api.until_metric("ib_disconnects_total", 1, reason="closed")
    await api.until_ready()

    orders = {order["id"]: order for order in await api.orders()}
    reached = await simulator.arrived()
    assert set(reached.values()) == {1}
    assert set(reached) <= set(orders)
    for answer in answers:
        if answer.status_code != 503:
            assert answer.json()["id"] in orders
    for order_id in reached:
        await api.until_status(order_id, "accepted")
    for order_id in set(orders) - set(reached):
        order = await api.order(order_id)
        assert order["status"] in ("rejected", "unresolved"), order
        assert (order["status"] == "rejected") == order["reason"].startswith(NOT_SENT)
    assert len(reached) >= 20

    assert await arrived_before_the_next(api, simulator) == reached


async def test_what_waited_when_the_link_dropped_is_not_sent_when_it_is_back(
    api: Api, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "ORDERS", 4)  # so that all are committed while most wait
    burst = [asyncio.create_task(api.post(RESTING_BUY)) for _ in range(60)]
    await until(api.orders, lambda orders: len(orders) == 60)
    await simulator.inject("drop")
    at_drop = await simulator.arrived()
    assert len(at_drop) < 60
    await asyncio.gather(*burst)
    await api.until_metric("ib_disconnects_total", 1, reason="closed")
    await api.until_ready()
    assert await arrived_before_the_next(api, simulator) == at_drop


async def test_an_order_that_waits_for_its_turn_can_be_cancelled(
    api: Api, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as slowly:
        slowly.setattr(outbox, "ORDERS", 4)  # so that all are committed while most wait
        burst = [asyncio.create_task(api.post(RESTING_BUY)) for _ in range(60)]
        newest, *_ = await until(api.orders, lambda orders: len(orders) == 60)
        answer = await api.delete(newest["id"])
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    await asyncio.gather(*burst)
    assert newest["id"] not in await simulator.arrived()
