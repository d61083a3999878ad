"""Asks the database now and then whether it is there."""

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from stocks_api.domain.errors import DatabaseUnavailable

log = logging.getLogger(__name__)


class Database(Protocol):
    """The database, as far as its health needs it. Both methods raise DatabaseUnavailable."""

    @property
    def stored_at(self) -> float:
        """When an order was last stored, monotonic seconds."""

    async def migrate(self) -> None:
        """Bring the schema up to date; does nothing when it is."""

    async def ping(self) -> None:
        """A query that succeeds only where orders could be stored."""


class DatabaseMetrics(Protocol):
    """Where the database's health is shown."""

    def database_up(self, up: bool) -> None:
        """The last query succeeded, or not."""

    def database_succeeded(self, at: float) -> None:
        """A query succeeded at `at`, epoch seconds."""


@dataclass(frozen=True, slots=True)
class HealthTiming:
    """Seconds."""

    every: float = 5.0
    timeout: float = 3.0


class DatabaseHealth:
    """Migrates when the database first answers, then watches it; `run` never returns."""

    def __init__(self, database: Database, metrics: DatabaseMetrics, timing: HealthTiming) -> None:
        self._database = database
        self._metrics = metrics
        self._timing = timing
        self._migrated = False
        self._checked = asyncio.Event()
        self.problem = "no answer yet"

    async def run(self) -> None:
        """Check, for ever."""
        while True:
            await self.check()
            await asyncio.sleep(self._timing.every)

    async def wait_checked(self, seconds: float) -> None:
        """Wait for the first outcome, at most so long: a database that hangs must not delay us."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._checked.wait()

    async def check(self) -> None:
        """Ask once, and show the outcome."""
        try:
            await self._migrate_once()
            await self._ping()
        except DatabaseUnavailable as error:
            self._failed(str(error))
        else:
            self._succeeded()
        self._checked.set()

    async def _migrate_once(self) -> None:
        if not self._migrated:
            await self._database.migrate()
            self._migrated = True

    async def _ping(self) -> None:
        """A ping that waits behind orders shows a busy database, not one that is away."""
        asked = time.monotonic()
        try:
            async with asyncio.timeout(self._timing.timeout):
                await self._database.ping()
        except TimeoutError:
            if self._database.stored_at < asked:
                seconds = self._timing.timeout
                raise DatabaseUnavailable(f"no answer within {seconds:g} s") from None

    def _succeeded(self) -> None:
        self.problem = ""
        self._metrics.database_up(True)
        self._metrics.database_succeeded(time.time())

    def _failed(self, problem: str) -> None:
        log.error("database is not reachable: %s", problem)
        self.problem = problem
        self._metrics.database_up(False)
