"""What happens around every request."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from stocks_api.adapters.logs import JsonFormatter
from stocks_api.api.middleware import BodyLimit, RequestMiddleware, request_id


class Shown:
    def __init__(self) -> None:
        self.requests: list[tuple[str, str, int]] = []

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        assert seconds >= 0
        self.requests.append((method, route, status))


async def buggy(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise RuntimeError("secret detail")


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = (await receive())["body"]
    await PlainTextResponse(f"{request_id.get()} {len(body)}")(scope, receive, send)


def client(app: object) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://api")


async def test_a_bug_is_a_500_that_tells_nothing_but_the_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shown = Shown()
    async with client(RequestMiddleware(buggy, shown)) as http:
        answer = await http.get("/", headers={"X-Request-ID": "r-1"})
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] == "r-1"
    assert "r-1" in answer.json()["detail"]
    assert "secret" not in answer.text
    assert "secret detail" in caplog.text
    assert shown.requests == [("GET", "unmatched", 500)]


async def test_the_request_id_is_known_within_the_request_only() -> None:
    async with client(RequestMiddleware(echo, Shown())) as http:
        answer = await http.get("/", headers={"X-Request-ID": "r-2"})
    assert answer.text == "r-2 0"
    assert request_id.get() is None


@pytest.mark.parametrize(("size", "status"), [(100, 200), (101, 413)])
async def test_the_body_limit_is_exact(size: int, status: int) -> None:
    async with client(BodyLimit(echo, 100, 10)) as http:
        answer = await http.post("/", content=b"x" * size)
    assert answer.status_code == status
    if status == 200:
        assert answer.text.endswith(f" {size}")


async def test_a_body_that_dawdles_is_refused() -> None:
    async def dawdling() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(3600)

    async with client(BodyLimit(echo, 100, 0.1)) as http:
        answer = await http.post("/", content=dawdling())
    assert answer.status_code == 408
    assert "0.1 s" in answer.json()["detail"]


def test_a_log_line_is_one_json_object_with_the_request_and_the_order() -> None:
    formatter = JsonFormatter(lambda: "r-3")
    record = logging.makeLogRecord(
        {
            "name": "n",
            "levelname": "INFO",
            "msg": "order %s\n",
            "args": ("filled",),
            "order_id": "o",
        }
    )
    line = formatter.format(record)
    assert "\n" not in line
    entry = json.loads(line)
    assert entry["message"] == "order filled\n"
    assert (entry["request_id"], entry["order_id"], entry["level"]) == ("r-3", "o", "info")
