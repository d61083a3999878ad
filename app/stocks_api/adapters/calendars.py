"""Exchange calendars of the library exchange_calendars.

It brings pandas along, which takes a second to import: so it is imported where it is used, beside
the event loop.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from importlib import import_module
from typing import Any

from stocks_api.services.market_session import CalendarUnavailable, OpenHours


class ExchangeCalendars:
    """Calendars by their MIC: XNYS is New York; `24/7` never closes."""

    def open_hours(self, name: str, since: datetime, until: datetime) -> Sequence[OpenHours]:
        """When it is open in this time. Raises CalendarUnavailable."""
        try:
            library = import_module("exchange_calendars")
            calendar = library.get_calendar(name, start=since.date(), end=until.date())
            rows = list(calendar.schedule.itertuples())
        except Exception as error:
            # Whatever the library and its data do, trading goes on without it.
            what = f"calendar {name}: {type(error).__name__}: {error}"
            raise CalendarUnavailable(what) from error
        return [hours for row in rows for hours in _hours(row)]


def _hours(row: Any) -> Iterator[OpenHours]:
    """One session; an exchange with a lunch break opens twice."""
    opens, closes = row.open.to_pydatetime(), row.close.to_pydatetime()
    if row.break_start == row.break_start:  # else it is "not a time", which equals nothing
        yield OpenHours(opens, row.break_start.to_pydatetime())
        opens = row.break_end.to_pydatetime()
    yield OpenHours(opens, closes)
