"""Health that can't lie: it ages unless things happen."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request
from prometheus_client import CollectorRegistry
from tests.unit.operator.fakes import Clock, counted

from threshold_operator.telemetry import (
    LOST_AFTER_SECONDS,
    SILENT_AFTER_SECONDS,
    Health,
    Metrics,
    application,
)

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


def all_is_well(health: Health) -> None:
    health.listed()
    health.turned("desk")
    for kind in ("thresholds", "rules"):
        health.missed(kind)
        health.heard(kind)


async def test_alive_while_it_hears_and_works(client: Client, health: Health, clock: Clock) -> None:
    for _ in range(5):
        clock.seconds += LOST_AFTER_SECONDS
        all_is_well(health)
        assert await told(client, "/healthz") == (200, "ok")


async def test_a_watch_over_which_nothing_happens_is_alive(
    client: Client, health: Health, clock: Clock
) -> None:
    all_is_well(health)
    clock.seconds += 10 * SILENT_AFTER_SECONDS
    health.listed()
    health.turned("desk")
    assert await told(client, "/healthz") == (200, "ok")


DEAD = {
    "list": (LOST_AFTER_SECONDS, "last list was 181 s ago"),
    "turn": (LOST_AFTER_SECONDS, "last turn of desk was 181 s ago"),
}


@pytest.mark.parametrize(("what", "after", "said"), [(k, *v) for k, v in DEAD.items()], ids=DEAD)
async def test_what_says_nothing_is_dead_whatever_else_does(
    client: Client, health: Health, clock: Clock, what: str, after: float, said: str
) -> None:
    all_is_well(health)
    clock.seconds += after + 1
    if what != "list":
        health.listed()
    if what != "turn":
        health.turned("desk")
    assert await told(client, "/healthz") == (503, said)


async def test_a_watch_is_dead_that_is_silent_since_a_list_found_a_change(
    client: Client, health: Health, clock: Clock
) -> None:
    health.missed("rules")
    health.missed("thresholds")
    for _ in range(3):
        assert await told(client, "/healthz") == (200, "ok")
        clock.seconds += SILENT_AFTER_SECONDS / 3
        health.missed("rules")  # a later change takes nothing back
        health.listed()
        health.heard("thresholds")
    clock.seconds += 1
    said = "the watch of rules missed a change 121 s ago"
    assert await told(client, "/healthz") == (503, said)
    health.heard("rules")
    assert await told(client, "/healthz") == (200, "ok")


async def test_a_follower_has_no_turns(client: Client, health: Health, clock: Clock) -> None:
    health.turned("desk")
    health.rests()
    clock.seconds += LOST_AFTER_SECONDS + 1
    health.listed()
    assert await told(client, "/healthz") == (200, "ok")


async def test_ready_after_the_first_list(client: Client, health: Health) -> None:
    assert await told(client, "/readyz") == (503, "the first list isn't done")
    health.listed()
    assert await told(client, "/readyz") == (200, "ok")


async def test_the_metrics_are_there_before_anything_happened(client: Client) -> None:
    _, text = await told(client, "/metrics")
    for name in (
        'thresholds_reconciles_total{result="error"} 0.0',
        "threshold_propagation_seconds_count 0.0",
        "thresholds_reconcile_seconds_count 0.0",
        "thresholds_queue_depth 0.0",
        "threshold_operator_leader 0.0",
        "thresholds_last_success_timestamp_seconds 0.0",
    ):
        assert name in text


def test_objects_are_counted_by_namespace_and_alert() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.count_objects("a", {("Pnl", "Ready"): 2})
    metrics.count_objects("b", {("Pnl", "Ready"): 1, ("Latency", "Conflict"): 1})
    metrics.count_objects("a", {("Pnl", "Expired"): 1})
    assert counted(metrics) == {
        ("a", "Pnl", "Expired"): 1,
        ("b", "Pnl", "Ready"): 1,
        ("b", "Latency", "Conflict"): 1,
    }
    metrics.rests()
    assert counted(metrics) == {}


def test_a_success_is_none_while_anything_else_fails() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.ended("a", well=False)
    metrics.ended("b", well=True)
    assert value(metrics, "thresholds_last_success_timestamp_seconds") == 0
    metrics.ended("a", well=True)
    assert value(metrics, "thresholds_last_success_timestamp_seconds") != 0


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)
