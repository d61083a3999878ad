"""Which questions a preview asks of Prometheus, and how large they may be."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.operator.objects import CATALOGUE, PNL, threshold

from threshold_operator.evidence import history
from threshold_operator.evidence.access import PrometheusError
from threshold_operator.evidence.history import History, TooMuchError
from threshold_operator.evidence.preview import Report, milliseconds, question
from threshold_operator.model.threshold import Severity
from threshold_operator.promql.series import INTERVAL

NOW = 1_800_000_000_000
#: When the rules were last evaluated: 4 s ago, off the round numbers.
LAST = NOW - 4_321
STEP = milliseconds(INTERVAL)

ASKED = question(threshold("tsla", PNL, critical={"threshold": 0.03}), CATALOGUE[PNL], [])


class Recorded:
    """A Prometheus that recorded 0.04 for each instance at every evaluation."""

    def __init__(self, instances: int = 1) -> None:
        self.instances = [f"S{number}" for number in range(instances)]
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.under_way = self.most_under_way = 0

    async def get(self, path: str, params: list[tuple[str, str]]) -> Any:
        self.asked.append((path, dict(params)))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        return self.answer(path, dict(params))

    def answer(self, path: str, params: dict[str, str]) -> Any:
        if path == "series":
            return [{"symbol": name} for name in self.instances]
        if path == "query":
            return {"result": [{"metric": {}, "value": [NOW / 1000, f"{LAST / 1000}"]}]}
        return {"result": [self.series(name, params) for name in self.instances]}

    def series(self, name: str, params: dict[str, str]) -> dict[str, Any]:
        start, end, step = (float(params[key]) for key in ("start", "end", "step"))
        times = [start + n * step for n in range(round((end - start) / step) + 1)]
        return {"metric": {"symbol": name}, "values": [[at, "0.04"] for at in times]}

    @property
    def pieces(self) -> list[dict[str, str]]:
        return [params for path, params in self.asked if path == "query_range"]


async def ask(recorded: Recorded, window: str = "1h", **bounds: Any) -> Report:
    return await History(recorded).preview(ASKED, milliseconds(window), NOW, **bounds)


async def test_the_grid_is_that_of_the_rules_evaluations() -> None:
    recorded = Recorded()
    report = await ask(recorded)
    new, in_force = report.tiers[Severity.CRITICAL]
    assert (report.start, report.end, report.step) == (LAST - 3_600_000, LAST, STEP)
    assert (report.coverage, len(new.episodes), len(in_force.episodes)) == (1, 1, 0)
    assert new.last
    assert new.last.start == report.start + STEP + 30_000, "its for has passed"
    (piece,) = recorded.pieces
    assert piece["query"] == 'last_over_time(stocks:pnl_move:ratio{namespace="trading"}[4999ms])'
    assert piece["start"] == f"{(report.start + STEP) / 1000:.3f}"


async def test_a_signal_that_is_absent_now_tells_the_grid_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    yesterday = LAST - 86_400_000
    value = {"metric": {}, "value": [NOW / 1000, f"{yesterday / 1000}"]}
    recorded = Recorded()
    answer = recorded.answer
    monkeypatch.setattr(
        recorded,
        "answer",
        lambda path, asked: {"result": [value]} if path == "query" else answer(path, asked),
    )
    assert (await ask(recorded)).end == LAST - STEP, "the last that has surely ended"


async def test_a_week_is_exact_in_several_requests() -> None:
    recorded, done = Recorded(), list[float]()
    report = await ask(recorded, "7d", progress=done.append)
    assert (report.step, report.coverage, len(recorded.pieces)) == (STEP, 1, 11)
    assert len(report.tiers[Severity.CRITICAL][0].episodes) == 1, "no seam between the pieces"
    assert done == sorted(done)
    assert done[-1] == 1


@pytest.mark.parametrize("instances", [1, 30, history.MOST_INSTANCES])
async def test_no_request_is_for_more_than_prometheus_notices(instances: int) -> None:
    recorded = Recorded(instances)
    report = await ask(recorded, "5h")
    for piece in recorded.pieces:
        points = (float(piece["end"]) - float(piece["start"])) / float(piece["step"]) + 1
        assert points <= history.POINTS_PER_REQUEST
        assert points * instances <= history.SAMPLES_PER_REQUEST
        assert piece["timeout"] == "20s"
    assert report.coverage == 1


async def test_what_would_be_too_many_samples_is_replayed_in_larger_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history, "SAMPLES_PER_PREVIEW", 3000)
    recorded = Recorded(10)
    report = await ask(recorded)
    assert report.step == 3 * STEP
    query = recorded.pieces[0]["query"]
    assert query.endswith(f"[{STEP - 1}ms])"), "samples as they were evaluated"
    assert report.end == LAST


async def test_too_many_instances_are_refused_with_the_way_out() -> None:
    recorded = Recorded(history.MOST_INSTANCES + 1)
    with pytest.raises(TooMuchError, match=r"more than 200 instances .* set spec\.match"):
        await ask(recorded)
    assert not recorded.pieces


async def test_one_request_at_a_time() -> None:
    recorded = Recorded()
    past = History(recorded)
    previews = (past.preview(ASKED, milliseconds("7d"), NOW) for _ in range(3))
    await asyncio.gather(*previews)
    assert recorded.most_under_way == 1


EMPTY: dict[str, Any] = {"result": []}


async def test_a_signal_that_was_never_recorded_has_no_coverage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded = Recorded(0)
    monkeypatch.setattr(recorded, "answer", lambda path, _: [] if path == "series" else EMPTY)
    report = await ask(recorded)
    assert (report.coverage, report.end) == (0, NOW)


@pytest.mark.parametrize("answer", [None, {}, {"result": [{"metric": {}}]}, {"result": 7}])
async def test_an_answer_in_another_form_is_an_error(
    monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    recorded = Recorded()
    monkeypatch.setattr(recorded, "answer", lambda *_: answer)
    with pytest.raises(PrometheusError, match="another form"):
        await ask(recorded)


async def test_a_slow_prometheus_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        async def get(self, path: str, params: list[tuple[str, str]]) -> Any:
            await asyncio.Event().wait()

    monkeypatch.setattr(history, "REQUEST_SECONDS", 0.01)
    with pytest.raises(PrometheusError, match=r"takes over 0\.01 s"):
        await History(Slow()).preview(ASKED, milliseconds("1h"), NOW)
