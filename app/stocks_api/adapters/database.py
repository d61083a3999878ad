"""Orders in SQLite or PostgreSQL, by SQLAlchemy.

Numbers are exact on both: PostgreSQL has NUMERIC, SQLite keeps them as text. Every error of the
database becomes DatabaseUnavailable: what is wrong with a request was found before it came here.
"""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from datetime import UTC, datetime
from decimal import Decimal
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Integer,
    MetaData,
    Numeric,
    RowMapping,
    Select,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
    false,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.types import TypeDecorator, TypeEngine

import stocks_api
from stocks_api.adapters.write_queue import WriteQueue
from stocks_api.domain.errors import DatabaseUnavailable, Deposed
from stocks_api.domain.orders import (
    Fill,
    NewOrder,
    Order,
    OrderStatus,
    OrderType,
    Side,
    StatusChange,
    Terms,
    TimeInForce,
)
from stocks_api.services.kill_switch import Stop
from stocks_api.services.orders import OrderPage, OrderQuery

_P = ParamSpec("_P")
_T = TypeVar("_T")

MIGRATIONS = Path(stocks_api.__file__).parent.parent / "migrations"

_OPEN = (OrderStatus.PENDING, OrderStatus.ACCEPTED, OrderStatus.UNRESOLVED)
_AT_ONCE = 1000  # parameters of one query; SQLite and PostgreSQL take some 32,000
# Any number will do, if every replica uses the same.
_MIGRATION_LOCK = 5_707_010
# The driver's own errors come through unwrapped while it connects.
FAILURES = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    CommandError,
    OSError,
    TimeoutError,
)


class ExactDecimal(TypeDecorator[Decimal]):
    """NUMERIC(20, 6), or text where the database would make a float of it."""

    impl = Numeric(20, 6)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Text on SQLite."""
        exact = String(32) if dialect.name == "sqlite" else Numeric(20, 6)
        return dialect.type_descriptor(exact)

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """To the database."""
        return str(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, _dialect: Dialect) -> Decimal | None:
        """From the database, without trailing zeros."""
        return None if value is None else _plain(Decimal(value))


class UtcDateTime(TypeDecorator[datetime]):
    """A moment; SQLite keeps no zone, so it is UTC there."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """To the database."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """From the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData()

