"""The kill switch is a file; what can't be stored or read never lets an order through."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from stocks_api.adapters.kill_switch_file import KillSwitchFile
from stocks_api.domain.errors import KillSwitchActive, KillSwitchStuck
from stocks_api.services.kill_switch import CHECK_SECONDS, KillSwitch

#: Generous, since other builds may share the machine.
PATIENCE = 30.0


class Shown:
    def __init__(self) -> None:
        self.active: bool | None = None
        self.acts: list[KillSwitchActive] = []

    def kill_switch(self, active: bool) -> None:
        self.active = active


class Switch:
    """A switch on a file in this folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "kill-switch"
        self.shown = Shown()
        self.switch = KillSwitch(KillSwitchFile(self.path), self.shown)
        self.switch.on_stop(self.shown.acts.append)


async def loaded(folder: Path) -> Switch:
    one = Switch(folder)
    await one.switch.load()
    return one


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[Switch]:
    one = await loaded(folder)
    task = asyncio.create_task(one.switch.watch())
    yield one
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def soon(accept: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not accept():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_it_is_off_until_it_is_thrown_and_then_survives_a_restart(tmp_path: Path) -> None:
    one = await loaded(tmp_path)
    one.switch.require()
    assert one.shown.active is False
    stop = await one.switch.engage("officer", "runaway")
    assert (stop.by, stop.reason, stop.stored) == ("officer", "runaway", True)
    again = await loaded(tmp_path)
    with pytest.raises(KillSwitchActive, match="officer: runaway"):
        again.switch.require()
    assert again.shown.active is True


def test_the_file_is_looked_at_often_enough_for_the_promised_second() -> None:
    assert CHECK_SECONDS <= 0.5


async def test_it_acts_once_when_it_is_thrown(tmp_path: Path) -> None:
    async with watched(tmp_path) as one:
        await one.switch.engage("officer", "first")
        again = await one.switch.engage("officer", "second")
        await asyncio.sleep(0.6)  # the file is looked at meanwhile
        assert again.reason == "first"
        assert len(one.shown.acts) == 1


async def test_a_file_made_by_hand_throws_it_and_its_removal_takes_it_back(tmp_path: Path) -> None:
    async with watched(tmp_path) as one:
        one.path.touch()
        await soon(lambda: one.shown.active is True)
        with pytest.raises(KillSwitchActive, match="made the file"):
            one.switch.require()
        one.path.unlink()
        await soon(lambda: one.shown.active is False)
        one.switch.require()


async def test_release_removes_the_file(tmp_path: Path) -> None:
    one = await loaded(tmp_path)
    await one.switch.engage("officer", "runaway")
    await one.switch.release("officer")
    one.switch.require()
    assert not one.path.exists()
    await one.switch.release("officer")  # again: no error


async def test_where_nothing_can_be_stored_it_stops_trading_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "missing"
    async with watched(folder) as one:
        stop = await one.switch.engage("officer", "runaway")
        assert not stop.stored
        await asyncio.sleep(0.6)  # that there is no file takes nothing back
        with pytest.raises(KillSwitchActive):
            one.switch.require()
        folder.mkdir()
        await soon(one.path.exists)
        assert one.path.read_text().count("runaway") == 1


async def test_a_switch_that_cannot_be_read_at_the_start_is_on(tmp_path: Path) -> None:
    (tmp_path / "kill-switch").mkdir()
    one = await loaded(tmp_path)
    with pytest.raises(KillSwitchActive, match="cannot be read"):
        one.switch.require()
    with pytest.raises(KillSwitchStuck):
        await one.switch.release("officer")
    assert one.switch.state is not None
