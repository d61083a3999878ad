"""The kill switch of several replicas: in their database, and in a file until that has it.

The file is an inbox: whoever makes one, on any replica, throws the switch; as soon as the database
answers it is moved there, for all of them to see, and is taken back through the API alone.
"""

import asyncio
import logging
from typing import Protocol

from stocks_api.domain.errors import DatabaseUnavailable
from stocks_api.services.kill_switch import Stop, SwitchStore

log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 3  # a database that hangs must not keep the switch from its file


class SwitchTable(Protocol):
    """The switch in the database. All raise DatabaseUnavailable."""

    async def stopped(self) -> Stop | None:
        """None while trading goes on."""

    async def stop(self, stop: Stop) -> None:
        """Keep it, unless trading is stopped already."""

    async def resume(self) -> None:
        """Take it away."""


class SharedKillSwitch:
    """A file of this replica's own before a table of all replicas."""

    def __init__(self, file: SwitchStore, table: SwitchTable) -> None:
        self._file = file
        self._table = table

    async def read(self) -> Stop | None:
        """None while trading goes on. Raises OSError and DatabaseUnavailable."""
        found = await self._file.read()
        if found is None:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await self._table.stopped()
        await self._move(found)
        return found

    async def write(self, stop: Stop) -> None:
        """For all replicas, or at least for this one. Raises OSError and DatabaseUnavailable."""
        try:
            await self._file.write(stop)  # first: it is there at once, whatever the database does
        except OSError as error:
            log.warning("the kill switch is kept in the database alone: %s", error)
            await self._table.stop(stop)
        else:
            await self._move(stop)

    async def remove(self) -> None:
        """Take it away everywhere. Raises OSError and DatabaseUnavailable."""
        await self._table.resume()
        await self._file.remove()

    async def _move(self, stop: Stop) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._table.stop(stop)
            await self._file.remove()
        except (OSError, DatabaseUnavailable) as error:
            log.debug("the kill switch stays in its file: %s", error)
