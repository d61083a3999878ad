"""The kill switch of several replicas: one throws it, all stop, with the database or without."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.unit.api import clock

from stocks_api.adapters.kill_switch_file import KillSwitchFile
from stocks_api.adapters.kill_switch_shared import SharedKillSwitch
from stocks_api.domain.errors import DatabaseUnavailable, KillSwitchActive, KillSwitchStuck
from stocks_api.services.kill_switch import KillSwitch, Stop

STOP = Stop("officer", "runaway", datetime(2026, 11, 23, 14, 30, tzinfo=UTC))


class Table:
    """The switch in the database of all replicas; can be away."""

    def __init__(self) -> None:
        self.stop_kept: Stop | None = None
        self.away = False
        self.hangs = False

    async def stopped(self) -> Stop | None:
        await self._answer()
        return self.stop_kept

    async def stop(self, stop: Stop) -> None:
        await self._answer()
        self.stop_kept = self.stop_kept or stop

    async def resume(self) -> None:
        await self._answer()
        self.stop_kept = None

    async def _answer(self) -> None:
        if self.hangs:
            await asyncio.sleep(3600)
        if self.away:
            raise DatabaseUnavailable("away")


class Inbox:
    """A file in memory, which needs no thread."""

    kept: Stop | None = None

    async def read(self) -> Stop | None:
        return self.kept

    async def write(self, stop: Stop) -> None:
        self.kept = stop

    async def remove(self) -> None:
        self.kept = None


@dataclass(frozen=True)
class OnDisk:
    path: Path


class Shown:
    active: bool | None = None

    def kill_switch(self, active: bool) -> None:
        self.active = active


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def file(tmp_path: Path) -> OnDisk:
    return OnDisk(tmp_path / "kill-switch")


@pytest.fixture
def store(file: OnDisk, table: Table) -> SharedKillSwitch:
    return SharedKillSwitch(KillSwitchFile(file.path), table)


async def test_it_is_kept_in_the_table_alone(
    store: SharedKillSwitch, file: OnDisk, table: Table
) -> None:
    assert await store.read() is None
    await store.write(STOP)
    assert (table.stop_kept, file.path.exists()) == (STOP, False)
    assert await store.read() == STOP
    await store.remove()
    assert await store.read() is None


async def test_without_the_database_it_is_a_file_until_it_can_be_moved(
    store: SharedKillSwitch, file: OnDisk, table: Table
) -> None:
    table.away = True
    await store.write(STOP)
    assert await store.read() == STOP
    assert file.path.exists()
    table.away = False
    assert await store.read() == STOP
    assert (table.stop_kept, file.path.exists()) == (STOP, False)
    assert await store.read() == STOP


async def test_a_file_made_by_hand_is_moved_to_the_table(
    store: SharedKillSwitch, file: OnDisk, table: Table
) -> None:
    file.path.touch()
    found = await store.read()
    assert found is not None
    assert found.by == "whoever made the file"
    assert (table.stop_kept, file.path.exists()) == (found, False)


async def test_who_threw_it_first_is_remembered(
    store: SharedKillSwitch, file: OnDisk, table: Table
) -> None:
    await store.write(STOP)
    file.path.touch()
    await store.read()
    assert table.stop_kept == STOP


async def test_it_is_not_taken_back_while_the_database_is_away(
    store: SharedKillSwitch, file: OnDisk, table: Table
) -> None:
    file.path.touch()
    table.away = True
    with pytest.raises(DatabaseUnavailable):
        await store.remove()
    assert file.path.exists()


async def test_without_a_file_it_is_kept_in_the_table_or_it_is_said_that_it_is_not(
    table: Table, tmp_path: Path
) -> None:
    store = SharedKillSwitch(KillSwitchFile(tmp_path / "missing" / "kill-switch"), table)
    table.away = True
    with pytest.raises(DatabaseUnavailable):
        await store.write(STOP)
    table.away = False
    await store.write(STOP)
    assert table.stop_kept == STOP


def test_while_the_database_hangs_it_is_in_its_file_at_once_and_nobody_waits_for_long(
    table: Table,
) -> None:
    async def scenario() -> None:
        file = Inbox()
        store = SharedKillSwitch(file, table)
        table.hangs = True
        with pytest.raises(TimeoutError):
            await store.read()
        writing = asyncio.create_task(store.write(STOP))
        await asyncio.sleep(0.01)
        assert file.kept == STOP  # a killed process would remember it from here
        assert not writing.done()
        await writing
        assert await store.read() == STOP
        assert asyncio.get_running_loop().time() == pytest.approx(9)

    clock.run(scenario())


async def test_a_file_that_cannot_be_removed_stops_trading_all_the_same(
    file: OnDisk, table: Table
) -> None:
    class Stuck(KillSwitchFile):
        async def remove(self) -> None:
            raise PermissionError("read-only")

    file.path.touch()
    store = SharedKillSwitch(Stuck(file.path), table)
    assert await store.read() is not None
    with pytest.raises(PermissionError):
        await store.remove()
    assert await store.read() is not None


async def test_thrown_while_the_database_is_away_it_stops_here_at_once_and_later_everywhere(
    table: Table, tmp_path: Path
) -> None:
    here, there = (
        KillSwitch(SharedKillSwitch(KillSwitchFile(tmp_path / name), table), Shown())
        for name in ("here", "there")
    )
    table.away = True
    assert (await here.engage("officer", "runaway")).stored
    with pytest.raises(KillSwitchActive):
        here.require()
    with pytest.raises(KillSwitchStuck):
        await here.release("officer")

    table.away = False
    restarted = KillSwitch(SharedKillSwitch(KillSwitchFile(tmp_path / "here"), table), Shown())
    for one in (restarted, there):  # what was a file is moved by whoever finds it
        await one.load()
        with pytest.raises(KillSwitchActive, match="runaway"):
            one.require()
    await there.release("chief")
    await restarted.load()
    restarted.require()


async def test_a_replica_that_starts_without_its_database_does_not_trade(
    store: SharedKillSwitch, table: Table
) -> None:
    table.away = True
    switch = KillSwitch(store, Shown())
    await switch.load()
    with pytest.raises(KillSwitchActive, match="cannot be read"):
        switch.require()
