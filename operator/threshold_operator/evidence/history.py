"""Replays an object over Prometheus' past, within bounds that Prometheus doesn't notice.

The recorded signal is read piece by piece, one request at a time, and each piece is replayed before
the next is asked for: memory and load stay the same however long the window.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from threshold_operator.evidence.access import PrometheusError
from threshold_operator.evidence.preview import Question, Report, Stage, milliseconds
from threshold_operator.promql.series import INTERVAL

#: Prometheus answers no more points of one series than these.
POINTS_PER_REQUEST = 11_000
#: About 3 MB of JSON.
SAMPLES_PER_REQUEST = 100_000
#: Beyond these the step becomes a multiple of the rule's interval; a week of 24 instances is below.
SAMPLES_PER_PREVIEW = 3_000_000
MOST_INSTANCES = 200

REQUEST_SECONDS = 20.0
PREVIEW_SECONDS = 300.0

Signal = Mapping[str, Mapping[int, float]]
#: Hears how much of the window is done, from 0 to 1.
Progress = Callable[[float], None]


class TooMuchError(Exception):
    """The question is larger than a preview may be; says how to make it smaller."""


class Source(Protocol):
    """What we need of Prometheus."""

    async def get(self, path: str, params: list[tuple[str, str]]) -> Any:
        """``data`` of the answer."""
        ...


class History:
    """The past of one Prometheus, as rules with this interval (milliseconds) recorded it."""

    def __init__(self, source: Source, interval: int = milliseconds(INTERVAL)) -> None:
        self._source, self._interval = source, interval
        self._one_at_a_time = asyncio.Lock()

    async def preview(
        self, question: Question, window: int, now: int, progress: Progress = lambda _: None
    ) -> Report:
        """Replay the last ``window`` milliseconds before ``now``.

        :raises PrometheusError: no answer, or none within PREVIEW_SECONDS.
        :raises TooMuchError: the signal has too many instances.
        """
        async with self._one_at_a_time:
            try:
                async with asyncio.timeout(PREVIEW_SECONDS):
                    return await self._preview(question, window, now, progress)
            except TimeoutError as error:
                text = f"an answer takes over {REQUEST_SECONDS:g} s, or all {PREVIEW_SECONDS:g} s"
                raise PrometheusError(text) from error
            except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
                text = f"answered in another form than its API's: {error!r}"
                raise PrometheusError(text) from error

    async def _preview(
        self, question: Question, window: int, now: int, progress: Progress
    ) -> Report:
        instances = await self._instances(question.signal, now - window, now)
        end = await self._last_evaluation(question.signal, window, now)
        step = _step(window, self._interval, instances)
        start, stage = end - window, Stage(question.tiers)
        for times in _pieces(start, end, step, instances):
            signal = await self._read(question, times)
            # Not on the event loop: it is arithmetic over up to a hundred thousand samples.
            await asyncio.to_thread(stage.feed, times, signal)
            progress((times[-1] - start) / window)
        return stage.report(start, end, step)

    async def _instances(self, signal: str, start: int, end: int) -> int:
        bounds = [("start", _seconds(start)), ("end", _seconds(end))]
        limit = ("limit", str(MOST_INSTANCES + 1))  # older versions answer with all of them
        found = len(await self._get("series", [("match[]", signal), *bounds, limit]))
        if found > MOST_INSTANCES:
            text = f"{signal} has more than {MOST_INSTANCES} instances in this window"
            raise TooMuchError(f"{text}; set spec.match, or a shorter window")
        return found

    async def _last_evaluation(self, signal: str, window: int, now: int) -> int:
        """All rules of a group bear the same time, an interval after the one before.

        Where the signal has no sample now, an earlier one tells the grid; without any it is no
        matter.
        """
        earlier = f"max_over_time(timestamp({signal})[{window}ms:1h])"
        expr = f"max(timestamp({signal})) or max({earlier})"
        params = [("query", expr), ("time", _seconds(now))]
        result = (await self._get("query", params))["result"]
        last = _milliseconds(result[0]["value"][1]) if result else now
        # An evaluation that is under way has no sample yet.
        since = max(now - self._interval - last, 0)
        return last + since // self._interval * self._interval

    async def _read(self, question: Question, times: range) -> Signal:
        # Shorter than the interval: never the sample of the evaluation before, as where the
        # signal ended a plain selector would go on for 5 minutes.
        expr = f"last_over_time({question.signal}[{self._interval - 1}ms])"
        params = [
            ("query", expr),
            ("start", _seconds(times[0])),
            ("end", _seconds(times[-1])),
            ("step", _seconds(times.step)),
        ]
        result = (await self._get("query_range", params))["result"]
        return {
            series["metric"].get(question.scope, ""): _samples(series["values"])
            for series in result
        }

    async def _get(self, path: str, params: list[tuple[str, str]]) -> Any:
        """Prometheus itself gives up when we do."""
        async with asyncio.timeout(REQUEST_SECONDS):
            return await self._source.get(path, [*params, ("timeout", f"{REQUEST_SECONDS:g}s")])


def _step(window: int, interval: int, instances: int) -> int:
    evaluations = window // interval * instances
    return interval * max(-(-evaluations // SAMPLES_PER_PREVIEW), 1)


def _pieces(start: int, end: int, step: int, instances: int) -> Iterator[range]:
    """Times of evaluations, the last one at ``end``."""
    points = min(SAMPLES_PER_REQUEST // max(instances, 1), POINTS_PER_REQUEST)
    times = range(end - (end - start) // step * step + step, end + 1, step)
    for first in range(0, len(times), points):
        yield times[first : first + points]


def _samples(values: list[tuple[float, str]]) -> dict[int, float]:
    return {_milliseconds(at): float(value) for at, value in values}


def _seconds(moment: int) -> str:
    return f"{moment / 1000:.3f}"


def _milliseconds(seconds: float | str) -> int:
    return round(float(seconds) * 1000)
