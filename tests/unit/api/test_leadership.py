"""Who leads: how a replica begins to, proves it, and ceases to trade when it can't."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from tests.unit.api import clock

from stocks_api.domain.errors import DatabaseUnavailable, Deposed, NotLeading
from stocks_api.services.leadership import Leader, Leadership, SoleReplica

OURS, THEIRS = "http://ours", "http://theirs"
LEASE = 7.0


class Lock:
    """A lock in memory; the database that it is in can be away, or slow."""

    def __init__(self, held_by: str = "") -> None:
        self.held_by = held_by
        self.epoch = 1
        self.away = False
        self.slow = 0.0
        self.closed = False

    async def seek(self, url: str) -> Leader:
        await self._answer()
        if not self.held_by:
            self.held_by, self.epoch = url, self.epoch + 1
        return Leader(self.epoch, self.held_by, ours=self.held_by == url)

    async def hold(self, epoch: int) -> bool:
        await self._answer()
        if epoch != self.epoch:
            raise Deposed("another replica leads")
        return self.held_by == OURS

    async def close(self) -> None:
        self.closed = True

    async def _answer(self) -> None:
        if self.slow:
            await asyncio.sleep(self.slow)
        if self.away:
            raise DatabaseUnavailable("away")


class Shown:
    def __init__(self) -> None:
        self.leads: list[bool] = []

    def leading(self, leads: bool) -> None:
        self.leads.append(leads)


class Replica:
    """A replica at `OURS`; its time is the event loop's."""

    def __init__(self, lock: Lock) -> None:
        self.lock = lock
        self.shown = Shown()
        now = asyncio.get_running_loop().time
        self.leadership = Leadership(lock, self.shown, OURS, LEASE, now)

    def may_trade(self) -> bool:
        try:
            self.leadership.require()
        except NotLeading:
            return False
        return True


@asynccontextmanager
async def leading(lock: Lock) -> AsyncIterator[Replica]:
    """A replica that has won, and proves it again and again."""
    replica = Replica(lock)
    await replica.leadership.win()
    task = asyncio.create_task(replica.leadership.keep())
    yield replica
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def test_a_free_lock_is_won_at_once() -> None:
    async def scenario() -> None:
        replica = Replica(Lock())
        assert replica.leadership.problem == "no replica leads yet"
        assert not replica.may_trade()
        await replica.leadership.win()
        assert asyncio.get_running_loop().time() == 0
        assert (replica.leadership.elsewhere, replica.leadership.epoch) == (None, 2)
        assert replica.leadership.problem == ""
        assert replica.may_trade()
        assert replica.shown.leads == [False, True]
        await replica.leadership.close()
        assert replica.lock.closed

    clock.run(scenario())


def test_a_follower_knows_who_leads_and_takes_over_when_the_lock_is_free() -> None:
    async def scenario() -> None:
        replica = Replica(Lock(held_by=THEIRS))
        winning = asyncio.create_task(replica.leadership.win())
        await asyncio.sleep(60)
        assert replica.leadership.elsewhere == THEIRS
        assert replica.leadership.epoch == 0  # of no reign: whatever it wrote would be refused
        assert replica.leadership.problem == ""
        assert not replica.may_trade()
        assert replica.shown.leads == [False]
        replica.lock.held_by = ""
        await winning
        assert asyncio.get_running_loop().time() <= 60 + LEASE / 2
        assert replica.may_trade()

    clock.run(scenario())


def test_a_follower_that_cannot_see_the_lock_still_knows_who_led_and_goes_on_seeking() -> None:
    async def scenario() -> None:
        replica = Replica(Lock(held_by=THEIRS))
        winning = asyncio.create_task(replica.leadership.win())
        await asyncio.sleep(1)
        replica.lock.away = True
        await asyncio.sleep(60)
        assert replica.leadership.elsewhere == THEIRS
        replica.lock.away, replica.lock.held_by = False, ""
        await winning
        assert replica.may_trade()

    clock.run(scenario())


def test_a_replica_that_never_saw_the_lock_knows_of_no_leader() -> None:
    async def scenario() -> None:
        replica = Replica(Lock())
        replica.lock.away = True
        winning = asyncio.create_task(replica.leadership.win())
        await asyncio.sleep(60)
        assert replica.leadership.elsewhere == ""
        assert not replica.may_trade()
        winning.cancel()

    clock.run(scenario())


def test_a_leader_that_proves_it_may_trade_for_ever() -> None:
    async def scenario() -> None:
        async with leading(Lock()) as replica:
            for _ in range(100):
                await asyncio.sleep(LEASE / 2)
                assert replica.may_trade()

    clock.run(scenario())


def test_a_leader_without_its_database_trades_for_one_lease_and_goes_on_when_it_is_back() -> None:
    async def scenario() -> None:
        async with leading(Lock()) as replica:
            replica.lock.away = True
            await asyncio.sleep(LEASE - 0.1)
            assert replica.may_trade()
            await asyncio.sleep(0.2)
            assert not replica.may_trade()
            assert replica.leadership.problem == "leadership was not proved for 7 s"
            assert replica.leadership.elsewhere is None  # nobody else is known to lead
            replica.lock.away = False
            await asyncio.sleep(LEASE / 2)
            assert replica.may_trade()
            assert replica.leadership.problem == ""

    clock.run(scenario())


def test_a_leader_whose_lock_somebody_else_took_trades_for_one_lease() -> None:
    async def scenario() -> None:
        async with leading(Lock()) as replica:
            replica.lock.held_by = THEIRS  # and has not begun its reign
            await asyncio.sleep(LEASE + 0.1)
            assert not replica.may_trade()

    clock.run(scenario())


def test_a_proof_counts_from_when_it_was_asked_for() -> None:
    async def scenario() -> None:
        async with leading(Lock()) as replica:
            replica.lock.slow = LEASE + 1  # it was true once, but may not be any more
            await asyncio.sleep(LEASE + 3)
            assert not replica.may_trade()

    clock.run(scenario())


def test_a_leader_whose_reign_is_over_is_told() -> None:
    async def scenario() -> None:
        replica = Replica(Lock())
        await replica.leadership.win()
        replica.lock.held_by, replica.lock.epoch = THEIRS, 3
        with pytest.raises(Deposed):
            await replica.leadership.keep()

    clock.run(scenario())


def test_a_sole_replica_leads_as_long_as_it_lives() -> None:
    async def scenario() -> None:
        shown = Shown()
        sole = SoleReplica(shown)
        await sole.win()
        keeping = asyncio.create_task(sole.keep())
        await asyncio.sleep(0)
        sole.require()
        assert not keeping.done()
        assert (sole.elsewhere, sole.epoch, sole.problem) == (None, None, "")
        assert shown.leads == [True]
        keeping.cancel()

    clock.run(scenario())
