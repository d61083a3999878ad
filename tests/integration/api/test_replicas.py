"""Two replicas as processes on one PostgreSQL: when the leader dies or hangs, the other leads."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
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
    until,
)
from tests.integration.api.test_crashes import BURST, Process, serving

pytestmark = pytest.mark.timeout(300)  # two processes start, on a machine that may be busy

#: Promised: from the death of the leader to the next one being ready for orders.
FAILOVER_SECONDS = 15


class Replicas:
    """Two of them; the first one leads."""

    def __init__(self, leader: Process, follower: Process) -> None:
        self.leader = leader
        self.follower = follower

    def burst(self) -> list[asyncio.Task[httpx.Response]]:
        """Orders by turns to either, each with a key of its own."""
        return [
            asyncio.create_task((self.leader, self.follower)[n % 2].post(RESTING_BUY, f"k{n}"))
            for n in range(BURST)
        ]


@asynccontextmanager
async def serving_two(folder: Path, simulator: Simulator, url: str) -> AsyncIterator[Replicas]:
    """On the PostgreSQL at this URL; killed at the end."""
    variables = {
        "STOCKS_DATABASE_URL": f"postgresql+asyncpg://{url}",
        "STOCKS_REPLICAS": "2",
        "STOCKS_LEASE_SECONDS": "5",  # the lock outlives a silent leader by half more
        "STOCKS_RECONNECT_MAX_SECONDS": "1",
        "STOCKS_ACKNOWLEDGE_SECONDS": "2",
    }
    async with AsyncExitStack() as stack:
        processes = []
        for name in ("first", "second"):
            own = folder / name
            own.mkdir()
            keys_file(own)
            processes.append(await stack.enter_async_context(serving(own, simulator, **variables)))
        yield Replicas(*processes)


@pytest.fixture
async def replicas(
    tmp_path: Path, simulator: Simulator, postgresql_url: str
) -> AsyncIterator[Replicas]:
    async with serving_two(tmp_path, simulator, postgresql_url) as both:
        yield both


async def leads(process: Process) -> bool:
    return await process.metric("gateway_leader") == 1


async def ready(process: Process) -> bool:
    """As a leader: a follower is ready, too."""
    return await leads(process) and (await process.http.get("/readyz")).status_code == 200


async def until_placed(process: Process, order: dict[str, Any], key: str) -> str:
    """The id of the order, asked for with its key until it is there, as a client does."""
    answer = await until(
        lambda: process.post(order, key), lambda answer: answer.status_code in (201, 202)
    )
    return str(answer.json()["id"])


async def until_settled(process: Process, sent: Counter[str]) -> int:
    """What was sent is accepted, the rest explicitly unresolved or refused; how much that is."""

    async def unsettled() -> list[str]:
        found = await process.statuses()
        assert set(sent) <= set(found), "an order at the gateway is not in the database"
        wrong = [one for one in sent if found[one] != "accepted"]
        final = ("unresolved", "rejected")
        return wrong + [one for one in found if one not in sent and found[one] not in final]

    await until(unsettled, lambda wrong: not wrong)
    return list((await process.statuses()).values()).count("unresolved")


async def test_orders_go_to_the_leader_whichever_replica_is_asked(
    replicas: Replicas, simulator: Simulator
) -> None:
    leader, follower = replicas.leader, replicas.follower
    assert await leads(leader)
    assert not await leads(follower)
    assert len(await simulator.clients()) == 1

    placed = await follower.post(MARKET_BUY, "once")
    assert placed.status_code == 201, placed.text
    order_id = placed.json()["id"]
    assert placed.headers["location"] == f"/v1/orders/{order_id}"
    again = await follower.post(MARKET_BUY, "once")
    assert (again.json()["id"], again.headers["idempotent-replayed"]) == (order_id, "true")
    await until(follower.statuses, lambda found: found == {order_id: "filled"})

    async def positions() -> Any:
        return (await follower.http.get("/v1/positions")).json()

    held = await until(positions, lambda answer: bool(answer["positions"]))
    assert held["current"] is True
    assert (await follower.http.get("/v1/quotes/AAPL?x=1")).json()["symbol"] == "AAPL"
    refused = await follower.post(MARKET_BUY | {"quantity": -1}, "wrong")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "quantity")
    assert await follower.metric("ib_connection_status") == 0
    assert set((await simulator.arrived()).values()) == {1}


async def test_an_unresolved_order_is_decided_at_either_replica(
    replicas: Replicas, simulator: Simulator
) -> None:
    follower = replicas.follower
    order_id = (await follower.post(RESTING_BUY, "forgotten")).json()["id"]
    await simulator.inject("restart", seconds=0.1, forget=1)
    await until(follower.statuses, lambda found: found == {order_id: "unresolved"})
    await until(lambda: ready(replicas.leader), bool)

    assert (await follower.resolve(order_id, TRADER)).status_code == 403
    answer = await follower.resolve(order_id, ADMIN)
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled"), answer.text
    assert answer.json()["history"][-1]["detail"] == "resolved by officer: not in the statement"
    assert await replicas.leader.metric("orders_unresolved") == 0
    assert (await follower.resolve(order_id, ADMIN)).status_code == 409
    assert await simulator.orders() == []


async def test_when_the_leader_is_killed_in_mid_burst_the_other_leads_and_nothing_is_doubled(
    replicas: Replicas, simulator: Simulator
) -> None:
    burst = replicas.burst()
    await until(simulator.orders, lambda orders: len(orders) >= 20)
    replicas.leader.kill()
    killed = time.monotonic()
    await until(lambda: ready(replicas.follower), bool)
    assert time.monotonic() - killed < FAILOVER_SECONDS
    answers = await asyncio.gather(*burst, return_exceptions=True)
    lost = [one.json() for one in answers[1::2] if isinstance(one, httpx.Response)]
    assert len(lost) == BURST / 2, "the replica that lived answers every request"

    sent = await simulator.arrived()
    assert set(sent.values()) == {1}
    doubtful = await until_settled(replicas.follower, sent)
    assert await replicas.follower.metric("orders_unresolved") == doubtful

    again = [await until_placed(replicas.follower, RESTING_BUY, f"k{n}") for n in range(BURST)]
    assert len(set(again)) == BURST
    reached = await simulator.arrived()
    assert set(reached.values()) == {1}
    assert set(sent) <= set(reached)


async def test_a_leader_that_hung_is_deposed_and_sends_nothing_when_it_goes_on(
    replicas: Replicas, simulator: Simulator
) -> None:
    burst = replicas.burst()
    await until(simulator.orders, lambda orders: len(orders) >= 20)
    replicas.leader.signal(signal.SIGSTOP)
    assert (await replicas.follower.switch("POST")).json()["stored"] is True
    await until(lambda: leads(replicas.follower), bool)
    sent = await simulator.arrived()
    # The gateway has one session for a client id, and the hung leader's is still open.
    assert (await replicas.follower.http.get("/readyz")).status_code == 503
    replicas.leader.signal(signal.SIGCONT)
    assert await replicas.leader.ended() == 1
    await until(lambda: ready(replicas.follower), bool)
    await asyncio.gather(*burst, return_exceptions=True)

    assert (await replicas.follower.post(MARKET_BUY, "no")).json()["rule"] == "kill_switch"
    both = await books.until_they_agree(replicas.follower, simulator)
    assert {order["status"] for (order,) in both.theirs.values()} == {"Cancelled"}
    assert await simulator.arrived() == sent
    assert (await replicas.follower.switch("DELETE")).json()["active"] is False
    await until_placed(replicas.follower, MARKET_BUY, "afterwards")


async def test_the_kill_switch_thrown_at_a_follower_stops_the_leader_and_outlives_it(
    replicas: Replicas, simulator: Simulator
) -> None:
    leader, follower = replicas.leader, replicas.follower
    assert (await follower.switch("POST")).json()["stored"] is True
    assert await leader.metric("kill_switch_active") == 1
    assert (await leader.post(MARKET_BUY, "k")).json()["rule"] == "kill_switch"
    leader.kill()
    await until(lambda: ready(follower), bool)
    assert (await follower.post(MARKET_BUY, "k")).json()["rule"] == "kill_switch"
    assert (await follower.switch("DELETE")).json()["active"] is False
    await until_placed(follower, MARKET_BUY, "k")
