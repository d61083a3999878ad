"""API keys in the header X-API-Key: who asks, and whether he may."""

import logging
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Protocol

from starlette.requests import Request

from stocks_api.api.problems import RefusalError

log = logging.getLogger(__name__)

HEADER = "X-API-Key"

# Wide enough for every common generator, narrow enough to keep junk out of hashing and logs.
_SHAPE = re.compile(r"[A-Za-z0-9_\-.~+/=]{8,256}")

_MINUTE = 60.0
_ADDRESSES = 4096


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


class FailureLimit:
    """How often each address failed in this minute; keeps a bounded number of addresses."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def failed(self, address: str) -> int | None:
        """Count a failure; the seconds to wait if there were too many."""
        now = self._clock()
        began, count = self._failures.pop(address, (now, 0))
        if now >= began + _MINUTE:
            began, count = now, 0
        self._failures[address] = began, count + 1
        if len(self._failures) > _ADDRESSES:
            self._failures.popitem(last=False)
        return math.ceil(began + _MINUTE - now) if count >= self._most else None


class Authenticator:
    """Lets a request pass, or refuses and counts it.

    Who fails too often hears 429 instead of why. A good key always passes: many clients may share
    one address, and one of them must not lock the others out.
    """

    def __init__(self, keys: Keys, metrics: AuthMetrics, limit: FailureLimit) -> None:
        self._keys = keys
        self._metrics = metrics
        self._limit = limit

    def authenticate(self, request: Request, scope: str) -> Key:
        """The client. Raises RefusalError (401, 403, 429)."""
        try:
            return self._check(request, scope)
        except RefusalError as error:
            seconds = self._limit.failed(request.client.host if request.client else "")
            if seconds is not None:
                raise _too_often(seconds) from error
            log.warning("request refused: %s", error)
            raise

    def _check(self, request: Request, scope: str) -> Key:
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
        return key

    def _refuse(self, reason: str, status: int, detail: str) -> RefusalError:
        self._metrics.auth_failed(reason)
        headers = {"WWW-Authenticate": "ApiKey"} if status == 401 else None
        return RefusalError(status, "Not allowed", detail, headers)


def _too_often(seconds: int) -> RefusalError:
    detail = f"too many refused requests from this address: try again in {seconds} s"
    return RefusalError(429, "Too many failures", detail, {"Retry-After": str(seconds)})
