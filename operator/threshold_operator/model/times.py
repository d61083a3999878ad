"""Durations as Prometheus writes them, and times as Kubernetes does."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

#: As Prometheus writes them, without milliseconds and years, which no alert needs.
#: The schema in the CRD has the same pattern, so it is one that RE2 reads as well.
DURATION = "".join(f"([0-9]{{1,7}}{unit})?" for unit in "wdhms")
_UNITS = ("weeks", "days", "hours", "minutes", "seconds")


def duration(text: str) -> timedelta:
    """Read a duration of Prometheus: ``90s``, ``1h30m``.

    :raises ValueError: it is none.
    """
    found = re.fullmatch(DURATION, text)
    if not (text and found):
        raise ValueError("must be a duration such as 30s, 5m or 1h30m (units w, d, h, m, s)")
    parts = zip(_UNITS, found.groups(), strict=True)
    return timedelta(**{unit: int(part[:-1]) for unit, part in parts if part})


#: Longer, and an alert comes, or goes, when everybody has forgotten what it was about.
LONGEST_TIMING = timedelta(days=7)
SHORTEST_WINDOW, LONGEST_WINDOW = timedelta(hours=1), timedelta(days=30)


def _is_timing(text: str) -> str:
    if duration(text) > LONGEST_TIMING:
        raise ValueError("must be at most 7d")
    return text


def _is_window(text: str) -> str:
    if not SHORTEST_WINDOW <= duration(text) <= LONGEST_WINDOW:
        raise ValueError("must lie between 1h and 30d")
    return text


Timing = Annotated[str, AfterValidator(_is_timing)]
Window = Annotated[str, AfterValidator(_is_window)]


#: RFC 3339, and no other shape of ISO 8601; in a year that every reader of it has.
#: The schema in the CRD has the same pattern.
TIME = (
    "(19[7-9][0-9]|2[0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    "T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?"
    "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
)


def _as_time(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(TIME, value):
        return value
    raise ValueError("must be a time such as 2026-12-24T21:00:00Z (RFC 3339, year 1970 to 2999)")


#: Not strict: in JSON and YAML a time is a string.
Moment = Annotated[
    AwareDatetime,
    Field(strict=False),
    BeforeValidator(_as_time),
    AfterValidator(lambda moment: moment.astimezone(UTC)),
]


def parse_time(text: str | None) -> datetime:
    """Files carry no creation time: they count as the oldest."""
    return datetime.fromisoformat(text) if text else datetime.min.replace(tzinfo=UTC)


def rfc3339(moment: datetime) -> str:
    """A time as Kubernetes writes it, in UTC and whole seconds."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def at_milliseconds(moment: int) -> str:
    """The same for a time of Prometheus."""
    return rfc3339(datetime.fromtimestamp(moment / 1000, UTC))
