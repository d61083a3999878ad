"""Health that can't lie: it ages unless things happen."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request
from prometheus_client import CollectorRegistry
from tests.unit.operator.fakes import Clock

from threshold_operator.health import SILENT_AFTER_SECONDS, Health, Metrics, application

Client = TestClient[Request, Application]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(clock)


@pytest.fixture
async def client(health: Health) -> AsyncIterator[Client]:
    app = application(health, Metrics(CollectorRegistry()))
    async with TestClient(TestServer(app)) as client:
        yield client


async def told(client: Client, path: str) -> tuple[int, str]:
    response = await client.get(path)
    return response.status, await response.text()


async def test_alive_while_it_hears_and_works(client: Client, health: Health, clock: Clock) -> None:
    for _ in range(5):
        clock.seconds += SILENT_AFTER_SECONDS
        health.heard()
        health.turned()
        assert await told(client, "/healthz") == (200, "ok")


async def test_an_operator_that_hears_nothing_is_not_alive(
    client: Client, health: Health, clock: Clock
) -> None:
    clock.seconds += SILENT_AFTER_SECONDS + 1
    health.turned()
    assert await told(client, "/healthz") == (503, "last word from the API server was 181 s ago")


async def test_an_operator_that_does_nothing_is_not_alive(
    client: Client, health: Health, clock: Clock
) -> None:
    clock.seconds += SILENT_AFTER_SECONDS + 1
    health.heard()
    assert await told(client, "/healthz") == (503, "last turn of work was 181 s ago")


async def test_ready_after_the_first_list_and_turn(client: Client, health: Health) -> None:
    assert (await told(client, "/readyz"))[0] == 503
    health.synced = True
    assert await told(client, "/readyz") == (200, "ok")


async def test_the_metrics_are_there_before_anything_happened(client: Client) -> None:
    _, text = await told(client, "/metrics")
    for name in (
        'thresholds_reconciles_total{result="error"} 0.0',
        "threshold_propagation_seconds_count 0.0",
        "thresholds_last_success_timestamp_seconds 0.0",
    ):
        assert name in text
