"""The API as a process, killed, ended or stopped at the worst moments: no order lost or doubled."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.integration.api import books
from tests.integration.api.conftest import (
    ADMIN,
    MARKET_BUY,
    RESTING_BUY,
    TRADER,
    Simulator,
    keys_file,
    samples,
    until,
)
from tests.integration.api.test_process import SLOW_START, started, until_answers
from tests.ports import free_ports

BURST = 100

pytestmark = pytest.mark.timeout(300)  # two processes start, on a machine that may be busy

Stage = Callable[["Process", Simulator], Awaitable[list[asyncio.Task[httpx.Response]]]]


class Process:
    """A running API and a client of it."""

    def __init__(self, http: httpx.AsyncClient, running: subprocess.Popen[str]) -> None:
        self.http = http
        self._running = running

    def kill(self) -> None:
        self._running.kill()
        self._running.wait()

    def signal(self, number: signal.Signals) -> None:
        self._running.send_signal(number)

    async def switch(self, method: str) -> httpx.Response:
        """The kill switch: POST throws it, DELETE takes it back."""
        return await self.http.request(method, "/v1/kill-switch", headers={"X-API-Key": ADMIN})

    async def resolve(self, order_id: str, key: str) -> httpx.Response:
        path, body = f"/v1/orders/{order_id}/resolution", {"status": "cancelled"}
        reason = {"reason": "not in the statement"}
        return await self.http.post(path, json=body | reason, headers={"X-API-Key": key})

    async def ended(self) -> int:
        """Its exit status."""
        return await asyncio.to_thread(self._running.wait, SLOW_START)

    async def post(self, order: dict[str, Any], key: str) -> httpx.Response:
        headers = {"Idempotency-Key": key}
        return await self.http.post("/v1/orders", json=order, headers=headers)

    async def json(self, path: str) -> Any:
        answer = await self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def orders(self) -> list[dict[str, Any]]:
        """The newest 200."""
        found: list[dict[str, Any]] = (await self.json("/v1/orders?limit=200"))["orders"]
        return found

    async def statuses(self) -> dict[str, str]:
        return {order["id"]: order["status"] for order in await self.orders()}

    async def metric(self, name: str, **labels: str) -> float:
        page = (await self.http.get("/metrics")).text
        return samples(page)[name, frozenset(labels.items())]


@asynccontextmanager
async def serving(folder: Path, simulator: Simulator, **more: str) -> AsyncIterator[Process]:
    """The API on the database of this folder, ready for orders; killed at the end."""
    (port,) = free_ports(1)
    variables = {"STOCKS_PORT": str(port), "STOCKS_GATEWAY_PORT": str(simulator.port)}
    url = f"http://127.0.0.1:{port}"
    with started(folder, **variables, **more) as process:
        await until_answers(url, "/readyz", 200)
        limits = httpx.Limits(max_connections=BURST)
        headers = {"X-API-Key": TRADER}
        async with httpx.AsyncClient(
            base_url=url, headers=headers, limits=limits, timeout=60
        ) as http:
            yield Process(http, process)


async def mid_burst(api: Process, simulator: Simulator) -> list[asyncio.Task[httpx.Response]]:
    """Resting orders, each with a key of its own, some of which the gateway has already."""
    burst = [asyncio.create_task(api.post(RESTING_BUY, f"k{n}")) for n in range(BURST)]
    await until(simulator.orders, lambda orders: len(orders) >= 20)
    return burst


async def until_gone(simulator: Simulator) -> None:
    """The gateway has noticed the end of the session, so its client id is free."""
    await until(simulator.clients, lambda clients: not clients)


async def test_killed_after_commit_before_send(tmp_path: Path, simulator: Simulator) -> None:
    keys_file(tmp_path)
    async with serving(tmp_path, simulator) as api:
        burst = await mid_burst(api, simulator)
        await until(api.orders, lambda orders: len(orders) > 50)  # committed, paced at 40/s
        api.kill()
        await asyncio.gather(*burst, return_exceptions=True)
    await until_gone(simulator)
    sent = await simulator.arrived()
    assert set(sent.values()) == {1}

    async with serving(tmp_path, simulator) as again:
        committed = await again.statuses()
        assert set(sent) <= set(committed)
        assert len(committed) > len(sent), "killed too late: nothing was left to send"
        expected = {one: "accepted" if one in sent else "unresolved" for one in committed}
        await until(again.statuses, lambda found: found == expected)
        doubtful = len(committed) - len(sent)
        assert await again.metric("orders_unresolved") == doubtful
        assert await simulator.arrived() == sent  # nothing of it was sent again

        # Every client asks again with its key: who was committed is answered, not repeated.
        answers = await asyncio.gather(*(again.post(RESTING_BUY, f"k{n}") for n in range(BURST)))
        assert {answer.status_code for answer in answers} <= {201, 202}
        ids = Counter(answer.json()["id"] for answer in answers)
        assert len(ids) == BURST
        assert set(committed) <= set(ids)
        reached = await simulator.arrived()
        assert set(reached.values()) == {1}
        assert len(reached) == BURST - doubtful


async def test_killed_after_send_before_acknowledgement(
    tmp_path: Path, simulator: Simulator
) -> None:
    keys_file(tmp_path)
    async with serving(tmp_path, simulator) as api:
        await simulator.inject("deaf", mode="mute")
        pending = [
            asyncio.create_task(api.post(order, key))
            for order, key in [(RESTING_BUY, "resting"), (MARKET_BUY, "market")]
        ]
        await until(simulator.orders, lambda orders: len(orders) == 2)
        assert set((await api.statuses()).values()) == {"pending"}
        api.kill()
        await asyncio.gather(*pending, return_exceptions=True)
    await simulator.heal()
    await until_gone(simulator)

    async with serving(tmp_path, simulator) as again:
        await until(again.statuses, lambda found: sorted(found.values()) == ["accepted", "filled"])
        for order, key in [(RESTING_BUY, "resting"), (MARKET_BUY, "market")]:
            answer = await again.post(order, key)
            assert answer.headers["Idempotent-Replayed"] == "true"
        market = {"side": "BUY", "order_type": "MKT", "status": "filled"}
        assert await again.metric("orders_total", **market) == 1
        (filled,) = [one for one in await again.orders() if one["status"] == "filled"]
        assert [fill["quantity"] for fill in filled["fills"]] == ["10"]
    assert set((await simulator.arrived()).values()) == {1}
    assert len(await simulator.arrived()) == 2


async def test_killed_while_orders_wait_for_their_fill(
    tmp_path: Path, simulator: Simulator
) -> None:
    keys_file(tmp_path)
    await simulator.inject("hold-fills")
    async with serving(tmp_path, simulator) as api:
        for number in range(5):
            assert (await api.post(MARKET_BUY, f"k{number}")).json()["status"] == "accepted"
        api.kill()
    await until_gone(simulator)
    await simulator.inject("hold-fills", seconds=0.01)
    await until(
        simulator.orders, lambda orders: {order["status"] for order in orders} == {"Filled"}
    )
    async with serving(tmp_path, simulator) as again:
        await until(again.statuses, lambda found: set(found.values()) == {"filled"})
        market = {"side": "BUY", "order_type": "MKT"}
        assert await again.metric("orders_total", **market, status="filled") == 5
        assert await again.metric("orders_total", **market, status="accepted") == 0
        assert await again.metric("position_size", symbol="AAPL") == 50
    assert set((await simulator.arrived()).values()) == {1}


async def test_sigterm_in_mid_burst_answers_everybody_and_leaves_nothing_in_doubt(
    tmp_path: Path, simulator: Simulator
) -> None:
    keys_file(tmp_path)
    async with serving(tmp_path, simulator) as api:
        burst = await mid_burst(api, simulator)
        api.signal(signal.SIGTERM)
        answers = await asyncio.gather(*burst, return_exceptions=True)
        assert await api.ended() == 0
    taken = [answer for answer in answers if isinstance(answer, httpx.Response)]
    assert {answer.status_code for answer in taken} <= {201, 503}
    arrived = await simulator.arrived()
    assert set(arrived.values()) == {1}
    assert {answer.json()["id"] for answer in taken if answer.status_code == 201} == set(arrived)
    async with serving(tmp_path, simulator) as again:
        statuses = await again.statuses()
        for order_id, status in statuses.items():
            assert status == ("accepted" if order_id in arrived else "rejected")
        assert set(arrived) <= set(statuses)
        assert await again.metric("orders_unresolved") == 0


async def test_sigterm_settles_an_order_whose_answer_was_lost(
    tmp_path: Path, simulator: Simulator
) -> None:
    keys_file(tmp_path)
    slow = {"STOCKS_RESOLVE_SECONDS": "3600", "STOCKS_ACKNOWLEDGE_SECONDS": "1"}
    async with serving(tmp_path, simulator, **slow) as api:
        kinds = ["order-status", "open-order"]
        await simulator.inject("messages", fate="lost", kinds=kinds)
        answer = await api.post(RESTING_BUY, "lost")
        assert (answer.status_code, answer.json()["status"]) == (202, "unresolved")
        await simulator.heal()
        api.signal(signal.SIGTERM)
        assert await api.ended() == 0
    log = (tmp_path / "log").read_text()
    assert log.count('"message": "order accepted"') == 1


async def test_blocked_for_5_seconds_it_shows_it_and_neither_loses_nor_doubles_an_order(
    tmp_path: Path, simulator: Simulator
) -> None:
    keys_file(tmp_path)
    async with serving(tmp_path, simulator) as api:
        burst = [asyncio.create_task(api.post(MARKET_BUY, f"k{n}")) for n in range(40)]
        await until(simulator.orders, lambda orders: len(orders) >= 10)
        api.signal(signal.SIGSTOP)
        stopped = time.monotonic()
        retries = [asyncio.create_task(api.post(MARKET_BUY, f"k{n}")) for n in range(10)]
        await until(elapsed(since=stopped), lambda seconds: seconds > 5)
        api.signal(signal.SIGCONT)
        answers = await asyncio.gather(*burst, *retries)
        assert {answer.status_code for answer in answers} <= {201, 202}
        assert len({answer.json()["id"] for answer in answers}) == 40
        await until(api.statuses, lambda found: set(found.values()) == {"filled"})
        assert set((await simulator.arrived()).values()) == {1}
        assert await api.metric("event_loop_blocked_seconds_total") > 4
        assert await api.metric("position_size", symbol="AAPL") == 400
        assert await api.metric("ib_connection_status") == 1


async def muted(api: Process, simulator: Simulator) -> list[asyncio.Task[httpx.Response]]:
    """Orders that were sent and not acknowledged."""
    await simulator.inject("deaf", mode="mute")
    sent = [asyncio.create_task(api.post(RESTING_BUY, f"k{n}")) for n in range(3)]
    await until(simulator.orders, lambda orders: len(orders) == 3)
    return sent


async def unfilled(api: Process, simulator: Simulator) -> list[asyncio.Task[httpx.Response]]:
    """Orders that were acknowledged, and wait for their fill."""
    await simulator.inject("hold-fills")
    for number in range(3):
        assert (await api.post(MARKET_BUY, f"k{number}")).json()["status"] == "accepted"
    return []


@pytest.mark.parametrize(
    ("stage", "by_file", "end"),
    [
        pytest.param(mid_burst, False, signal.SIGKILL, id="by a request, in mid-burst"),
        pytest.param(mid_burst, False, signal.SIGTERM, id="by a request, ended in mid-burst"),
        pytest.param(muted, True, signal.SIGKILL, id="by a file, before the acknowledgement"),
        pytest.param(unfilled, True, signal.SIGKILL, id="by a file, before the fill"),
    ],
)
async def test_the_kill_switch_outlives_a_process_that_is_killed_at_once(
    tmp_path: Path, simulator: Simulator, stage: Stage, by_file: bool, end: signal.Signals
) -> None:
    keys_file(tmp_path)
    async with serving(tmp_path, simulator) as api:
        pending = await stage(api, simulator)
        if by_file:
            (tmp_path / "kill-switch").touch()
        else:
            assert (await api.switch("POST")).json()["stored"] is True
        sent = await simulator.arrived()
        api.signal(end)
        await api.ended()
        await asyncio.gather(*pending, return_exceptions=True)
    if stage is muted:
        await simulator.heal()
    await until_gone(simulator)

    async with serving(tmp_path, simulator) as again:
        assert await again.metric("kill_switch_active") == 1
        assert (await again.post(MARKET_BUY, "new")).json()["rule"] == "kill_switch"
        await until(
            simulator.orders, lambda orders: {order["status"] for order in orders} == {"Cancelled"}
        )
        await books.until_they_agree(again, simulator)
        assert await simulator.arrived() == sent


async def test_the_kill_switch_thrown_while_it_is_blocked_stops_it_when_it_goes_on(
    tmp_path: Path, simulator: Simulator
) -> None:
    keys_file(tmp_path)
    async with serving(tmp_path, simulator) as api:
        burst = await mid_burst(api, simulator)
        api.signal(signal.SIGSTOP)
        at_stop = len(await simulator.orders())
        (tmp_path / "kill-switch").touch()
        api.signal(signal.SIGCONT)
        answers = await asyncio.gather(*burst)
        refused = [answer for answer in answers if answer.status_code == 503]
        assert "kill_switch" in {answer.json().get("rule") for answer in refused}
        sent = await simulator.orders()
        assert len(sent) <= at_stop + 50  # what a second of pace and a look at the file let pass
        await until(
            simulator.orders, lambda orders: {order["status"] for order in orders} == {"Cancelled"}
        )


def elapsed(since: float) -> Any:
    async def seconds() -> float:
        return time.monotonic() - since

    return seconds
