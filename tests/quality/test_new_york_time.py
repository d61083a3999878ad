"""The catalogue's wall clock of New York, by a real Prometheus, against the time zone database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from tests.quality.conftest import CHART_FILES, Live

from threshold_operator.model.catalogue import Catalogue
from threshold_operator.model.signal import NAMESPACE_TOKEN

NEW_YORK = ZoneInfo("America/New_York")
(GATEWAY,) = (
    entry
    for entry in Catalogue.load(CHART_FILES / "catalogue.yaml")
    if entry.name == "StocksGatewayConnectionLost"
)
CLOCK, MAINTENANCE = (helper.expr for helper in GATEWAY.helpers)
#: Both rules as one expression, for any moment: no series is needed, and no gateway.
CLOCK_SERIES = f'stocks:new_york_time:seconds{{namespace="{NAMESPACE_TOKEN}"}}'
WINDOW = MAINTENANCE.split("and on")[0].replace(CLOCK_SERIES, f"({CLOCK})")


def points(live: Live, expr: str, start: datetime, step: timedelta, count: int) -> dict[int, float]:
    """Epoch seconds -> value."""
    begin, seconds = int(start.timestamp()), int(step.total_seconds())
    span = {"start": str(begin), "end": str(begin + seconds * (count - 1)), "step": str(seconds)}
    (series,) = live.query(expr, **span)["data"]["result"]
    assert len(series["values"]) == count
    return {int(at): float(value) for at, value in series["values"]}


def wall_clock(at: int) -> datetime:
    return datetime.fromtimestamp(at, NEW_YORK)


@pytest.mark.parametrize("year", range(2024, 2037))
def test_every_day_of_a_year_has_the_right_hour(live: Live, year: int) -> None:
    noon = datetime(year, 1, 1, 12, tzinfo=UTC)
    for at, value in points(live, CLOCK, noon, timedelta(days=1), 365).items():
        assert value - at == offset(at), wall_clock(at)


def offset(at: int) -> float:
    delta = wall_clock(at).utcoffset()
    assert delta is not None
    return delta.total_seconds()


@pytest.mark.parametrize("year", [2026, 2027, 2028])
def test_the_clock_goes_forward_to_the_minute(live: Live, year: int) -> None:
    (switch,) = (day for day in range(8, 15) if datetime(year, 3, day).weekday() == 6)  # noqa: DTZ001
    start = datetime(year, 3, switch, 5, tzinfo=UTC)
    for at, value in points(live, CLOCK, start, timedelta(minutes=1), 300).items():
        assert value - at == offset(at), wall_clock(at)


@pytest.mark.parametrize("year", [2026, 2027, 2028])
def test_the_clock_goes_back_within_the_hour_of_the_switch(live: Live, year: int) -> None:
    """The one hour that is there twice may be either; the gateway is up by then."""
    (switch,) = (day for day in range(1, 8) if datetime(year, 11, day).weekday() == 6)  # noqa: DTZ001
    start = datetime(year, 11, switch, 3, tzinfo=UTC)
    for at, value in points(live, CLOCK, start, timedelta(minutes=1), 420).items():
        assert value - at == offset(at) or wall_clock(at).hour == 1, wall_clock(at)


def under_maintenance(moment: datetime) -> bool:
    minutes, day = moment.hour * 60 + moment.minute, moment.weekday()
    nightly = minutes >= 23 * 60 + 45 or minutes < 45
    weekly = (day == 4 and moment.hour >= 23) or (day == 5 and moment.hour < 3)
    return nightly or weekly


@pytest.mark.parametrize(
    "first",
    [datetime(2026, 3, 6, tzinfo=UTC), datetime(2026, 10, 30, tzinfo=UTC)],
    ids=["into summer", "into winter"],
)
def test_the_gateways_nights_are_left_out_around_both_switches(live: Live, first: datetime) -> None:
    found = points(live, WINDOW, first, timedelta(minutes=5), 4 * 288)
    wrong = [
        wall_clock(at) for at, value in found.items() if value != under_maintenance(wall_clock(at))
    ]
    assert wrong == []
    assert 0 < sum(found.values()) < 4 * 288 / 4
