"""Requests that need the gateway's session, passed on to the replica that holds it.

Whatever replica a Service picks can be asked anything, so readiness need not choose among them.
"""

from collections.abc import Mapping
from typing import Protocol

from fastapi import Request, Response

from stocks_api.api.middleware import request_id
from stocks_api.domain.errors import NotLeading
from stocks_api.services.leadership import Reply

# Says that a request was passed on once: two replicas that take each other for the leader must
# not play with it.
_PASSED_ON = "x-passed-on"
_ASKED = ("content-type", "idempotency-key", "x-api-key")
_ANSWERED = ("content-type", "idempotent-replayed", "location", "retry-after")


class Leader(Protocol):
    """Who holds the gateway's session."""

    @property
    def elsewhere(self) -> str | None:
        """The URL of the replica, empty while nobody is known to lead; None if it is this one."""


class Replicas(Protocol):
    """The other replicas."""

    async def ask(self, url: str, method: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send it once. Raises NotLeading if nothing was sent, AnswerLost if no answer came."""


async def pass_on(request: Request, leader: str, replicas: Replicas) -> Response:
    """The leader's answer. Raises NotLeading and AnswerLost."""
    if not leader:
        raise NotLeading("no replica holds the gateway's session at the moment")
    if _PASSED_ON in request.headers:
        raise NotLeading("the replica that led does not lead any more")
    url = f"{leader}{request.scope['raw_path'].decode()}?{request.url.query}"
    headers = _only(_ASKED, request.headers)
    headers |= {_PASSED_ON: "1", "x-request-id": request_id.get() or ""}
    reply = await replicas.ask(url, request.method, headers, await request.body())
    return Response(reply.body, reply.status, _only(_ANSWERED, reply.headers))


def _only(names: tuple[str, ...], headers: Mapping[str, str]) -> dict[str, str]:
    return {name: headers[name] for name in names if name in headers}
