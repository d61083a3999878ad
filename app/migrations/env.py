"""Alembic's entry: on the connection that the API hands over, or by hand with STOCKS_DATABASE_URL.

By hand: `PYTHONPATH=app alembic -c app/migrations/alembic.ini upgrade head`.
"""

import asyncio
import os

from alembic import context
from sqlalchemy.engine import Connection

from stocks_api.adapters.database import metadata, open_engine


def run_migrations(connection: Connection) -> None:
    """Migrate on this connection; the caller's transaction stays the caller's."""
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()


async def run_by_hand() -> None:
    """Open what STOCKS_DATABASE_URL names."""
    engine = open_engine(os.environ.get("STOCKS_DATABASE_URL", "sqlite+aiosqlite:///./stocks.db"))
    async with engine.begin() as connection:
        await connection.run_sync(run_migrations)
    await engine.dispose()


handed_over = context.config.attributes.get("connection")
if handed_over is not None:
    run_migrations(handed_over)
else:
    asyncio.run(run_by_hand())
