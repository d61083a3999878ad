"""Leadership by a PostgreSQL advisory lock, on a connection of its own.

The server frees the lock with the connection: at once when its process dies, and after
`idle_session_timeout` when its host is gone or the process hangs, which keeps a socket open.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from stocks_api.adapters.database import FAILURES, gateway_leader
from stocks_api.domain.errors import DatabaseUnavailable, Deposed
from stocks_api.services.leadership import Leader

# Any number will do, if every replica uses the same.
_LOCK = 5_707_011
_ANSWER_SECONDS = 2


class PostgresqlLock:
    """One advisory lock and the row that names its holder; needs PostgreSQL 14 or later.

    It must reach the server itself: a pooler would give the lock's connection to others.
    """

    def __init__(self, url: str, outlives: float) -> None:
        """`outlives`: the lock is freed after so many seconds of silence."""
        self._engine = create_async_engine(
            url,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={
                "timeout": _ANSWER_SECONDS,
                "command_timeout": _ANSWER_SECONDS,
                "server_settings": {"idle_session_timeout": f"{outlives * 1000:.0f}"},
            },
        )
        self._connection: AsyncConnection | None = None
        self._locked = False

    async def seek(self, url: str) -> Leader:
        """Begin a reign at `url` if the lock is free. Raises DatabaseUnavailable."""
        async with self._connected() as connection:
            if await self._lock(connection):
                return Leader(await _begin_reign(connection, url), url, ours=True)
            row = (await connection.execute(select(gateway_leader))).one()
        return Leader(row.epoch, row.url, ours=False)

    async def hold(self, epoch: int) -> bool:
        """Whether the lock is ours. Raises DatabaseUnavailable, and Deposed after a later reign."""
        async with self._connected() as connection:
            held = await self._lock(connection)
            newest = (await connection.execute(select(gateway_leader.c.epoch))).scalar_one()
        if newest != epoch:
            raise Deposed(f"reign {epoch} is over: another replica began reign {newest}")
        return held

    async def close(self) -> None:
        """Free the lock."""
        connection, self._connection, self._locked = self._connection, None, False
        if connection is not None:
            await connection.close()

    async def _lock(self, connection: AsyncConnection) -> bool:
        if not self._locked:
            taken = await connection.execute(select(func.pg_try_advisory_lock(_LOCK)))
            self._locked = bool(taken.scalar_one())
        return self._locked

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        """The connection, a new one after a failure: what held the lock before may be gone."""
        try:
            if self._connection is None:
                self._connection = await self._engine.connect()
            yield self._connection
        except FAILURES as error:
            await self._drop()
            raise DatabaseUnavailable(f"{type(error).__name__}: {error}") from error

    async def _drop(self) -> None:
        connection, self._connection, self._locked = self._connection, None, False
        if connection is not None:
            await connection.invalidate()
            await connection.close()


async def _begin_reign(connection: AsyncConnection, url: str) -> int:
    begun = (
        update(gateway_leader)
        .values(epoch=gateway_leader.c.epoch + 1, url=url, since=func.now())
        .returning(gateway_leader.c.epoch)
    )
    epoch: int = (await connection.execute(begun)).scalar_one()
    return epoch
