"""Open and closed as the exchange has published it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from stocks_api.adapters.calendars import ExchangeCalendars
from stocks_api.services.market_session import (
    Calendar,
    CalendarUnavailable,
    MarketSession,
    OpenHours,
)

# The library's own affair with the newest pandas.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Shown:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, tzinfo=UTC)
        self.open: dict[str, bool] = {}
        self.asked = 0

    def market_session(self, calendar: str, is_open: bool) -> None:
        self.open[calendar] = is_open

    def clock(self) -> datetime:
        return self.now


async def is_open(name: str, moment: str) -> bool:
    shown = Shown()
    shown.now = datetime.fromisoformat(moment)
    await MarketSession(name, ExchangeCalendars(), shown, shown.clock).look()
    return shown.open[name]


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        pytest.param("2026-11-23T14:29:59+00:00", False, id="before the opening"),
        pytest.param("2026-11-23T14:30:00+00:00", True, id="at the opening"),
        pytest.param("2026-11-23T20:59:59+00:00", True, id="before the close"),
        pytest.param("2026-11-23T21:00:00+00:00", False, id="at the close"),
        pytest.param("2026-11-26T16:00:00+00:00", False, id="Thanksgiving"),
        pytest.param("2026-11-27T17:59:00+00:00", True, id="the morning of a half day"),
        pytest.param("2026-11-27T18:01:00+00:00", False, id="the afternoon of a half day"),
        pytest.param("2026-11-28T16:00:00+00:00", False, id="a Saturday"),
        pytest.param("2026-03-06T14:00:00+00:00", False, id="an hour later in winter"),
        pytest.param("2026-03-09T14:00:00+00:00", True, id="an hour earlier in summer"),
    ],
)
async def test_new_york(moment: str, expected: bool) -> None:
    assert await is_open("XNYS", moment) is expected


@pytest.mark.parametrize(
    ("name", "moment", "expected"),
    [
        pytest.param("XHKG", "2026-11-23T04:30:00+00:00", False, id="the lunch break of Hong Kong"),
        pytest.param("XHKG", "2026-11-23T05:30:00+00:00", True, id="after it"),
        pytest.param("24/7", "2026-12-25T00:00:00+00:00", True, id="what never closes"),
    ],
)
async def test_elsewhere(name: str, moment: str, expected: bool) -> None:
    assert await is_open(name, moment) is expected


class Scripted:
    """A calendar that answers, or not."""

    def __init__(self, shown: Shown) -> None:
        self.shown = shown
        self.there = True

    def open_hours(self, name: str, since: datetime, until: datetime) -> Sequence[OpenHours]:
        self.shown.asked += 1
        if not self.there:
            raise CalendarUnavailable("no")
        return [OpenHours(since, until)]


async def test_the_schedule_is_worked_out_once_a_day() -> None:
    shown = Shown()
    session = MarketSession("X", Scripted(shown), shown, shown.clock)
    for _ in range(100):
        await session.look()
        shown.now += timedelta(minutes=30)
    assert shown.asked == 3


async def test_nothing_is_shown_while_the_calendar_is_not_known() -> None:
    shown = Shown()
    calendar = Scripted(shown)
    calendar.there = False
    session = MarketSession("X", calendar, shown, shown.clock)
    await session.look()
    await session.look()
    assert (shown.open, shown.asked) == ({}, 1)
    calendar.there = True
    shown.now += timedelta(minutes=6)
    await session.look()
    assert shown.open == {"X": True}


async def test_an_unknown_calendar_is_unavailable() -> None:
    calendar: Calendar = ExchangeCalendars()
    now = datetime(2026, 11, 23, tzinfo=UTC)
    with pytest.raises(CalendarUnavailable, match="NOPE"):
        calendar.open_hours("NOPE", now, now + timedelta(days=1))


async def test_without_a_name_nothing_is_followed() -> None:
    shown = Shown()
    await MarketSession("", Scripted(shown), shown).run()
    assert shown.asked == 0
