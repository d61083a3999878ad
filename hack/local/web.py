"""The few HTTP calls that are needed here, with the standard library."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from local.errors import LocalError

TIMEOUT = 10.0


def answers(address: str) -> bool:
    """Whether a GET of it succeeds."""
    try:
        with urlopen(address, timeout=TIMEOUT):  # noqa: S310 - our own processes
            return True
    except (OSError, HTTPException):
        return False


def get_json(address: str, **parameters: str) -> Any:
    """The JSON of a GET."""
    query = f"?{urlencode(parameters)}" if parameters else ""
    try:
        with urlopen(address + query, timeout=TIMEOUT) as answer:  # noqa: S310
            return json.load(answer)
    except (OSError, HTTPException) as error:
        raise LocalError(f"{address}: {error}") from error


def post(address: str) -> None:
    """A POST without a body; LocalError with what the other side said."""
    request = Request(address, method="POST")  # noqa: S310
    try:
        with urlopen(request, timeout=TIMEOUT):  # noqa: S310
            pass
    except HTTPError as error:
        said = error.read().decode(errors="replace").strip()
        raise LocalError(f"{address} answered {error.code}: {said}") from error
    except URLError as error:
        raise LocalError(f"{address}: {error.reason}") from error


def until(condition: Callable[[], bool], within: float, every: float = 0.2) -> bool:
    """Wait for a condition, ``within`` seconds at most; whether it came to hold."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True
