"""Keeps the link to the gateway, and says only what a round trip has proved.

An open socket is no evidence: a gateway can be up and deaf, or up and cut off from its servers
(code 1100). So the link counts as verified only after an answer, and stops counting after two
missed ones, after `stale_after` seconds without any, or when the gateway itself reports the loss.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from stocks_api.domain.errors import GatewayUnavailable

log = logging.getLogger(__name__)

MISSES_ALLOWED = 1  # the second in a row ends the session


class Session(Protocol):
    """The gateway, as far as keeping a session needs it. Every method raises GatewayUnavailable."""

    async def connect(self) -> None:
        """Open a session, ready for requests."""

    async def round_trip(self) -> None:
        """Ask something that only a live gateway answers."""

    async def resubscribe(self) -> None:
        """Ask anew for market data and P&L, which the gateway has forgotten."""

    async def wait_closed(self) -> None:
        """Return when the session's socket is gone."""

    async def close(self) -> None:
        """End the session; never raises."""


class LinkMetrics(Protocol):
    """Where the state of the link is shown."""

    def link_verified(self, verified: bool) -> None:
        """The link became, or stopped being, verified."""

    def round_trip_succeeded(self, at: float) -> None:
        """An answer came at `at`, epoch seconds."""

    def disconnected(self, reason: str) -> None:
        """A verified link was lost: closed, unresponsive, upstream or error."""


@dataclass(frozen=True, slots=True)
class LinkTiming:
    """Seconds. With the defaults a gateway that goes deaf is noticed within 14 s."""

    probe_every: float = 5.0
    probe_timeout: float = 4.0
    stale_after: float = 15.0
    reconnect_min: float = 0.5
    reconnect_max: float = 15.0


class Link:
    """Supervises one gateway session after another; `run` never returns."""

    def __init__(
        self,
        session: Session,
        resync: Callable[[], Awaitable[None]],
        metrics: LinkMetrics,
        timing: LinkTiming,
        on_lost: Callable[[], None],
    ) -> None:
        self._session = session
        self._resync = resync
        self._metrics = metrics
        self._timing = timing
        self._on_lost = on_lost
        self._verified = False
        self._problem = "not connected yet"
        self._last_success = 0.0
        self._next_probe = 0.0
        self._upstream_lost = False
        self._data_lost = False
        self._nudge = asyncio.Event()

    @property
    def problem(self) -> str:
        """Why the link is not verified; empty if it is."""
        return self._problem

    def require(self) -> None:
        """Raise GatewayUnavailable unless the link is verified."""
        if not self._verified:
            raise GatewayUnavailable(f"no verified link to the gateway: {self._problem}")

    def upstream_lost(self) -> None:
        """The gateway lost its own servers (1100): orders would go nowhere."""
        self._upstream_lost = True
        self._down("the gateway has lost its connection to the servers (1100)", "upstream")

    def upstream_restored(self, *, data_lost: bool) -> None:
        """The gateway is back (1101: subscriptions are gone; 1102: kept)."""
        self._upstream_lost = False
        self._data_lost |= data_lost
        self._nudge.set()

    async def run(self) -> None:
        """Connect, watch, reconnect with exponential backoff and full jitter, for ever."""
        failures = 0
        while True:
            started = self._last_success
            try:
                await self._one_session()
            except GatewayUnavailable as error:
                self._down(str(error), error.reason)
                log.warning("gateway link is down: %s", error)
            except Exception as error:
                # Nothing that a gateway sends may end the supervision of it.
                self._down(f"{type(error).__name__}: {error}", "error")
                log.exception("gateway session failed")
            finally:
                await self._session.close()
            failures = 1 if self._last_success > started else failures + 1
            await asyncio.sleep(self._pause(failures))

    async def _one_session(self) -> None:
        self._upstream_lost = self._data_lost = False
        await self._session.connect()
        closed = asyncio.create_task(self._session.wait_closed())
        try:
            await self._verify()
            await self._watch(closed)
        finally:
            closed.cancel()

    async def _verify(self) -> None:
        """One answered round trip and a full resync; only then is the link good for orders."""
        await self._probe()
        await self._resync()
        self._up()

    async def _watch(self, closed: asyncio.Task[None]) -> None:
        misses = 0
        while True:
            await self._until_next_probe(closed)
            try:
                await self._restore()
                await self._probe()
                misses = 0
            except GatewayUnavailable as error:
                misses += 1
                self._judge(misses, error)

    async def _restore(self) -> None:
        """After 1101 or 1102: what was lost meanwhile is asked for again."""
        if self._verified or self._upstream_lost:
            return
        if self._data_lost:
            await self._session.resubscribe()
            self._data_lost = False
        await self._verify()

    def _judge(self, misses: int, error: GatewayUnavailable) -> None:
        if misses > MISSES_ALLOWED or self._silence() > self._timing.stale_after:
            raise GatewayUnavailable(
                f"no answer for {self._silence():.1f} s: {error}", "unresponsive"
            ) from error
        log.warning("gateway missed a round trip: %s", error)

    async def _until_next_probe(self, closed: asyncio.Task[None]) -> None:
        """Wait for the next probe's turn, a lost socket, or a nudge, whichever is first."""
        nudged = asyncio.create_task(self._nudge.wait())
        due = max(0.0, self._next_probe - _now())
        await asyncio.wait({closed, nudged}, timeout=due, return_when=asyncio.FIRST_COMPLETED)
        nudged.cancel()
        self._nudge.clear()
        if closed.done():
            raise GatewayUnavailable("the gateway closed the connection", "closed")

    async def _probe(self) -> None:
        self._next_probe = _now() + self._timing.probe_every
        try:
            async with asyncio.timeout(self._timing.probe_timeout):
                await self._session.round_trip()
        except TimeoutError:
            waited = self._timing.probe_timeout
            raise GatewayUnavailable(f"no answer within {waited:g} s", "unresponsive") from None
        if not self._upstream_lost:
            self._last_success = _now()
            self._metrics.round_trip_succeeded(time.time())

    def _up(self) -> None:
        if self._upstream_lost:  # the loss was reported while we were verifying
            return
        self._verified, self._problem = True, ""
        self._metrics.link_verified(True)
        log.info("gateway link is verified")

    def _down(self, problem: str, reason: str) -> None:
        was_verified, self._verified, self._problem = self._verified, False, problem
        self._metrics.link_verified(False)
        if was_verified:
            self._metrics.disconnected(reason)
            self._on_lost()

    def _silence(self) -> float:
        return _now() - self._last_success

    def _pause(self, failures: int) -> float:
        ceiling = self._timing.reconnect_min * 2 ** min(failures - 1, 16)
        return random.uniform(0, min(ceiling, self._timing.reconnect_max))  # noqa: S311 not a secret


def _now() -> float:
    """Seconds of the event loop's clock, which is the one that `sleep` and `timeout` follow."""
    return asyncio.get_running_loop().time()
