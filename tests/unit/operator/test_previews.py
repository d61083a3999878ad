"""Previews reach the status from the background: once per generation, without needless writes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.operator.fakes import Bench
from tests.unit.operator.objects import PNL, body, threshold

from threshold_operator.evidence.history import TooMuchError
from threshold_operator.evidence.preview import Outcome, Question, Report
from threshold_operator.evidence.replay import Episode
from threshold_operator.model.threshold import Severity
from threshold_operator.reconcile.previews import NOT_CONFIGURED, preview_status

QUIET = Outcome(None, (), lasts=False)
LOUD = Outcome(0.05, (Episode(0, 90_000),), lasts=True)


def quiet(_: Question, window: int, now: int) -> Report:
    return Report(now - window, now, 15_000, 1, {Severity.CRITICAL: (QUIET, QUIET)})


def loud(_: Question, window: int, now: int) -> Report:
    return Report(now - window, now, 15_000, 1, {Severity.CRITICAL: (LOUD, QUIET)})


WINDOW: dict[str, Any] = {"preview": {"window": "2h"}}
HOUR = 3600.0


async def previewed(bench: Bench, after: float = 0) -> Any:
    """``status.preview`` of the object, when the background and the reconciler had their turns."""
    bench.clock.seconds += after
    await bench.previews.turn()
    await bench.relist()
    return bench.cluster.thresholds["tight"]["status"].get("preview")


@pytest.fixture
async def bench() -> Bench:
    """An object that wants a preview, reconciled for the first time."""
    bench = Bench()
    bench.cluster.create(body(**WINDOW))
    await bench.turn()
    return bench


async def test_a_turn_does_not_wait_for_it(bench: Bench) -> None:
    assert "preview" not in bench.cluster.thresholds["tight"]["status"]
    assert not bench.past.asked


async def test_it_lands_in_the_status(bench: Bench) -> None:
    assert await previewed(bench) == {
        "observedGeneration": 1,
        "window": "2h",
        "time": "2026-11-23T12:00:00Z",
        "step": "15s",
        "coverage": 0.5,
        "tiers": {
            "critical": {
                "new": {
                    "threshold": 0.05,
                    "episodes": 1,
                    "minutesFiring": 1.0,
                    "lastEpisode": {"start": "2026-11-23T11:58:59Z", "end": "2026-11-23T11:59:59Z"},
                },
                "inForce": {"threshold": 0.2, "episodes": 0, "minutesFiring": 0.0},
            }
        },
    }


async def test_a_generation_is_looked_at_once_an_hour(bench: Bench) -> None:
    await previewed(bench)
    for _ in range(10):
        await previewed(bench, after=60)
    assert len(bench.past.asked) == 1
    await previewed(bench, after=HOUR)
    assert len(bench.past.asked) == 2


async def test_an_edit_is_looked_at_at_once(bench: Bench) -> None:
    await previewed(bench)
    bench.cluster.edit("tight", critical={"threshold": 0.04}, **WINDOW)
    await bench.relist()
    assert "preview" not in bench.cluster.thresholds["tight"]["status"], "the old one misleads"
    assert (await previewed(bench))["tiers"]["critical"]["new"]["threshold"] == 0.04


async def test_the_same_an_hour_later_is_no_news_and_more_is(bench: Bench) -> None:
    bench.past.found = quiet
    before = await previewed(bench)
    assert await previewed(bench, after=HOUR) == before
    writes = bench.cluster.writes.total()
    assert await previewed(bench, after=HOUR) == before
    bench.restart()
    await bench.turn()
    assert await previewed(bench) == before
    assert bench.cluster.writes.total() == writes, "nor after a restart"
    bench.past.found = loud
    found = await previewed(bench, after=HOUR)
    assert found["tiers"]["critical"]["new"]["episodes"] == 1
    assert found["time"] > before["time"]


async def test_a_prometheus_that_is_gone_takes_nothing_away(bench: Bench) -> None:
    before = await previewed(bench)
    bench.past.found = None
    assert await previewed(bench, after=HOUR) == before
    bench.restart()
    await bench.turn()
    assert await previewed(bench) == before
    assert len(bench.past.asked) == 3


async def test_why_there_is_none_is_told_and_tried_again(bench: Bench) -> None:
    bench.past.found = None
    said = await previewed(bench)
    assert said["message"] == "Prometheus can't be asked: no answer within 20 s"
    bench.past.found = quiet
    assert "tiers" in await previewed(bench, after=60)


async def test_too_much_is_not_tried_every_minute(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = list[int]()

    async def refuse(*_: Any) -> Report:
        tried.append(1)
        raise TooMuchError("set spec.match")

    monkeypatch.setattr(bench.past, "preview", refuse)
    assert (await previewed(bench))["message"] == "set spec.match"
    await previewed(bench, after=600)
    assert len(tried) == 1


async def test_a_mistake_of_ours_ends_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.past, "preview", None)
    assert "a mistake of the operator's" in (await previewed(bench))["message"]


async def test_without_prometheus_it_says_so() -> None:
    bench = Bench(prometheus=False)
    bench.cluster.create(body(**WINDOW))
    await bench.turn()
    assert (await previewed(bench))["message"] == NOT_CONFIGURED


async def test_an_object_that_no_longer_wants_one_has_none(bench: Bench) -> None:
    assert await previewed(bench)
    bench.cluster.edit("tight", critical={"threshold": 0.05})
    await bench.relist()
    assert await previewed(bench) is None


async def test_it_is_compared_with_the_others_in_force(bench: Bench) -> None:
    bench.cluster.create(body("pnl", PNL, match={"symbol": "TSLA"}, **WINDOW))
    bench.cluster.create(body("all", PNL, critical={"threshold": 0.08}))
    bench.cluster.create(
        body("was", PNL, match={"symbol": "TSLA"}, expiresAt="2026-11-23T11:00:00Z")
    )
    await bench.relist()
    await bench.previews.turn()
    await bench.previews.turn()
    asked = {question.signal: question for question in bench.past.asked}
    pnl = asked['stocks:pnl_move:ratio{namespace="trading",symbol="TSLA"}']
    assert pnl.tiers[Severity.CRITICAL].in_force.threshold == 0.08


async def test_the_background_wakes_when_there_is_something_to_do(bench: Bench) -> None:
    asked = asyncio.Event()

    def found(*question: Any) -> Report:
        asked.set()
        return quiet(*question)

    bench.past.found = found
    work = asyncio.create_task(bench.previews.run())
    async with asyncio.timeout(10):
        await asked.wait()
        asked.clear()
        bench.cluster.edit("tight", critical={"threshold": 0.04}, **WINDOW)
        await bench.relist()
        await asked.wait()
    work.cancel()


def test_what_still_fires_has_no_end() -> None:
    report = Report(0, 90_000, 15_000, 1, {Severity.CRITICAL: (LOUD, QUIET)})
    said = preview_status(threshold(mode="Preview"), report)["tiers"]["critical"]
    assert said["new"]["lastEpisode"] == {"start": "1970-01-01T00:00:00Z"}
    assert said["new"]["minutesFiring"] == 1.5
    assert said["inForce"] == {"episodes": 0, "minutesFiring": 0.0}, "a silent tier has no number"
