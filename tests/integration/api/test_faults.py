"""Each fault of the gateway in the middle of trading: no order lost, none doubled, and it shows.

Every order ends as the gateway has it, or explicitly unresolved; and the kill switch works in each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx
import pytest
from tests.integration.api import books
from tests.integration.api.conftest import (
    MARKET_BUY,
    RESTING_BUY,
    Api,
    Simulator,
    running,
    until,
)

from stocks_api.services import outbox
from stocks_api.settings import Settings

#: Below the market until a fault's price makes it fill.
FILLED_IN_THE_FAULT = RESTING_BUY | {"limit_price": 100}
ENDS = ["open-orders-end", "completed-orders-end", "executions-end", "positions-end"]
EVERYTHING = ["order-status", "open-order", "execution", "commission"]

Inject = Callable[[Simulator], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """How it begins and ends, and what shows it: a metric and its labels."""

    begin: Inject
    metric: str = "ib_connection_status"
    labels: dict[str, str] = field(default_factory=dict)
    at_least: float = 1
    end: Inject = Simulator.heal
    of_fills: bool = False  # it only shows where something is filled
    afterwards: bool = False  # it only shows once it has ended

    async def until_shown(self, api: Api) -> None:
        await until(lambda: api.count(self.metric, **self.labels), lambda now: now >= self.at_least)


def lost(reason: str, begin: Inject, **more: Inject) -> Fault:
    return Fault(begin, "ib_disconnects_total", {"reason": reason}, **more)  # type: ignore[arg-type]


def irregular(message: str, reason: str, begin: Inject, *, afterwards: bool = False) -> Fault:
    return Fault(
        begin,
        "ib_irregular_messages_total",
        {"message": message, "reason": reason},
        of_fills=True,
        afterwards=afterwards,
    )


def inject(name: str, **body: object) -> Inject:
    return lambda simulator: simulator.inject(name, **body)


def messages(fate: str, kinds: list[str], *, drop: bool = False) -> Inject:
    async def begin(simulator: Simulator) -> None:
        await simulator.inject("messages", fate=fate, kinds=kinds)
        if drop:
            await simulator.inject("drop")

    return begin


FAULTS = {
    "a reset": lost("closed", inject("drop")),
    "a gateway that is down": lost("closed", inject("refuse", seconds=3600)),
    "a nightly restart, after which ids begin anew": lost("closed", inject("restart", seconds=1)),
    "a hung gateway": lost("unresponsive", inject("deaf", mode="hung")),
    "answers that are lost": lost("unresponsive", inject("deaf", mode="mute")),
    "1100 then 1101": lost(
        "upstream", inject("system", code=1100), end=inject("system", code=1101)
    ),
    "1100 then 1102": lost(
        "upstream", inject("system", code=1100), end=inject("system", code=1102)
    ),
    "an end of the sync that never comes": lost("closed", messages("lost", ENDS, drop=True)),
    "everything said twice": irregular("execution", "duplicate", messages("twice", EVERYTHING)),
    "statuses that are late": irregular(
        "order_status", "late", messages("late", ["order-status"]), afterwards=True
    ),
    "executions that are lost": irregular(
        "execution", "missing", messages("lost", ["execution", "commission"])
    ),
    "commissions that are late": irregular(
        "commission", "missing", messages("late", ["commission"])
    ),
    "commissions that never come": irregular(
        "commission", "missing", messages("lost", ["commission"])
    ),
}


@pytest.fixture(params=list(FAULTS.values()), ids=list(FAULTS))
def fault(request: pytest.FixtureRequest) -> Fault:
    found: Fault = request.param
    return found


def posts(api: Api, first: int, last: int) -> list[asyncio.Task[httpx.Response]]:
    """Market orders and resting ones in turn, each with its key."""
    return [
        asyncio.create_task(
            api.post(RESTING_BUY if number % 2 else MARKET_BUY, **{"Idempotency-Key": f"k{number}"})
        )
        for number in range(first, last)
    ]


async def until_arrived(simulator: Simulator, orders: int) -> None:
    await until(simulator.arrived, lambda arrived: len(arrived) >= orders)


async def test_no_order_is_lost_or_doubled_and_the_fault_shows(
    api: Api, simulator: Simulator, fault: Fault
) -> None:
    await api.place(FILLED_IN_THE_FAULT)
    before = posts(api, 0, 4)
    await until_arrived(simulator, 3)
    during = posts(api, 4, 8)
    await fault.begin(simulator)
    within = posts(api, 8, 10)
    await simulator.inject("price", symbol="AAPL", price=99)
    if not fault.afterwards:
        await fault.until_shown(api)
    answers = await asyncio.gather(*before, *during, *within)
    assert {answer.status_code for answer in answers} <= {201, 202, 503}

    await fault.end(simulator)
    await simulator.heal()
    if fault.afterwards:
        await fault.until_shown(api)
    await api.until_ready()
    await books.until_they_agree(api, simulator)
    # Every client asks again with its key: whoever was answered gets the same order.
    again = await asyncio.gather(*posts(api, 0, 10))
    assert {answer.status_code for answer in again} <= {201, 202}
    for first, second in zip(answers, again, strict=True):
        assert first.status_code == 503 or first.json()["id"] == second.json()["id"]
    both = await books.until_they_agree(api, simulator)
    doubtful = [order for order in both.ours.values() if order["status"] == "unresolved"]
    assert await api.count("orders_unresolved") == len(doubtful)
    filled = sum(order["status"] == "filled" for order in both.ours.values())
    shown = [
        await api.count("orders_total", side="BUY", order_type=kind, status="filled")
        for kind in ("MKT", "LMT")
    ]
    assert sum(shown) == filled


async def test_the_kill_switch_stops_what_waits_and_cancels_what_rests(
    settings: Settings, simulator: Simulator, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "ORDERS", 8)  # so that some wait while trading is stopped
    async with running(settings) as api:
        await api.until_ready()
        resting = [(await api.place(RESTING_BUY))["id"] for _ in range(3)]
        burst = [asyncio.create_task(api.post(RESTING_BUY)) for _ in range(20)]
        await until_arrived(simulator, len(resting) + 1)
        await fault.begin(simulator)
        if not fault.of_fills:
            await fault.until_shown(api)
        stopped = await api.switch("POST", reason="runaway strategy")
        assert (stopped.status_code, stopped.json()["stored"]) == (200, True)
        assert await api.count("kill_switch_active") == 1
        answers = await asyncio.gather(*burst)
        assert 503 in {answer.status_code for answer in answers}
        assert (await api.post(MARKET_BUY)).json()["rule"] == "kill_switch"
        refused = {one["id"] for one in await api.orders() if one["status"] == "rejected"}
    async with running(settings) as again:  # it survives a restart
        assert await again.count("kill_switch_active") == 1
        await fault.end(simulator)
        await simulator.heal()
        await again.until_ready()
        assert (await again.post(MARKET_BUY)).json()["rule"] == "kill_switch"
        both = await books.until_they_agree(again, simulator)
        assert await simulator.received("RequestGlobalCancel") >= 1
        for there in await simulator.orders():
            assert there["status"] == "Cancelled"
        assert not refused & both.theirs.keys()
        assert set(resting) <= both.theirs.keys()
