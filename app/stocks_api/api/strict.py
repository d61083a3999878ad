"""A route that authenticates before it reads a body, and reads only strict JSON."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any

from fastapi import Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader

from stocks_api.api.auth import HEADER
from stocks_api.api.forwarding import Leader, pass_on
from stocks_api.api.problems import Problem

READ, TRADE, ADMIN = "read", "trade", "admin"
_LEADER_SECONDS = 2.0  # for its answer to the kill switch
_READING = frozenset({"GET", "HEAD"})

# Only for the documentation: ClientRoute checks the key before anything else is read.
KEY = Security(APIKeyHeader(name=HEADER, auto_error=False))
# What every route under /v1 may answer.
REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "No valid API key"},
    403: {"model": Problem, "description": "The API key does not permit this"},
    422: {"model": Problem, "description": "Invalid request: see `errors`"},
    429: {"model": Problem, "description": "Too many refused keys from this address"},
}

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRequest(Request):
    """A request whose JSON has no NaN, no duplicate keys and no bottomless nesting."""

    async def json(self) -> Any:
        """The body. Raises json.JSONDecodeError, which becomes a 422."""
        text = (await self.body()).decode("utf-8", errors="replace")
        try:
            return json.loads(
                text,
                parse_constant=_no_constant,
                parse_float=Decimal,
                parse_int=Decimal,
                object_pairs_hook=_no_duplicates,
            )
        except RecursionError:
            raise json.JSONDecodeError("nested too deeply", "", 0) from None


class ClientRoute(APIRoute):
    """Every route under /v1: reading needs the scope `read`, anything else `trade`."""

    writing_scope = TRADE

    def get_route_handler(self) -> Handler:
        """Authenticate, then go on with the strict request."""
        handle = super().get_route_handler()
        scope = READ if (self.methods or set()) <= _READING else self.writing_scope

        async def authenticated(request: Request) -> Response:
            key = request.app.state.authenticator.authenticate(request, scope)
            request.state.client, request.state.scopes = key.name, key.scopes
            return await self.respond(StrictRequest(request.scope, request.receive), handle)

        return authenticated

    async def respond(self, request: Request, handle: Handler) -> Response:
        """The answer to a request whose key is good."""
        return await handle(request)


class LeaderRoute(ClientRoute):
    """A route that needs the gateway's session: the replica that holds it answers."""

    async def respond(self, request: Request, handle: Handler) -> Response:
        """Answer here, or pass the request on. Raises NotLeading and AnswerLost."""
        leader: Leader = request.app.state.services.leader
        if leader.elsewhere is None:
            return await handle(request)
        return await pass_on(request, leader.elsewhere, request.app.state.services.replicas)


class AdminRoute(LeaderRoute):
    """A route whose changes need the scope `admin`."""

    writing_scope = ADMIN


class SwitchRoute(AdminRoute):
    """Answered here, so that it works without a leader; the leader hears of it at once, too."""

    async def respond(self, request: Request, handle: Handler) -> Response:
        """The leader's answer if it has one soon, else ours."""
        if not request.app.state.services.leader.elsewhere:
            return await handle(request)
        await request.body()  # read once, for both
        theirs, ours = await asyncio.gather(
            self._ask_leader(request, handle), handle(request), return_exceptions=True
        )
        if isinstance(theirs, Response):
            return theirs
        if isinstance(ours, BaseException):
            raise ours
        return ours

    async def _ask_leader(self, request: Request, handle: Handler) -> Response:
        """Its answer. Raises NotLeading, AnswerLost and TimeoutError."""
        async with asyncio.timeout(_LEADER_SECONDS):
            return await super().respond(request, handle)


def _no_constant(name: str) -> None:
    raise json.JSONDecodeError(f"{name} is not a number", "", 0)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise json.JSONDecodeError("a key stands there twice", "", 0)
    return dict(pairs)
