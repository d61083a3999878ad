"""What the link promises, with its default timing, on a clock that costs no time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from tests.unit.api import clock

from stocks_api.domain.errors import GatewayUnavailable
from stocks_api.services.link import Link, LinkTiming


def now() -> float:
    return asyncio.get_running_loop().time()


class FakeGateway:
    """A gateway that answers, is deaf, or refuses."""

    def __init__(self) -> None:
        self.hears = asyncio.Event()
        self.hears.set()
        self.accepts = True
        self.attempts: list[float] = []
        self.probes: list[float] = []
        self.concurrent = 0
        self.resubscribed = 0
        self.resyncs = 0
        self._closed = asyncio.Event()

    async def connect(self) -> None:
        self.attempts.append(now())
        self._closed = asyncio.Event()
        if not self.accepts:
            raise GatewayUnavailable("connection refused", "connect")

    async def round_trip(self) -> None:
        self.probes.append(now())
        self.concurrent += 1
        assert self.concurrent == 1, "two round trips at a time: the first would never return"
        try:
            await self.hears.wait()
        finally:
            self.concurrent -= 1

    async def resubscribe(self) -> None:
        self.resubscribed += 1

    async def resync(self) -> None:
        self.resyncs += 1

    async def wait_closed(self) -> None:
        await self._closed.wait()

    async def close(self) -> None:
        self._closed.set()

    def drop(self) -> None:
        self._closed.set()


class Shown:
    """What the metrics were told, and when."""

    def __init__(self) -> None:
        self.verified: list[tuple[float, bool]] = []
        self.round_trips: list[float] = []
        self.reasons: list[str] = []
        self.lost = 0

    def link_verified(self, verified: bool) -> None:
        if not self.verified or self.verified[-1][1] != verified:
            self.verified.append((now(), verified))

    def round_trip_succeeded(self, _at: float) -> None:
        self.round_trips.append(now())

    def disconnected(self, reason: str) -> None:
        self.reasons.append(reason)

    def on_lost(self) -> None:
        self.lost += 1

    @property
    def up(self) -> bool:
        return bool(self.verified) and self.verified[-1][1]


@asynccontextmanager
async def supervised(gateway: FakeGateway, shown: Shown) -> AsyncIterator[Link]:
    link = Link(gateway, gateway.resync, shown, LinkTiming(), shown.on_lost)
    task = asyncio.create_task(link.run())
    yield link
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def test_a_round_trip_is_made_every_5_seconds() -> None:
    async def scenario() -> None:
        gateway, shown = FakeGateway(), Shown()
        async with supervised(gateway, shown):
            await asyncio.sleep(61)
        gaps = [later - at for at, later in zip(gateway.probes, gateway.probes[1:], strict=False)]
        assert gaps == [pytest.approx(5.0, abs=0.05)] * 12

    clock.run(scenario())


@pytest.mark.parametrize("after", [0.01, 1.0, 2.5, 4.99])
def test_a_gateway_that_goes_deaf_is_noticed_within_15_seconds(after: float) -> None:
    async def scenario() -> None:
        gateway, shown = FakeGateway(), Shown()
        async with supervised(gateway, shown) as link:
            await asyncio.sleep(20 + after)
            gateway.hears.clear()
            deaf = now()
            await asyncio.sleep(15)
            assert not shown.up
            assert shown.verified[1][0] - deaf <= 15
            assert shown.reasons == ["unresponsive"]
            assert shown.lost == 1
            with pytest.raises(GatewayUnavailable, match="no answer"):
                link.require()

    clock.run(scenario())


def test_one_missed_round_trip_is_forgiven() -> None:
    async def scenario() -> None:
        gateway, shown = FakeGateway(), Shown()
        async with supervised(gateway, shown) as link:
            await asyncio.sleep(20.5)
            gateway.hears.clear()
            await asyncio.sleep(9)  # one probe, at 25 s, is given up at 29 s
            gateway.hears.set()
            await asyncio.sleep(20)
            link.require()
        assert [up for _, up in shown.verified[:1]] == [True]
        assert shown.reasons == []

    clock.run(scenario())


def test_a_dropped_link_is_down_at_once_and_comes_back() -> None:
    async def scenario() -> None:
        gateway, shown = FakeGateway(), Shown()
        async with supervised(gateway, shown) as link:
            await asyncio.sleep(7)
            gateway.drop()
            await asyncio.sleep(0)
            await asyncio.sleep(0.6)
            link.require()
        states = [up for _, up in shown.verified]
        assert states[:3] == [True, False, True]
        assert shown.verified[1][0] == pytest.approx(7)
        assert shown.reasons == ["closed"]
        assert gateway.resyncs == 2

    clock.run(scenario())


def test_reconnects_back_off_to_15_seconds_at_most_and_are_scattered() -> None:
    async def scenario() -> None:
        gateway, shown = FakeGateway(), Shown()
        gateway.accepts = False
        async with supervised(gateway, shown) as link:
            await asyncio.sleep(600)
            assert link.problem == "connection refused"
        pauses = [b - a for a, b in zip(gateway.attempts, gateway.attempts[1:], strict=False)]
        assert pauses[0] <= 0.5
        assert max(pauses) <= 15
        assert len(pauses) > 40  # mean of the jitter is half of 15 s
        assert len({round(pause, 3) for pause in pauses}) > len(pauses) * 0.9

    clock.run(scenario())


def test_a_session_that_opens_but_never_answers_is_not_up() -> None:
    async def scenario() -> None:
        gateway, shown = FakeGateway(), Shown()
        gateway.hears.clear()
        async with supervised(gateway, shown):
            await asyncio.sleep(60)
        assert not any(up for _, up in shown.verified)
        assert shown.round_trips == []

    clock.run(scenario())


@pytest.mark.parametrize(("data_lost", "resubscribed"), [(True, 1), (False, 0)])
def test_a_restored_gateway_is_up_after_a_round_trip_and_a_resync(
    data_lost: bool, resubscribed: int
) -> None:
    async def scenario() -> None:
        gateway, shown = FakeGateway(), Shown()
        async with supervised(gateway, shown) as link:
            await asyncio.sleep(7)
            link.upstream_lost()
            assert not shown.up
            await asyncio.sleep(60)
            assert not shown.up
            assert max(shown.round_trips) < 7
            link.upstream_restored(data_lost=data_lost)
            await asyncio.sleep(0.1)
            link.require()
        assert (gateway.resubscribed, gateway.resyncs) == (resubscribed, 2)
        assert shown.reasons == ["upstream"]

    clock.run(scenario())
