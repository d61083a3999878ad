"""Writes to SQLite, one after the other: who waits for its only write lock may be passed over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import OperationalError

from stocks_api.domain.errors import DatabaseUnavailable


class WriteQueue:
    """First come, first served.

    When a write fails, those behind it are refused with it: the file is locked or the disk is full
    for them as well, and each would wait for that in its turn.
    """

    def __init__(self) -> None:
        self._free = asyncio.Lock()
        self._failures = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for it. Raises DatabaseUnavailable if a write failed meanwhile."""
        failures = self._failures
        async with self._free:
            if self._failures > failures:
                raise DatabaseUnavailable("the write before it failed")
            try:
                yield
            except OperationalError:
                self._failures += 1
                raise
