"""The kill switch of several replicas: in their database, and in a file while that is away.

The file is an inbox: whoever makes one, on any replica, throws the switch; as soon as the database
answers it is moved there, for all of them to see, and is taken back through the API alone.
"""

import logging
from typing import Protocol

from stocks_api.domain.errors import DatabaseUnavailable
from stocks_api.services.kill_switch import Stop, SwitchStore

log = logging.getLogger(__name__)


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
            return await self._table.stopped()
        try:
            await self._table.stop(found)
            await self._file.remove()
        except (OSError, DatabaseUnavailable) as error:
            log.debug("the kill switch stays in its file: %s", error)
        return found

    async def write(self, stop: Stop) -> None:
        """For all replicas, or at least for this one. Raises OSError."""
        try:
            await self._table.stop(stop)
        except DatabaseUnavailable as error:
            log.error("other replicas don't see the kill switch yet: %s", error)
            await self._file.write(stop)

    async def remove(self) -> None:
        """Take it away everywhere. Raises OSError and DatabaseUnavailable."""
        await self._table.resume()
        await self._file.remove()
