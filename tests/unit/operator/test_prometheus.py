"""What we make of Prometheus' answers, good and bad, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from threshold_operator.evidence import prometheus
from threshold_operator.evidence.access import Access, PrometheusError
from threshold_operator.evidence.observation import Sample
from threshold_operator.evidence.prometheus import Address, PrometheusReader

OURS = "stocks:alert_threshold"
EFFECTIVE = "stocks:alert_threshold:effective"


def rule(name: str, query: str, labels: dict[str, str], **rest: Any) -> dict[str, Any]:
    told = {"health": "ok", "lastEvaluation": "2026-11-23T12:00:00Z", "type": "recording"}
    return {"name": name, "query": query, "labels": labels} | told | rest


def group(name: str, *rules: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "file": "/rules.yaml", "rules": list(rules)}


def series(value: str, **labels: str) -> dict[str, Any]:
    return {"metric": labels, "value": [1700000000.0, value]}


GROUPS = [
    group("at.tsla", rule(OURS, "vector(3e-02)", {"namespace": "desk"})),
    group("at.tsla", rule(OURS, "vector(9)", {"namespace": "elsewhere"})),
    group(
        "at.tsla",
        rule(OURS, "vector(4)", {"namespace": "desk"}),
        rule("A", "up > 1", {}, duration=60, keepFiringFor=120, type="alerting"),
    ),
    group(
        "stocks.A",
        rule("stocks:a", "1", {}),
        rule(EFFECTIVE, "1", {"alert": "A"}),
        rule("A", "1", {}),
    ),
    group("node", rule("node:cpu", "2", {}), {"name": "Up", "query": "up", "type": "alerting"}),
]

NUMBERS = [
    series("0.03", __name__=OURS, source="tsla", alert="A", severity="critical"),
    series("0.05", __name__=EFFECTIVE, alert="A", severity="critical", symbol="X"),
    series("0.06", __name__=EFFECTIVE, alert="A", severity="critical", symbol="Y"),
]
ALERTS = [series("1", __name__="ALERTS", alertname="A", severity="critical", alertstate="firing")]


def reader(session: aiohttp.ClientSession, url: str) -> PrometheusReader:
    return PrometheusReader(Access(session), Address("Prometheus", url), "desk", ["A"])


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def good(data: Any) -> web.Response:
    return web.json_response({"status": "success", "data": data})


async def answer(request: web.Request) -> web.StreamResponse:
    """A Prometheus in good health."""
    if request.path.endswith("/rules"):
        return good({"groups": GROUPS})
    found = ALERTS if request.query["query"].startswith("ALERTS") else NUMBERS
    return good({"resultType": "vector", "result": found})


@pytest.fixture
async def ask() -> AsyncIterator[Callable[[Handler], Awaitable[Any]]]:
    """One look at a server that answers as the test says."""
    servers: list[TestServer] = []

    async def look(handler: Handler) -> Any:
        app = web.Application()
        app.router.add_get("/prefix/api/v1/{question}", handler)
        server = TestServer(app)
        servers.append(server)
        await server.start_server()
        async with aiohttp.ClientSession() as session:
            url = str(server.make_url("/prefix/"))
            return await reader(session, url).observe()

    yield look
    for server in servers:
        await server.close()


Ask = Callable[[Handler], Awaitable[Any]]


async def test_rules_are_kept_by_group_and_only_those_of_the_namespace(ask: Ask) -> None:
    seen = await ask(answer)
    found = {name: [rule.expr for rule in rules] for name, rules in seen.groups.items()}
    assert found == {"at.tsla": ["vector(0.03)", "vector(4)", "up{} > 1"]}
    times = [(rule.waits, rule.lasts) for rule in seen.groups["at.tsla"]]
    assert times == [(0, 0), (0, 0), (60, 120)]
    assert [(rule.name, rule.labels) for rule in seen.layers] == [(EFFECTIVE, {"alert": "A"})]


async def test_series_are_kept_by_what_they_are_asked_for(ask: Ask) -> None:
    seen = await ask(answer)
    assert [s.value for s in seen.numbers[(OURS, "tsla")]] == [0.03]
    assert [s.value for s in seen.in_force[(EFFECTIVE, "A", "critical")]] == [0.05, 0.06]
    assert seen.alerts[("A", "critical")] == (Sample(ALERTS[0]["metric"], 1.0),)


async def test_three_requests_are_made_whatever_the_number_of_objects(ask: Ask) -> None:
    questions: list[str] = []

    async def count(request: web.Request) -> web.StreamResponse:
        questions.append(request.path_qs)
        return await answer(request)

    await ask(count)
    assert len(questions) == 3


async def test_a_rule_that_failed_or_never_ran_is_told(ask: Ask) -> None:
    never = {"health": "unknown", "lastEvaluation": "0001-01-01T00:00:00Z"}
    failed = {"health": "err", "lastError": "many-to-many"}
    name, labels = "at.g", {"namespace": "desk"}
    groups = [group(name, rule(OURS, "1", labels, **never), rule(OURS, "1", labels, **failed))]

    async def told(request: web.Request) -> web.StreamResponse:
        return good({"groups": groups}) if "rules" in request.path else await answer(request)

    first, second = (await ask(told)).groups[name]
    assert (first.health, first.evaluated) == ("unknown", False)
    assert (second.health, second.error) == ("err", "many-to-many")


def always(response: Callable[[], web.StreamResponse]) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        return response()

    return handler


BAD: dict[str, tuple[Handler, str]] = {
    "an error of its own": (
        always(lambda: web.json_response({"status": "error", "error": "overloaded"}, status=503)),
        "HTTP 503, overloaded",
    ),
    "a page of a proxy": (
        always(lambda: web.Response(text="<html>", content_type="text/html", status=502)),
        "502",
    ),
    "no JSON": (
        always(lambda: web.Response(text="{", content_type="application/json")),
        "Expecting property name",
    ),
    "a list": (always(lambda: web.json_response([])), "not what its API promises"),
    "no data": (always(lambda: web.json_response({"status": "success"})), "another form"),
    "groups without rules": (always(lambda: good({"groups": [{}], "result": []})), "another form"),
    "a value that is no number": (
        always(lambda: good({"groups": [], "result": [series("many")]})),
        "another form",
    ),
    "a series without labels": (
        always(lambda: good({"groups": [], "result": [{"value": [1, "2"]}]})),
        "another form",
    ),
}


@pytest.mark.parametrize(("handler", "message"), BAD.values(), ids=BAD)
async def test_an_answer_is_useless_that_is(ask: Ask, handler: Handler, message: str) -> None:
    with pytest.raises(PrometheusError, match=message):
        await ask(handler)


async def test_who_doesn_t_answer_in_time_is_not_waited_for(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus, "TIMEOUT_SECONDS", 0.2)
    asked_for_ever = asyncio.Event()

    async def sleepy(_: web.Request) -> web.StreamResponse:
        await asked_for_ever.wait()
        raise AssertionError

    with pytest.raises(PrometheusError, match=r"no answer within 0\.2 s"):
        await ask(sleepy)
    asked_for_ever.set()


async def test_nobody_there_is_said_so() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(PrometheusError, match="Cannot connect"):
            await reader(session, "http://127.0.0.1:1").observe()


async def test_a_failed_look_leaves_its_task_as_it_was(
    ask: Callable[[Handler], Awaitable[Any]],
) -> None:
    """On Python 3.11.2 a TaskGroup would leave it half cancelled, and the next timeout ends it."""

    async def refuses(_: web.Request) -> web.Response:
        return web.json_response({}, status=500)

    with pytest.raises(PrometheusError):
        await ask(refuses)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
