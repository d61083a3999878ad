"""One contract, both databases: what the services rely on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.postgresql import Postgresql

from stocks_api.adapters.database import OrderDatabase, open_engine, upgrade
from stocks_api.adapters.metrics import Metrics
from stocks_api.domain.errors import DatabaseUnavailable
from stocks_api.domain.orders import (
    Fill,
    NewOrder,
    Order,
    OrderFact,
    OrderStatus,
    OrderType,
    Side,
    Terms,
    TimeInForce,
    apply,
    new_order,
)
from stocks_api.services.orders import OrderQuery

AT = datetime(2026, 11, 23, 14, 30, 0, 123456, tzinfo=UTC)


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "SQLite":
        return f"sqlite+aiosqlite:///{tmp_path}/orders.db"
    where: str = request.getfixturevalue("postgresql_url")
    return f"postgresql+asyncpg://{where}"


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = open_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def database(engine: AsyncEngine) -> OrderDatabase:
    database = OrderDatabase(engine, Metrics(CollectorRegistry(), ["AAPL"]))
    await database.migrate()
    return database


def an_order(number: int = 1, key: str | None = None, symbol: str = "AAPL") -> Order:
    request = NewOrder(
        symbol=symbol,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=Decimal("10.5"),
        limit_price=Decimal("187.25"),
        time_in_force=TimeInForce.GTC,
        client_order_id=f"desk-{number}",
    )
    return new_order(f"00000000-0000-0000-0000-{number:012d}", "desk", request, AT, key)


def filled(order: Order) -> Order:
    fills = (
        Fill(
            *("a.b.01.01", Decimal("4"), Decimal("187.2"), AT + timedelta(seconds=1)),
            *(Decimal("-0.0625"), "EUR"),
        ),
        Fill("a.b.02.01", Decimal("6.5"), Decimal("187.1"), AT + timedelta(seconds=2)),
    )
    return apply(order, OrderFact(order.id, AT + timedelta(seconds=2), perm_id=2**40, fills=fills))


async def test_an_order_comes_back_as_it_was_stored(database: OrderDatabase) -> None:
    order = an_order(key="k")
    assert await database.add(order) is order
    assert await database.get(order.id) == order


async def test_a_filled_order_keeps_history_fills_and_exact_numbers(
    database: OrderDatabase,
) -> None:
    order = an_order()
    await database.add(order)
    after = filled(order)
    await database.save(after)
    stored = await database.get(order.id)
    assert stored == after
    assert stored is not None
    assert [change.status for change in stored.history] == ["pending", "accepted", "filled"]
    assert stored.average_price == Decimal("187.138095")


async def test_a_changed_order_keeps_both_terms_and_its_whole_history(
    database: OrderDatabase,
) -> None:
    request = replace(
        an_order().request, order_type=OrderType.STOP_LIMIT, stop_price=Decimal("190.5")
    )
    order = replace(an_order(), request=request)
    await database.add(order)
    terms = Terms(Decimal(20), Decimal("191.25"), Decimal("190.75"))
    changed = order
    for status, said in [
        (OrderStatus.ACCEPTED, None),
        (None, terms),
        (OrderStatus.UNRESOLVED, None),
        (OrderStatus.ACCEPTED, None),
    ]:
        changed = apply(changed, OrderFact(order.id, AT, status=status, terms=said))
    await database.save(changed)
    stored = await database.get(order.id)
    assert stored == changed
    assert stored is not None
    assert (stored.terms, stored.request.quantity) == (terms, Decimal("10.5"))
    assert len(stored.history) == 5


async def test_orders_of_the_first_schema_are_there_after_the_upgrade(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(upgrade, "0001")
        await connection.execute(
            text(
                "INSERT INTO orders (id, client, symbol, side, order_type, quantity, time_in_force,"
                " created_at, status, filled_quantity, reason) VALUES ('one', 'desk', 'AAPL',"
                " 'BUY', 'MKT', '10', 'DAY', '2026-11-23 14:30:00', 'accepted', '0', '')"
            )
        )
        for position, status in enumerate(("pending", "accepted")):
            await connection.execute(
                text(
                    "INSERT INTO order_history (order_id, position, status, at, detail)"
                    f" VALUES ('one', {position}, '{status}', '2026-11-23 14:30:00', '')"
                )
            )
        await connection.execute(
            text(
                "INSERT INTO fills (order_id, exec_id, quantity, price, at)"
                " VALUES ('one', 'a.b.01.01', '4', '1.5', '2026-11-23 14:30:00')"
            )
        )
    database = OrderDatabase(engine, Metrics(CollectorRegistry(), []))
    await database.migrate()
    order = await database.get("one")
    assert order is not None
    assert [(one.quantity, one.commission) for one in order.fills] == [(Decimal(4), None)]
    assert [change.status for change in order.history] == ["pending", "accepted"]
    assert (order.terms, order.changed) == (Terms(Decimal(10)), None)
    doubted = apply(order, OrderFact("one", AT, status=OrderStatus.UNRESOLVED))
    again = apply(doubted, OrderFact("one", AT, status=OrderStatus.ACCEPTED))
    await database.save(again)  # accepted twice, which the first schema refused
    assert await database.get("one") == again


async def test_hearing_a_stored_fact_again_changes_nothing(database: OrderDatabase) -> None:
    order = an_order()
    await database.add(order)
    await database.save(filled(order))
    stored = await database.get(order.id)
    assert stored is not None
    assert filled(stored) is stored


async def test_orders_are_found_by_the_gateways_id_unless_two_have_it(
    database: OrderDatabase,
) -> None:
    for number, perm_id in enumerate([7, 2**40, 8, 8], 1):
        await database.add(replace(an_order(number), perm_id=perm_id))
    found = await database.by_perm_ids([7, 2**40, 8, 9])
    assert found == {7: an_order(1).id, 2**40: an_order(2).id}


async def test_an_unknown_order_is_none(database: OrderDatabase) -> None:
    assert await database.get("nobody") is None
    assert await database.by_key("desk", "nothing") is None


async def test_the_second_order_with_a_key_is_the_first_one(database: OrderDatabase) -> None:
    first = an_order(1, key="k")
    await database.add(first)
    assert await database.add(an_order(2, key="k")) == first
    assert await database.by_key("desk", "k") == first
    assert await database.get(an_order(2).id) is None


async def test_another_client_may_use_the_same_key(database: OrderDatabase) -> None:
    await database.add(an_order(1, key="k"))
    other = replace(an_order(2, key="k"), client="robot")
    assert await database.add(other) is other


async def test_of_concurrent_orders_with_a_key_one_is_stored(database: OrderDatabase) -> None:
    orders = [an_order(number, key="k") for number in range(10)]
    stored = await asyncio.gather(*(database.add(order) for order in orders))
    assert len({order.id for order in stored}) == 1
    assert len((await database.find(OrderQuery())).orders) == 1


async def test_open_orders_are_those_that_may_still_change(database: OrderDatabase) -> None:
    for number, status in enumerate(OrderStatus):
        order = an_order(number)
        await database.add(order)
        await database.save(replace(order, status=status))
    open_now = {order.status for order in await database.open_orders()}
    assert open_now == {OrderStatus.PENDING, OrderStatus.ACCEPTED, OrderStatus.UNRESOLVED}


async def test_pages_go_back_in_time_without_gap_or_overlap(database: OrderDatabase) -> None:
    for number in range(5):
        await database.add(an_order(number))
    seen: list[str] = []
    before: int | None = None
    for _ in range(3):
        page = await database.find(OrderQuery(limit=2, before=before))
        seen += [order.id for order in page.orders]
        before = page.next_before
    assert before is None
    assert seen == [an_order(number).id for number in (4, 3, 2, 1, 0)]


async def test_a_page_that_is_just_full_is_the_last(database: OrderDatabase) -> None:
    await database.add(an_order(1))
    await database.add(an_order(2))
    assert (await database.find(OrderQuery(limit=2))).next_before is None


async def test_filters_by_symbol_and_status(database: OrderDatabase) -> None:
    await database.add(an_order(1, symbol="AAPL"))
    await database.add(an_order(2, symbol="MSFT"))
    await database.save(filled(an_order(2, symbol="MSFT")))
    page = await database.find(OrderQuery(symbol="MSFT", status=OrderStatus.FILLED))
    assert [order.id for order in page.orders] == [an_order(2).id]
    assert not (await database.find(OrderQuery(symbol="TSLA"))).orders


async def test_migrating_again_keeps_what_is_there(
    database: OrderDatabase, database_url: str
) -> None:
    order = an_order()
    await database.add(order)
    again = open_engine(database_url)
    second = OrderDatabase(again, Metrics(CollectorRegistry(), []))
    await second.migrate()
    assert await second.get(order.id) == order
    await second.close()


async def test_replicas_that_migrate_at_once_wait_for_each_other(database_url: str) -> None:
    replicas = [
        OrderDatabase(open_engine(database_url), Metrics(CollectorRegistry(), [])) for _ in range(3)
    ]
    await asyncio.gather(*(replica.migrate() for replica in replicas))
    await replicas[0].add(an_order())
    for replica in replicas:
        assert await replica.get(an_order().id) == an_order()
        await replica.close()


async def test_models_and_migrations_describe_the_same_tables(
    database: OrderDatabase, engine: AsyncEngine
) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from stocks_api.adapters.database import metadata

    async with engine.connect() as connection:
        difference = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), metadata)
        )
    assert difference == []


async def test_a_newer_schema_is_refused_not_damaged(
    database: OrderDatabase, engine: AsyncEngine
) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseUnavailable, match="9999"):
        await database.migrate()


async def test_the_time_of_each_operation_is_measured(engine: AsyncEngine) -> None:
    registry = CollectorRegistry()
    database = OrderDatabase(engine, Metrics(registry, []))
    await database.migrate()
    await database.ping()
    name, labels = "database_query_duration_seconds_count", {"operation": "ping"}
    assert registry.get_sample_value(name, labels) == 1


async def test_a_server_that_is_gone_is_unavailable_and_then_available_again(
    postgresql: Postgresql, postgresql_url: str
) -> None:
    database = OrderDatabase(
        open_engine(f"postgresql+asyncpg://{postgresql_url}"), Metrics(CollectorRegistry(), [])
    )
    await database.migrate()
    postgresql.stop()
    try:
        with pytest.raises(DatabaseUnavailable):
            await database.add(an_order())
    finally:
        postgresql.start()
    await database.add(an_order())
    assert await database.get(an_order().id) == an_order()
    await database.close()


async def test_writes_to_sqlite_queue_however_short_its_patience(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite+aiosqlite:///{tmp_path}/orders.db", busy_seconds=0)
    database = OrderDatabase(engine, Metrics(CollectorRegistry(), []))
    await database.migrate()
    await asyncio.gather(*(database.add(an_order(number)) for number in range(100)))
    assert len(await database.open_orders()) == 100
    await database.close()


async def test_those_who_wait_behind_a_write_that_fails_do_not_wait_as_long_each(
    tmp_path: Path,
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/orders.db"
    engine, other = open_engine(url, busy_seconds=1), open_engine(url)
    registry = CollectorRegistry()
    database = OrderDatabase(engine, Metrics(registry, []))
    await database.migrate()
    async with other.begin():  # takes the write lock
        writes = (database.add(an_order(number)) for number in range(50))
        failed = await asyncio.gather(*writes, return_exceptions=True)
    assert {type(one) for one in failed} == {DatabaseUnavailable}
    name, labels = "database_query_duration_seconds_sum", {"operation": "add"}
    assert (registry.get_sample_value(name, labels) or 0) < 50 * 10  # not 1 + 2 + 3 + ...
    await database.add(an_order())
    await engine.dispose()
    await other.dispose()


async def test_a_locked_sqlite_file_is_unavailable(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/orders.db"
    engine, other = open_engine(url, busy_seconds=0.2), open_engine(url)
    database = OrderDatabase(engine, Metrics(CollectorRegistry(), []))
    await database.migrate()
    async with other.begin():  # takes the write lock
        assert await database.open_orders() == []  # readers go on
        with pytest.raises(DatabaseUnavailable, match="locked"):
            await database.add(an_order())
        with pytest.raises(DatabaseUnavailable, match="locked"):
            await database.ping()
    await database.add(an_order())
    await engine.dispose()
    await other.dispose()
