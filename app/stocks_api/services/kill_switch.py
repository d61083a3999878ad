"""Stops trading at once: nothing new is sent, and everything that rests is cancelled.

It acts in memory at once. So that it survives restarts, it is a file, which needs no database and
can be thrown by whoever can write a file; several replicas keep it in their database as well.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from stocks_api.domain.errors import DatabaseUnavailable, KillSwitchActive, KillSwitchStuck

log = logging.getLogger(__name__)

CHECK_SECONDS = 0.25  # a file must stop trading within a second
_FAILURES = (OSError, DatabaseUnavailable)


@dataclass(frozen=True, slots=True)
class Stop:
    """Who stopped trading, why and when; `stored` if a restart will not forget it."""

    by: str
    reason: str
    at: datetime
    stored: bool = True


class SwitchStore(Protocol):
    """Where the switch is kept. All raise OSError or DatabaseUnavailable."""

    async def read(self) -> Stop | None:
        """None while trading goes on."""

    async def write(self, stop: Stop) -> None:
        """Keep it, whole or not at all."""

    async def remove(self) -> None:
        """Take it away; it may be gone already."""


class KillSwitchMetrics(Protocol):
    """Where the switch is shown."""

    def kill_switch(self, active: bool) -> None:
        """Trading is stopped, or not."""


class KillSwitch:
    """The switch and where it is kept; `watch` never returns."""

    def __init__(self, store: SwitchStore, metrics: KillSwitchMetrics) -> None:
        self._kept = store
        self._metrics = metrics
        self._stop: Stop | None = None
        self._busy = asyncio.Lock()
        self._readable = True
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

    async def load(self) -> None:
        """Take over what an earlier process or another replica left, before anything is sent."""
        try:
            self._show(await self._kept.read())
        except _FAILURES as error:
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
                await self._kept.remove()
            except _FAILURES as error:
                raise KillSwitchStuck(f"the switch cannot be removed: {error}") from error
            self._show(None)
        log.warning("trading goes on", extra={"by": by})

    async def watch(self) -> None:
        """Follow what is kept, for ever."""
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
            await self._kept.write(kept)
            self._stop = kept
        except _FAILURES as error:
            log.error("the kill switch is active, but a restart would forget it: %s", error)

    async def _follow(self) -> None:
        try:
            found = await self._kept.read()
        except _FAILURES as error:
            if self._readable:  # said once, not four times a second
                log.error("the kill switch cannot be read and stays as it is: %s", error)
            self._readable = False
            return
        self._readable = True
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