orders = Table(
    "orders",
    metadata,
    # Sequence of commits; SQLite counts up by itself only in an INTEGER.
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("client", String(64), nullable=False),
    Column("idempotency_key", String(128)),
    Column("client_order_id", String(64)),
    Column("symbol", String(16), nullable=False, index=True),
    Column("side", String(4), nullable=False),
    Column("order_type", String(8), nullable=False),
    Column("quantity", ExactDecimal, nullable=False),
    Column("limit_price", ExactDecimal),
    Column("time_in_force", String(4), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("status", String(16), nullable=False, index=True),
    Column("filled_quantity", ExactDecimal, nullable=False),
    Column("average_price", ExactDecimal),
    Column("perm_id", BigInteger, index=True),
    Column("reason", Text, nullable=False),
    Column("stop_price", ExactDecimal),
    Column("changed_quantity", ExactDecimal),
    Column("changed_limit_price", ExactDecimal),
    Column("changed_stop_price", ExactDecimal),
    UniqueConstraint("client", "idempotency_key", name="uq_orders_client_idempotency_key"),
)

order_history = Table(
    "order_history",
    metadata,
    Column("order_id", String(36), ForeignKey("orders.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("status", String(16), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("detail", Text, nullable=False),
)

fills = Table(
    "fills",
    metadata,
    Column("order_id", String(36), ForeignKey("orders.id"), primary_key=True),
    Column("exec_id", String(64), primary_key=True),
    Column("quantity", ExactDecimal, nullable=False),
    Column("price", ExactDecimal, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("commission", ExactDecimal),
    Column("commission_currency", String(3)),
)


# One row each: who leads, or led last; and the kill switch, no row while trading goes on.
gateway_leader = Table(
    "gateway_leader",
    metadata,
    Column("epoch", BigInteger, nullable=False),
    Column("url", String(255), nullable=False),
    Column("since", UtcDateTime, nullable=False),
)

kill_switch = Table(
    "kill_switch",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("thrown_by", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)


class QueryMetrics(Protocol):
    """Where the time of queries is shown."""

    def database_query(self, operation: str, seconds: float) -> None:
        """An operation ended, well or badly."""


def open_engine(url: str, busy_seconds: float = 5.0) -> AsyncEngine:
    """An engine for `sqlite+aiosqlite:///...` or `postgresql+asyncpg://...`; connects lazily."""
    if url.startswith("sqlite"):
        engine = create_async_engine(url, connect_args={"timeout": busy_seconds})
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_immediate)
        return engine
    return create_async_engine(
        url,
        pool_size=5,
        pool_timeout=15,  # a burst of orders on a busy machine waits its turn
        pool_pre_ping=True,
        connect_args={
            "timeout": 5,
            "command_timeout": 10,
            # A replica that hangs in a transaction must not keep its locks from the next leader:
            # neither between two statements, nor between preparing one and executing it.
            "server_settings": {
                "idle_in_transaction_session_timeout": "5000",
                "statement_timeout": "10000",
            },
        },
    )


def _to_its_end(
    method: Callable[Concatenate["OrderDatabase", _P], Coroutine[Any, Any, _T]],
) -> Callable[Concatenate["OrderDatabase", _P], Coroutine[Any, Any, _T]]:
    """A cancelled caller must not leave a connection, or a commit, half done."""

    @wraps(method)
    async def whole(database: "OrderDatabase", /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await database.to_its_end(method(database, *args, **kwargs))

    return whole


class OrderDatabase:
    """Implements the services' ports for orders, and the health check's."""

    def __init__(
        self,
        engine: AsyncEngine,
        metrics: QueryMetrics,
        epoch: Callable[[], int | None] = lambda: None,
    ) -> None:
        """`epoch` is the number of the reign under which orders are written, None without one."""
        self._engine = engine
        self._epoch = epoch
        # Reads on SQLite must not take its one write lock, so they run outside a transaction.
        self._reader = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._turn: Callable[[], AbstractAsyncContextManager[None]] = (
            WriteQueue().turn if engine.dialect.name == "sqlite" else nullcontext
        )
        self._metrics = metrics
        self.stored_at = -math.inf  # when an order was last stored, monotonic seconds
        self._running: set[asyncio.Task[Any]] = set()

    @_to_its_end
    async def migrate(self) -> None:
        """Bring the schema to the newest version; replicas wait for each other."""
        async with self._write("migrate") as connection:
            if connection.dialect.name == "postgresql":
                await connection.execute(
                    text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK}
                )
            await connection.run_sync(upgrade)

    @_to_its_end
    async def ping(self) -> None:
        """A write that changes nothing: a database that is full can still be read.

        It also waits for the locks that an order would wait for.
        """
        async with self._write("ping") as connection:
            same = "UPDATE alembic_version SET version_num = version_num"
            await connection.execute(text(same))
            await connection.execute(update(orders).where(false()).values(reason=orders.c.reason))

    @_to_its_end
    async def add(self, order: Order) -> Order:
        """Commit the intent; the earlier order instead if client and idempotency key are known.

        Raises Deposed, and stores nothing, once another replica leads; so does `save`.
        """
        try:
            async with self._reign("add") as connection:
                await connection.execute(insert(orders).values(id=order.id, **_columns(order)))
                await _write_details(connection, order)
        except _AlreadyThere as error:
            return await self._earlier(order, error)
        return order

    @_to_its_end
    async def get(self, order_id: str) -> Order | None:
        """The order, or None."""
        async with self._read("get") as connection:
            found = await _load(connection, select(orders).where(orders.c.id == order_id))
        return found[0] if found else None

    @_to_its_end
    async def many(self, order_ids: Collection[str]) -> Sequence[Order]:
        """Those of the orders that are stored."""
        wanted, found = list(order_ids), []
        async with self._read("many") as connection:
            for first in range(0, len(wanted), _AT_ONCE):
                some = orders.c.id.in_(wanted[first : first + _AT_ONCE])
                found += await _load(connection, select(orders).where(some))
        return found

    @_to_its_end
    async def by_perm_ids(self, perm_ids: Collection[int]) -> Mapping[int, str]:
        """Our ids of orders, by the gateway's permanent ones; none where two orders have one."""
        wanted, found = list(perm_ids), defaultdict(set)
        both = select(orders.c.perm_id, orders.c.id)
        async with self._read("by_perm_ids") as connection:
            for first in range(0, len(wanted), _AT_ONCE):
                some = orders.c.perm_id.in_(wanted[first : first + _AT_ONCE])
                for perm_id, order_id in await connection.execute(both.where(some)):
                    found[perm_id].add(order_id)
        return {perm_id: ids.pop() for perm_id, ids in found.items() if len(ids) == 1}

    @_to_its_end
    async def by_key(self, client: str, idempotency_key: str) -> Order | None:
        """The order that this client placed with this key, or None."""
        query = select(orders).where(
            orders.c.client == client, orders.c.idempotency_key == idempotency_key
        )
        async with self._read("by_key") as connection:
            found = await _load(connection, query)
        return found[0] if found else None

    @_to_its_end
    async def open_orders(self) -> Sequence[Order]:
        """Every order that is pending, accepted or unresolved, oldest first."""
        query = select(orders).where(orders.c.status.in_(_OPEN)).order_by(orders.c.seq)
        async with self._read("open_orders") as connection:
            return await _load(connection, query)

    @_to_its_end
    async def save(self, order: Order) -> None:
        """Store the order as it is now, with its history and fills, in one transaction."""
        async with self._reign("save") as connection:
            await connection.execute(
                update(orders).where(orders.c.id == order.id).values(**_columns(order))
            )
            await connection.execute(fills.delete().where(fills.c.order_id == order.id))
            await connection.execute(
                order_history.delete().where(order_history.c.order_id == order.id)
            )
            await _write_details(connection, order)

    @_to_its_end
    async def find(self, query: OrderQuery) -> OrderPage:
        """A page of orders, newest first."""
        statement = _filtered(query).order_by(orders.c.seq.desc()).limit(query.limit + 1)
        async with self._read("find") as connection:
            rows = (await connection.execute(statement)).mappings().all()
            page = await _with_details(connection, rows[: query.limit])
        more = len(rows) > query.limit
        return OrderPage(page, rows[query.limit - 1]["seq"] if more else None)

    @_to_its_end
    async def stopped(self) -> Stop | None:
        """The kill switch, None while trading goes on."""
        async with self._read("kill_switch") as connection:
            row = (await connection.execute(select(kill_switch))).one_or_none()
        return None if row is None else Stop(row.thrown_by, row.reason, row.at)

    @_to_its_end
    async def stop(self, stop: Stop) -> None:
        """Keep the kill switch, unless trading is stopped already."""
        values = {"id": 1, "thrown_by": stop.by, "reason": stop.reason, "at": stop.at}
        with suppress(_AlreadyThere):
            async with self._write("kill_switch") as connection:
                await connection.execute(insert(kill_switch).values(values))

    @_to_its_end
    async def resume(self) -> None:
        """Take the kill switch away."""
        async with self._write("kill_switch") as connection:
            await connection.execute(kill_switch.delete())

    async def close(self) -> None:
        """Give the connections back."""
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._engine.dispose()

    async def to_its_end(self, operation: Coroutine[Any, Any, _T]) -> _T:
        """Run an operation that goes on when its caller is cancelled."""
        task = asyncio.create_task(operation)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # seen, even if nobody waits for it any more

    async def _earlier(self, order: Order, error: Exception) -> Order:
        key = order.idempotency_key
        earlier = await self.by_key(order.client, key) if key is not None else None
        if earlier is None:
            raise DatabaseUnavailable(f"the order could not be stored: {error}") from error
        return earlier

    @asynccontextmanager
    async def _write(self, operation: str) -> AsyncIterator[AsyncConnection]:
        async with (
            self._translated(operation),
            self._turn(),
            self._engine.begin() as connection,
        ):
            yield connection

    @asynccontextmanager
    async def _reign(self, operation: str) -> AsyncIterator[AsyncConnection]:
        """A write that the next leader waits for, and that is refused when it has begun."""
        epoch = self._epoch()
        async with self._write(operation) as connection:
            if epoch is not None:
                current = select(gateway_leader.c.epoch).with_for_update(read=True)
                if (await connection.execute(current)).scalar_one() != epoch:
                    raise Deposed(f"reign {epoch} is over: another replica leads")
            yield connection
        self.stored_at = time.monotonic()

    @asynccontextmanager
    async def _read(self, operation: str) -> AsyncIterator[AsyncConnection]:
        async with self._translated(operation), self._reader.connect() as connection:
            yield connection

    @asynccontextmanager
    async def _translated(self, operation: str) -> AsyncIterator[None]:
        started = time.perf_counter()
        try:
            yield
        except IntegrityError as error:
            raise _AlreadyThere(str(error)) from error
        except FAILURES as error:
            raise DatabaseUnavailable(f"{type(error).__name__}: {error}") from error
        finally:
            self._metrics.database_query(operation, time.perf_counter() - started)


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run the migrations up to a revision on an open connection, within its transaction."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


class _AlreadyThere(DatabaseUnavailable):
    """A unique constraint refused the row."""


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    # FULL: a committed intent survives a power cut, else an order could be sent and forgotten.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    """Take the write lock at once: a read that turns into a write can't wait for it."""
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _filtered(query: OrderQuery) -> Select[Any]:
    statement = select(orders)
    if query.status is not None:
        statement = statement.where(orders.c.status == query.status)
    if query.symbol is not None:
        statement = statement.where(orders.c.symbol == query.symbol)
    if query.before is not None:
        statement = statement.where(orders.c.seq < query.before)
    return statement


async def _load(connection: AsyncConnection, query: Select[Any]) -> list[Order]:
    rows = (await connection.execute(query)).mappings().all()
    return await _with_details(connection, rows)


async def _with_details(connection: AsyncConnection, rows: Sequence[RowMapping]) -> list[Order]:
    ids = [row["id"] for row in rows]
    history = await _group(connection, order_history, order_history.c.position, ids, _change)
    executions = await _group(connection, fills, fills.c.at, ids, _fill)
    return [_order(row, history.get(row["id"], []), executions.get(row["id"], [])) for row in rows]


async def _group(
    connection: AsyncConnection,
    table: Table,
    order_by: Column[Any],
    ids: Sequence[str],
    build: Callable[[RowMapping], Any],
) -> dict[str, list[Any]]:
    query = select(table).where(table.c.order_id.in_(ids)).order_by(order_by)
    grouped: dict[str, list[Any]] = {}
    for row in (await connection.execute(query)).mappings():
        grouped.setdefault(row["order_id"], []).append(build(row))
    return grouped


async def _write_details(connection: AsyncConnection, order: Order) -> None:
    await connection.execute(
        insert(order_history),
        [
            {"order_id": order.id, "position": position, **_change_columns(change)}
            for position, change in enumerate(order.history)
        ],
    )
    if order.fills:
        await connection.execute(
            insert(fills), [{"order_id": order.id, **_fill_columns(fill)} for fill in order.fills]
        )


def _columns(order: Order) -> dict[str, Any]:
    request = order.request
    return {
        "client": order.client,
        "idempotency_key": order.idempotency_key,
        "client_order_id": request.client_order_id,
        "symbol": request.symbol,
        "side": request.side,
        "order_type": request.order_type,
        "quantity": request.quantity,
        "limit_price": request.limit_price,
        "time_in_force": request.time_in_force,
        "created_at": order.created_at,
        "status": order.status,
        "filled_quantity": order.filled_quantity,
        "average_price": order.average_price,
        "perm_id": order.perm_id,
        "reason": order.reason,
        "stop_price": request.stop_price,
        **_changed_columns(order.changed),
    }


def _changed_columns(terms: Terms | None) -> dict[str, Any]:
    return {
        "changed_quantity": terms and terms.quantity,
        "changed_limit_price": terms and terms.limit_price,
        "changed_stop_price": terms and terms.stop_price,
    }


def _change_columns(change: StatusChange) -> dict[str, Any]:
    return {"status": change.status, "at": change.at, "detail": change.detail}


def _fill_columns(fill: Fill) -> dict[str, Any]:
    return {
        "exec_id": fill.exec_id,
        "quantity": fill.quantity,
        "price": fill.price,
        "at": fill.at,
        "commission": fill.commission,
        "commission_currency": fill.commission_currency,
    }


def _order(row: RowMapping, history: list[StatusChange], executions: list[Fill]) -> Order:
    return Order(
        id=row["id"],
        client=row["client"],
        request=_request(row),
        idempotency_key=row["idempotency_key"],
        created_at=row["created_at"],
        status=OrderStatus(row["status"]),
        history=tuple(history),
        fills=tuple(executions),
        filled_quantity=row["filled_quantity"],
        average_price=row["average_price"],
        perm_id=row["perm_id"],
        reason=row["reason"],
        changed=_changed(row),
    )


def _changed(row: RowMapping) -> Terms | None:
    if row["changed_quantity"] is None:
        return None
    return Terms(row["changed_quantity"], row["changed_limit_price"], row["changed_stop_price"])


def _request(row: RowMapping) -> NewOrder:
    return NewOrder(
        symbol=row["symbol"],
        side=Side(row["side"]),
        order_type=OrderType(row["order_type"]),
        quantity=row["quantity"],
        limit_price=row["limit_price"],
        time_in_force=TimeInForce(row["time_in_force"]),
        client_order_id=row["client_order_id"],
        stop_price=row["stop_price"],
    )


def _change(row: RowMapping) -> StatusChange:
    return StatusChange(OrderStatus(row["status"]), row["at"], row["detail"])


def _fill(row: RowMapping) -> Fill:
    return Fill(
        exec_id=row["exec_id"],
        quantity=row["quantity"],
        price=row["price"],
        at=row["at"],
        commission=row["commission"],
        commission_currency=row["commission_currency"],
    )


def _plain(value: Decimal) -> Decimal:
    """10 for 10.000000, and 10 for 1E+1."""
    whole = value.to_integral_value()
    return whole if value == whole else value.normalize()
