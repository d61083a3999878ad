"""Requests at a replica that does not lead: passed on once; a lost answer is no refusal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from tests.unit.api import clock

from stocks_api.adapters.replicas import Replicas
from stocks_api.api import problems
from stocks_api.api.middleware import RequestMiddleware
from stocks_api.api.strict import LeaderRoute, SwitchRoute
from stocks_api.domain.errors import KillSwitchStuck

LEADER = "http://leader:8000"
ORDER = b'{"symbol": "AAPL"}'

Answer = Callable[[httpx.Request], httpx.Response]


class Neighbour(httpx.AsyncBaseTransport):
    """The replica that leads, as far as HTTP shows it."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []
        self.answer: Answer = lambda _: httpx.Response(201, text="theirs")
        self.slow = 0.0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.asked.append(request)
        await asyncio.sleep(self.slow)
        return self.answer(request)


class Shown:
    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        pass


class Replica:
    """An API with one order route and the switch, both of which answer "ours"."""

    def __init__(self, replicas: Replicas) -> None:
        self.elsewhere: str | None = LEADER
        self.slow = 0.0
        self.stuck = False
        self.app = FastAPI()
        self.app.state.services = SimpleNamespace(leader=self, replicas=replicas)
        self.app.state.authenticator = self
        for path, route in (("/v1/orders/{order_id}", LeaderRoute), ("/v1/switch", SwitchRoute)):
            router = APIRouter(route_class=route)
            router.add_api_route(path, self._ours, methods=["POST"])
            self.app.include_router(router)
        problems.install(self.app)
        self.app.add_middleware(RequestMiddleware, metrics=Shown())

    def authenticate(self, _request: Request, _scope: str) -> SimpleNamespace:
        return SimpleNamespace(name="desk", scopes=())

    async def _ours(self) -> str:
        await asyncio.sleep(self.slow)
        if self.stuck:
            raise KillSwitchStuck("stuck")
        return "ours"


@pytest.fixture
def neighbour(monkeypatch: pytest.MonkeyPatch) -> Neighbour:
    there = Neighbour()
    wired = partial(httpx.AsyncClient, transport=there)
    monkeypatch.setattr("stocks_api.adapters.replicas.httpx.AsyncClient", wired)
    return there


@pytest.fixture
def replica(neighbour: Neighbour) -> Replica:
    return Replica(Replicas())


@asynccontextmanager
async def asking(replica: Replica) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=replica.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://ours") as http:
        yield http


async def post(replica: Replica, path: str = "/v1/orders/1", **headers: str) -> httpx.Response:
    async with asking(replica) as http:
        return await http.post(path, content=ORDER, headers=headers)


def failing(error: type[httpx.TransportError]) -> Answer:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error("as it says", request=request)

    return fail


async def test_the_leader_answers_itself(replica: Replica, neighbour: Neighbour) -> None:
    replica.elsewhere = None
    assert (await post(replica)).json() == "ours"
    assert neighbour.asked == []


async def test_another_replica_passes_it_on_as_it_is(
    replica: Replica, neighbour: Neighbour
) -> None:
    answer = await post(replica, "/v1/orders/a%20b?x=1&y=%2F")
    assert (answer.status_code, answer.text) == (201, "theirs")
    (asked,) = neighbour.asked
    assert str(asked.url) == f"{LEADER}/v1/orders/a%20b?x=1&y=%2F"
    assert (asked.method, asked.content) == ("POST", ORDER)


async def test_only_headers_that_are_ours_go_there(replica: Replica, neighbour: Neighbour) -> None:
    ours = {
        "content-type": "application/json",
        "idempotency-key": "k",
        "x-api-key": "secret",
        "x-request-id": "r-1",
    }
    others = {"cookie": "c=1", "authorization": "Bearer b", "x-forwarded-for": "10.0.0.1"}
    await post(replica, **ours, **others)
    (asked,) = neighbour.asked
    assert ours.items() <= dict(asked.headers).items()
    assert asked.headers["x-passed-on"] == "1"
    assert asked.headers["host"] == "leader:8000"
    assert not others.keys() & asked.headers.keys()


async def test_only_headers_that_are_the_answers_come_back(
    replica: Replica, neighbour: Neighbour
) -> None:
    ours = {
        "content-type": "application/json",
        "idempotent-replayed": "true",
        "location": "/v1/orders/1",
        "retry-after": "5",
    }
    others = {"set-cookie": "c=1", "server": "somebody", "connection": "close"}
    neighbour.answer = lambda _: httpx.Response(503, headers=ours | others, text="{}")
    answer = await post(replica)
    assert answer.status_code == 503
    assert ours.items() <= dict(answer.headers).items()
    assert not others.keys() & answer.headers.keys()


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout])
async def test_what_was_not_sent_is_503(
    replica: Replica, neighbour: Neighbour, error: type[httpx.TransportError]
) -> None:
    neighbour.answer = failing(error)
    answer = await post(replica)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "can't be reached" in answer.json()["detail"]
    assert len(neighbour.asked) == 1


@pytest.mark.parametrize(
    "error",
    [
        httpx.ReadError,
        httpx.ReadTimeout,
        httpx.RemoteProtocolError,
        httpx.WriteError,
        httpx.WriteTimeout,
    ],
)
async def test_what_may_have_arrived_is_504_and_not_sent_again(
    replica: Replica, neighbour: Neighbour, error: type[httpx.TransportError]
) -> None:
    neighbour.answer = failing(error)
    answer = await post(replica)
    assert answer.status_code == 504
    assert "same Idempotency-Key" in answer.json()["detail"]
    assert len(neighbour.asked) == 1


async def test_while_nobody_leads_it_is_503(replica: Replica, neighbour: Neighbour) -> None:
    replica.elsewhere = ""
    assert (await post(replica)).status_code == 503
    assert neighbour.asked == []


async def test_what_was_passed_on_is_not_passed_on_again(
    replica: Replica, neighbour: Neighbour
) -> None:
    answer = await post(replica, **{"x-passed-on": "1"})
    assert answer.status_code == 503
    assert "does not lead any more" in answer.json()["detail"]
    assert neighbour.asked == []


async def test_the_switch_is_thrown_here_and_at_the_leader_whose_answer_counts(
    replica: Replica, neighbour: Neighbour
) -> None:
    neighbour.answer = lambda _: httpx.Response(200, json="theirs")
    assert (await post(replica, "/v1/switch")).json() == "theirs"
    replica.stuck = True
    assert (await post(replica, "/v1/switch")).json() == "theirs"
    neighbour.answer = failing(httpx.ConnectError)
    assert (await post(replica, "/v1/switch")).status_code == 503
    replica.stuck = False
    assert (await post(replica, "/v1/switch")).json() == "ours"
    replica.elsewhere = ""
    assert (await post(replica, "/v1/switch")).json() == "ours"
    assert [asked.content for asked in neighbour.asked] == [ORDER] * 4


def test_neither_waits_for_the_other_to_throw_the_switch(
    replica: Replica, neighbour: Neighbour
) -> None:
    async def scenario() -> None:
        replica.slow, neighbour.slow = 60, 3600
        answering = asyncio.create_task(post(replica, "/v1/switch"))
        await asyncio.sleep(0.1)
        assert len(neighbour.asked) == 1  # while our database hangs
        assert (await answering).json() == "ours"
        assert asyncio.get_running_loop().time() == pytest.approx(60)

    clock.run(scenario())
