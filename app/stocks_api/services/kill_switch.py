"""Stops trading at once: nothing new is sent, and everything that rests is cancelled.

The switch is a file: while it exists, trading is stopped. So it survives restarts, needs no
database, and can be thrown by whoever can write a file.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from stocks_api.domain.errors import KillSwitchActive, KillSwitchStuck

log = logging.getLogger(__name__)

CHECK_SECONDS = 0.25  # a file must stop trading within a second


@dataclass(frozen=True, slots=True)
class Stop:
    """Who stopped trading, why and when; `stored` if a restart will not forget it."""

    by: str
    reason: str
    at: datetime
    stored: bool = True


class SwitchFile(Protocol):
    """Where the switch is kept. All raise OSError, and may block."""

    def read(self) -> Stop | None:
        """None while there is no file."""

    def write(self, stop: Stop) -> None:
        """Make the file, whole or not at all."""

    def remove(self) -> None:
        """Take it away; it may be gone already."""


class KillSwitchMetrics(Protocol):
    """Where the switch is shown."""

    def kill_switch(self, active: bool) -> None:
        """Trading is stopped, or not."""


class KillSwitch:
    """The switch and its file; `watch` never returns."""

    def __init__(self, file: SwitchFile, metrics: KillSwitchMetrics) -> None:
        self._file = file
        self._metrics = metrics
        self._stop: Stop | None = None
        self._busy = asyncio.Lock()
        self._on_stop: Callable[[KillSwitchActive], None] = lambda _: None

    @property
    def state(self) -> Stop | None:
        """None while trading goes on."""
        return self._stop

    def on_stop(self, act: Callable[[KillSwitchActive], None]) -> None:
        """What must happen at the moment when trading is stopped."""
        self._on_stop = act

    def require(self) -> None:
        """Raise KillSwitchActive while trading is stopped."""
        if self._stop is not None:
            raise _stopped(self._stop)

    def load(self) -> None:
        """Take over what an earlier process left; blocks, so only before anything is served."""
        try:
            self._show(self._file.read())
        except OSError as error:
            # Not knowing is no reason to trade.
            self._show(Stop("api", f"the switch cannot be read: {error}", datetime.now(UTC)))

    async def engage(self, by: str, reason: str) -> Stop:
        """Stop trading now; what was in force already stays."""
        if self._stop is None:
            self._show(Stop(by, reason, datetime.now(UTC), stored=False))
        async with self._busy:
            await self._store()
        assert self._stop is not None  # noqa: S101 only `release` ends it, and that waits for us
        return self._stop

    async def release(self, by: str) -> None:
        """Trade again. Raises KillSwitchStuck if the file can't be removed: it stays in force."""
        async with self._busy:
            try:
                await asyncio.to_thread(self._file.remove)
            except OSError as error:
                raise KillSwitchStuck(f"the switch cannot be removed: {error}") from error
            self._show(None)
        log.warning("trading goes on", extra={"by": by})

    async def watch(self) -> None:
        """Follow the file, for ever."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            async with self._busy:
                await self._follow()

    async def _store(self) -> None:
        stop = self._stop
        if stop is None or stop.stored:
            return
        kept = Stop(stop.by, stop.reason, stop.at)
        try:
            await asyncio.to_thread(self._file.write, kept)
            self._stop = kept
        except OSError as error:
            log.error("the kill switch is active, but a restart would forget it: %s", error)

    async def _follow(self) -> None:
        try:
            found = await asyncio.to_thread(self._file.read)
        except OSError as error:
            log.error("the kill switch cannot be read and stays as it is: %s", error)
            return
        if self._stop is not None and not self._stop.stored:
            await self._store()
        elif (found is None) != (self._stop is None):
            self._show(found)

    def _show(self, stop: Stop | None) -> None:
        thrown = stop is not None and self._stop is None
        self._stop = stop
        self._metrics.kill_switch(stop is not None)
        if thrown and stop is not None:
            log.critical("trading is stopped: %s", stop.reason, extra={"by": stop.by})
            self._on_stop(_stopped(stop))


def _stopped(stop: Stop) -> KillSwitchActive:
    return KillSwitchActive(f"trading was stopped by {stop.by}: {stop.reason}")
