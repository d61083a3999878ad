"""Pure ASGI: request ids, request metrics, bounded bodies."""

import asyncio
import logging
import re
import time
import uuid
from contextvars import ContextVar
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stocks_api.api.problems import FieldProblem, Problem, answer

log = logging.getLogger(__name__)

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

_ID = re.compile(rb"[A-Za-z0-9_.\-]{1,64}")
UNMATCHED = "unmatched"


class RequestMetrics(Protocol):
    """Where requests are counted."""

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered."""


class RequestMiddleware:
    """Gives each request an id, and measures it under its route's template."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        token = request_id.set(_request_id(scope))
        started, status = time.perf_counter(), 0

        async def observed_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_header(message, b"x-request-id", request_id.get() or "")
            await send(message)

        try:
            await self._app(scope, receive, observed_send)
        except Exception:
            log.exception("request failed")
            if not status:
                await _our_fault()(scope, receive, observed_send)
        finally:
            seconds = time.perf_counter() - started
            self._metrics.request(scope["method"], _route(scope), status or 500, seconds)
            _log(scope, status or 500, seconds)
            request_id.reset(token)


class BodyLimit:
    """Refuses a body above `limit` bytes, announced or not, and one that dawdles."""

    def __init__(self, app: ASGIApp, limit: int, seconds: float) -> None:
        self._app = app
        self._limit = limit
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._seconds):
                body = await self._read(scope, receive)
        except TimeoutError:
            await _too_slow(self._seconds)(scope, receive, send)
            return
        if body is None:
            await _too_large(self._limit)(scope, receive, send)
        else:
            await self._app(scope, _replay(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        announced = _header(scope, b"content-length")
        if announced.isdigit() and int(announced) > self._limit:
            return None
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._limit:
                return None
        return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """A receive that first gives the body that was read already."""
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def _too_large(limit: int) -> ASGIApp:
    message = f"must not be longer than {limit} bytes"
    problem = Problem(
        title="Body too large",
        status=413,
        detail=f"body: {message}",
        errors=[FieldProblem(field="body", message=message)],
    )
    return answer(problem, {"Connection": "close"})


def _too_slow(seconds: float) -> ASGIApp:
    message = f"must arrive within {seconds:g} s"
    problem = Problem(
        title="Body too slow",
        status=408,
        detail=f"body: {message}",
        errors=[FieldProblem(field="body", message=message)],
    )
    return answer(problem, {"Connection": "close"})


def _our_fault() -> ASGIApp:
    detail = f"this is our fault; our log has the details of request {request_id.get()}"
    return answer(Problem(title="Internal error", status=500, detail=detail))


def _has_body(scope: Scope) -> bool:
    return bool(_header(scope, b"content-length") or _header(scope, b"transfer-encoding"))


def _header(scope: Scope, name: bytes) -> bytes:
    return next((value for key, value in scope["headers"] if key == name), b"")


def _request_id(scope: Scope) -> str:
    given = _header(scope, b"x-request-id")
    return given.decode() if _ID.fullmatch(given) else uuid.uuid4().hex


def _log(scope: Scope, status: int, seconds: float) -> None:
    """Requests of clients at INFO; probes and scrapes only for who debugs."""
    client = scope.get("state", {}).get("client")
    level = logging.DEBUG if client is None and status < 500 else logging.INFO
    if log.isEnabledFor(level):
        facts = {"status": status, "seconds": round(seconds, 6), "client": client}
        log.log(level, "%s %s", scope["method"], _route(scope), extra=facts)


def _route(scope: Scope) -> str:
    """The template of the route that answered, never the raw path."""
    return getattr(scope.get("route"), "path", UNMATCHED)


def _add_header(message: Message, name: bytes, value: str) -> None:
    message["headers"] = [*message.get("headers", ()), (name, value.encode())]
