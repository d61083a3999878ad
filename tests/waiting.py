"""Waiting for a condition with a deadline, instead of sleeping for luck."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(
    probe: Callable[[], T], accept: Callable[[T], bool], *, within: float, every: float = 1.0
) -> T:
    """The first answer of ``probe`` that is accepted.

    :param within: seconds until the test fails, telling the last answer.
    :param every: seconds between two probes.
    """
    deadline = time.monotonic() + within
    while not accept(answer := probe()):
        assert time.monotonic() < deadline, f"not within {within:g} s; last answer: {answer!r}"
        time.sleep(every)
    return answer
