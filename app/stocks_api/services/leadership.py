"""Which replica holds the gateway's session: one leads, the others pass their requests on to it.

Two fences keep a deposed leader from trading. Its word is believed for one lease after it last
proved that it holds the lock, which is shorter than the lock outlives a silent holder; so a
replica that hung stops before another can start. And every order is committed under the number of
the reign: with an older number nothing is stored, so nothing is sent.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from stocks_api.domain.errors import DatabaseUnavailable, NotLeading

log = logging.getLogger(__name__)

_RENEWALS = 7  # in one lease: some may be lost


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads: the number of the reign, where it answers, and whether that is us."""

    epoch: int
    url: str
    ours: bool


@dataclass(frozen=True, slots=True)
class Reply:
    """What another replica answered to a request that was passed on."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class LeaderLock(Protocol):
    """Held by one replica at most. Both raise DatabaseUnavailable."""

    async def seek(self, url: str) -> Leader:
        """Begin a reign of ours at `url` if nobody leads, and say who leads now."""

    async def hold(self, epoch: int) -> bool:
        """Whether we hold the lock, taken again if it was lost. Raises Deposed after a reign."""

    async def close(self) -> None:
        """Give it up."""


class LeaderMetrics(Protocol):
    """Where it is shown who leads."""

    def leading(self, leads: bool) -> None:
        """This replica leads, or not."""


class SoleReplica:
    """SQLite serves one process: it leads as long as it lives."""

    elsewhere: str | None = None
    epoch: int | None = None
    problem = ""

    def __init__(self, metrics: LeaderMetrics) -> None:
        self._metrics = metrics

    def require(self) -> None:
        """Nobody else could lead."""

    async def win(self) -> None:
        """At once."""
        self._metrics.leading(True)

    async def keep(self) -> None:
        """For ever."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Nothing to give up."""


class Leadership:
    """A replica among several; `win` returns when it leads, `keep` only raises Deposed."""

    def __init__(
        self,
        lock: LeaderLock,
        metrics: LeaderMetrics,
        url: str,
        lease: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`url` is where the other replicas reach this one; `lease` in seconds."""
        self._lock = lock
        self._metrics = metrics
        self._url = url
        self._lease = lease
        self._clock = clock
        self._leader: Leader | None = None
        self._proved = -math.inf

    @property
    def elsewhere(self) -> str | None:
        """Where the leader answers, empty while nobody is known to lead; None if we lead."""
        if self._leader is None:
            return ""
        return None if self._leader.ours else self._leader.url

    @property
    def epoch(self) -> int | None:
        """The number of our reign; 0, which no reign has, while another replica leads."""
        return self._leader.epoch if self._leader is not None and self._leader.ours else 0

    @property
    def problem(self) -> str:
        """Why orders can't be taken here, not even by passing them on; empty if they can."""
        if self.elsewhere == "":
            return "no replica leads yet"
        if self.elsewhere is None and self._expired():
            return f"leadership was not proved for {self._lease:g} s"
        return ""

    def require(self) -> None:
        """Raise NotLeading unless this replica certainly leads at this moment."""
        if self.elsewhere is not None:
            raise NotLeading("another replica holds the gateway's session")
        if self.problem:
            raise NotLeading(self.problem)

    async def win(self) -> None:
        """Wait until this replica leads."""
        self._metrics.leading(False)
        while True:
            if await self._seek():
                break
            await asyncio.sleep(self._lease / _RENEWALS)
        self._metrics.leading(True)
        log.info("this replica leads now", extra={"epoch": self.epoch})

    async def keep(self) -> None:
        """Prove again and again that we lead. Raises Deposed once another replica does."""
        while True:
            await asyncio.sleep(self._lease / _RENEWALS)
            await self._renew()

    async def close(self) -> None:
        """Let another replica lead."""
        await self._lock.close()

    async def _seek(self) -> bool:
        asked = self._clock()
        try:
            self._leader = await self._lock.seek(self._url)
        except DatabaseUnavailable as error:  # who led still may: requests are passed on to it
            log.warning("cannot see which replica leads: %s", error)
            return False
        self._proved = asked
        return self._leader.ours

    async def _renew(self) -> None:
        asked = self._clock()
        try:
            if await self._lock.hold(self.epoch or 0):
                self._proved = asked
        except DatabaseUnavailable as error:
            log.warning("cannot prove that this replica leads: %s", error)

    def _expired(self) -> bool:
        return self._clock() > self._proved + self._lease
