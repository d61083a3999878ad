"""API keys in the header X-API-Key: who asks, and whether he may."""

import logging
import re
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Protocol

from starlette.requests import Request

from stocks_api.api.problems import RefusalError

log = logging.getLogger(__name__)

HEADER = "X-API-Key"

# Wide enough for every common generator, narrow enough to keep junk out of hashing and logs.
_SHAPE = re.compile(r"[A-Za-z0-9_\-.~+/=]{8,256}")


class Key(Protocol):
    """A known client."""

    @property
    def name(self) -> str:
        """For logs, and as owner of orders."""

    @property
    def scopes(self) -> Collection[str]:
        """What it may do."""

    def expired(self, now: datetime) -> bool:
        """Whether its time is over."""


class Keys(Protocol):
    """The known clients."""

    def find(self, presented: str) -> Key | None:
        """The client with this key."""


class AuthMetrics(Protocol):
    """Where failures are counted."""

    def auth_failed(self, reason: str) -> None:
        """missing, malformed, unknown, expired or scope."""


class Authenticator:
    """Lets a request pass, or refuses and counts it."""

    def __init__(self, keys: Keys, metrics: AuthMetrics) -> None:
        self._keys = keys
        self._metrics = metrics

    def authenticate(self, request: Request, scope: str) -> str:
        """The client's name. Raises RefusalError (401, 403)."""
        presented = request.headers.get(HEADER)
        if presented is None:
            raise self._refuse("missing", 401, f"send your API key in the header {HEADER}")
        if not _SHAPE.fullmatch(presented):
            raise self._refuse("malformed", 401, f"the header {HEADER} does not look like a key")
        key = self._keys.find(presented)
        if key is None:
            raise self._refuse("unknown", 401, "nobody has this API key")
        if key.expired(datetime.now(UTC)):
            raise self._refuse("expired", 401, "this API key has expired: ask for a new one")
        if scope not in key.scopes:
            raise self._refuse("scope", 403, f"this API key lacks the scope {scope}")
        return key.name

    def _refuse(self, reason: str, status: int, detail: str) -> RefusalError:
        self._metrics.auth_failed(reason)
        log.warning("request refused: %s", detail, extra={"reason": reason})
        headers = {"WWW-Authenticate": "ApiKey"} if status == 401 else None
        return RefusalError(status, "Not allowed", detail, headers)
