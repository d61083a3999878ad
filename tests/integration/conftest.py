"""Real servers for integration tests. What is missing fails: a skipped test proves nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.postgresql import Postgresql, running


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgresql]:
    """A PostgreSQL server that belongs to this test run alone."""
    with running() as server:
        yield server


@pytest.fixture
def postgresql_url(postgresql: Postgresql, request: pytest.FixtureRequest) -> str:
    """``user:password@host:port/name`` of an empty database; put the driver's scheme before it."""
    name = f"t{abs(hash(request.node.nodeid)):x}"
    return postgresql.create_database(name)
