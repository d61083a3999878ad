"""Whether the exchange is open, by its published calendar: holidays, half days, daylight saving.

The schedule of the coming weeks is worked out beside the event loop, once a day, and only looked
up here. While it isn't known nothing is shown: neither open nor closed would be true.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

log = logging.getLogger(__name__)

_BEHIND, _AHEAD = timedelta(days=2), timedelta(days=14)
_RENEW = timedelta(days=1)
_LOOK_SECONDS = 5.0  # between two looks at the clock: so late is an edge at most
_RETRY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class OpenHours:
    """From `opens` until before `closes`."""

    opens: datetime
    closes: datetime


class CalendarUnavailable(Exception):  # noqa: N818 as the errors of the domain
    """The calendar can't be worked out; the message says why."""


class Calendar(Protocol):
    """An exchange's calendar."""

    def open_hours(self, name: str, since: datetime, until: datetime) -> Sequence[OpenHours]:
        """When it is open in this time. Takes a while. Raises CalendarUnavailable."""


class SessionMetrics(Protocol):
    """Where the session is shown."""

    def market_session(self, calendar: str, is_open: bool) -> None:
        """The exchange is open now, or not."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class MarketSession:
    """Follows one calendar; an empty name follows none. `run` never returns."""

    def __init__(
        self,
        name: str,
        calendar: Calendar,
        metrics: SessionMetrics,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._name = name
        self._calendar = calendar
        self._metrics = metrics
        self._clock = clock
        self._hours: Sequence[OpenHours] | None = None
        self._renew_at = datetime.min.replace(tzinfo=UTC)

    @property
    def may_be_open(self) -> bool:
        """Whether the exchange is open now, or it is not known that it is closed."""
        return self._hours is None or _within(self._hours, self._clock())

    async def run(self) -> None:
        """Look at the clock, for ever."""
        while self._name:
            await self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Show whether the exchange is open now."""
        now = self._clock()
        if now >= self._renew_at:
            await self._renew(now)
        if self._hours is not None:
            self._metrics.market_session(self._name, _within(self._hours, now))

    async def _renew(self, now: datetime) -> None:
        try:
            self._hours = await asyncio.to_thread(
                self._calendar.open_hours, self._name, now - _BEHIND, now + _AHEAD
            )
            self._renew_at = now + _RENEW
        except CalendarUnavailable as error:
            log.error("market_session_open is not renewed: %s", error)
            self._renew_at = now + _RETRY


def _within(hours: Iterable[OpenHours], now: datetime) -> bool:
    return any(one.opens <= now < one.closes for one in hours)
