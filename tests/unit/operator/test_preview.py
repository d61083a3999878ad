"""What is replayed for an object, and what is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.operator.objects import CATALOGUE, LATENCY, NAMESPACE, PNL, RATE, threshold

from threshold_operator.evidence.preview import Comparison, Stage, question, window
from threshold_operator.evidence.replay import Episode, Replay, Terms
from threshold_operator.model.threshold import Comparator, Severity

ABOVE, BELOW = Comparator.ABOVE, Comparator.BELOW
CRITICAL, WARNING = Severity.CRITICAL, Severity.WARNING
STEP = 15_000

Values = Sequence[float | None]


def episodes(terms: Terms, values: Values) -> list[tuple[int, int]]:
    """In evaluations instead of milliseconds."""
    replay = Replay(terms)
    for number, value in enumerate(values):
        replay.evaluate(number * STEP, value)
    found = replay.episodes(until=len(values) * STEP)
    return [(e.start // STEP, e.end // STEP) for e in found]


WALKS: dict[str, tuple[Terms, Values, list[tuple[int, int]]]] = {
    "fires at once without for": (Terms(ABOVE, 5), [1, 6, 6, 1], [(1, 3)]),
    "the limit itself is not beyond it": (Terms(ABOVE, 5), [5, 5], []),
    "below": (Terms(BELOW, 5), [5, 4, 6], [(1, 2)]),
    "waits for the whole for": (Terms(ABOVE, 5, hold=30_000), [6, 6, 6, 1], [(2, 3)]),
    "a for between two evaluations waits for the next": (
        Terms(ABOVE, 5, hold=16_000),
        [6, 6, 6, 1],
        [(2, 3)],
    ),
    "one quiet evaluation begins the for anew": (
        Terms(ABOVE, 5, hold=30_000),
        [6, 6, 1, 6, 6, 6],
        [(5, 6)],
    ),
    "an absent signal ends it": (Terms(ABOVE, 5), [6, None, 6], [(0, 1), (2, 3)]),
    "keeps firing": (Terms(ABOVE, 5, keep=30_000), [6, 1, 1, 1], [(0, 3)]),
    "keeps firing through an absence": (Terms(ABOVE, 5, keep=30_000), [6, None, 6, 6], [(0, 4)]),
    "what is pending isn't kept": (Terms(ABOVE, 5, hold=STEP, keep=60_000), [6, 1, 6, 1], []),
    "fires until it is below recover": (Terms(ABOVE, 5, recover=3), [6, 4, 4, 3, 4], [(0, 3)]),
    "between recover and the limit nothing begins": (Terms(ABOVE, 5, recover=3), [4, 4], []),
    "a silenced tier": (Terms(ABOVE, None), [1e9], []),
    "NaN is no number": (Terms(ABOVE, 5), [float("nan")], []),
}


@pytest.mark.parametrize(("terms", "values", "expected"), WALKS.values(), ids=WALKS)
def test_an_alert(terms: Terms, values: Values, expected: list[tuple[int, int]]) -> None:
    assert episodes(terms, values) == expected


@given(
    values=st.lists(st.none() | st.integers(0, 10).map(float), max_size=60),
    hold=st.sampled_from([0, 1, 15_000, 20_000, 60_000]),
)
def test_without_keeping_and_recovery_it_fires_after_an_unbroken_hold(
    values: Values, hold: int
) -> None:
    """Against the definition, instead of the state that Prometheus keeps."""
    beyond = [value is not None and value > 5 for value in values]
    held = -(-hold // STEP)  # evaluations that must have been beyond before
    firing = [n >= held and all(beyond[n - held : n + 1]) for n in range(len(values))]
    found = episodes(Terms(ABOVE, 5, hold=hold), values)
    assert firing == [any(start <= n < end for start, end in found) for n in range(len(values))]


TIMES = range(STEP, 9 * STEP, STEP)
SIGNAL = {
    "TSLA": dict(zip(TIMES, [1.0, 6.0, 6.0, 1.0, 1.0, 8.0, 8.0, 8.0], strict=True)),
    "AAPL": dict.fromkeys(TIMES[2:4], 9.0),
}
BOTH = {CRITICAL: Comparison(Terms(ABOVE, 5), Terms(ABOVE, 7))}


@pytest.mark.parametrize(("last", "lasts"), [(8.0, True), (1.0, False)], ids=["on", "over"])
def test_a_report_says_whether_its_last_episode_goes_on(last: float, lasts: bool) -> None:
    stage = Stage({CRITICAL: Comparison(Terms(ABOVE, 5), Terms(ABOVE, 5))})
    stage.feed(TIMES[:3], {"TSLA": dict(zip(TIMES, [1.0, 8.0, last], strict=False))})
    new, _ = stage.report(0, TIMES[2], STEP).tiers[CRITICAL]
    assert new.lasts is lasts


def test_a_report_counts_over_all_instances() -> None:
    stage = Stage(BOTH)
    stage.feed(TIMES, SIGNAL)
    report = stage.report(0, TIMES[-1], STEP)
    new, in_force = report.tiers[CRITICAL]
    assert (new.threshold, len(new.episodes), new.firing, new.lasts) == (5, 3, 6 * STEP, True)
    assert (in_force.threshold, len(in_force.episodes), in_force.firing) == (7, 2, 4 * STEP)
    assert new.last == in_force.last == Episode(6 * STEP, TIMES[-1])
    assert (report.start, report.end, report.step, report.coverage) == (0, TIMES[-1], STEP, 1)


@given(cuts=st.sets(st.integers(0, len(TIMES))))
def test_it_makes_no_difference_in_how_many_pieces_the_signal_comes(cuts: set[int]) -> None:
    stage = Stage(BOTH)
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), len(TIMES)], strict=True):
        times = TIMES[first:last]
        pieces = {k: {at: v for at, v in s.items() if at in times} for k, s in SIGNAL.items()}
        stage.feed(times, {name: piece for name, piece in pieces.items() if piece})
    whole = Stage(BOTH)
    whole.feed(TIMES, SIGNAL)
    assert stage.report(0, TIMES[-1], STEP) == whole.report(0, TIMES[-1], STEP)


def test_coverage_is_the_share_of_evaluations_with_a_sample() -> None:
    stage = Stage(BOTH)
    stage.feed(TIMES, {"AAPL": SIGNAL["AAPL"]})
    assert stage.report(0, TIMES[-1], STEP).coverage == 0.25


def test_nothing_recorded_is_no_coverage() -> None:
    assert Stage(BOTH).report(0, 1, STEP).coverage == 0


def test_instances_of_other_objects_are_left_out() -> None:
    stage = Stage({CRITICAL: Comparison(Terms(ABOVE, 5), Terms(ABOVE, 7), frozenset({"TSLA"}))})
    stage.feed(TIMES, SIGNAL)
    assert stage.report(0, TIMES[-1], STEP).tiers[CRITICAL][0].episodes == (
        Episode(3 * STEP, 5 * STEP),
    )


DEFAULTS = (Terms(ABOVE, 0.02, hold=30_000), Terms(ABOVE, 0.05, hold=30_000))


def compared(*in_force: dict[str, Any], **spec: Any) -> dict[Severity, Comparison]:
    others = [threshold(f"other-{n}", PNL, **other) for n, other in enumerate(in_force)]
    asked = question(threshold("tsla", PNL, **spec), CATALOGUE[PNL], others)
    return dict(asked.tiers)


def test_an_object_is_compared_with_the_catalogue() -> None:
    tier = {"threshold": 0.03, "for": "1m", "keepFiringFor": "5m", "recover": 0.02}
    assert compared(warning={"enabled": False}, critical=tier) == {
        WARNING: Comparison(Terms(ABOVE, None, hold=30_000), DEFAULTS[0]),
        CRITICAL: Comparison(Terms(ABOVE, 0.03, 60_000, 300_000, 0.02), DEFAULTS[1]),
    }


def test_timing_that_an_object_does_not_set_is_the_catalogues() -> None:
    asked = question(threshold("mine", RATE, critical={"threshold": 0.3}), CATALOGUE[RATE], [])
    assert asked.tiers[CRITICAL].new == Terms(ABOVE, 0.3, hold=30_000, keep=60_000)


NUMBER = {"threshold": 0.03}
TSLA, AAPL = {"symbol": "TSLA"}, {"symbol": "AAPL"}
RIVALS: dict[str, tuple[dict[str, Any], list[dict[str, Any]], float | None]] = {
    "one of the same scope": (
        TSLA,
        [{"match": TSLA, "critical": {"threshold": 0.07}}, {"critical": {"threshold": 0.08}}],
        0.07,
    ),
    "one of the namespace": (TSLA, [{"critical": {"threshold": 0.08}}], 0.08),
    "one that silences": (TSLA, [{"critical": {"enabled": False}}], None),
    "another scope's is no rival": (TSLA, [{"match": AAPL, "critical": NUMBER}], 0.05),
    "another tier's is no rival": (TSLA, [{"match": TSLA, "warning": NUMBER}], 0.05),
    "a scope's is no rival of the namespace's": ({}, [{"match": AAPL, "critical": NUMBER}], 0.05),
}


@pytest.mark.parametrize(("match", "in_force", "expected"), RIVALS.values(), ids=RIVALS)
def test_in_force_is_what_holds_without_the_object(
    match: dict[str, Any], in_force: list[dict[str, Any]], expected: float | None
) -> None:
    found = compared(*in_force, match=match, critical=NUMBER)
    assert found[CRITICAL].in_force.threshold == expected


def test_a_namespaces_object_leaves_out_the_scopes_of_others_tier_by_tier() -> None:
    found = compared({"match": AAPL, "critical": NUMBER}, warning=NUMBER, critical=NUMBER)
    assert found[CRITICAL].others == {"AAPL"}
    assert not found[WARNING].others


def test_other_alerts_objects_are_nothing_to_it() -> None:
    other = threshold("latency", LATENCY, critical={"threshold": 2.0})
    asked = question(threshold("tsla", PNL, critical=NUMBER), CATALOGUE[PNL], [other])
    assert asked.tiers[CRITICAL].in_force == DEFAULTS[1]


def test_the_selector_holds_whatever_a_label_holds() -> None:
    asked = question(threshold("odd", PNL, match={"symbol": 'a"}\n\\😀'}), CATALOGUE[PNL], [])
    selector = f'stocks:pnl_move:ratio{{namespace="{NAMESPACE}",symbol="a\\"}}\\n\\\\😀"}}'
    assert (asked.signal, asked.scope) == (selector, "symbol")


WINDOWS: dict[str, tuple[dict[str, Any], str | None]] = {
    "none": ({}, None),
    "asked for": ({"preview": {"window": "2h"}}, "2h"),
    "the mode's own": ({"mode": "Preview"}, "7d"),
    "both": ({"mode": "Preview", "preview": {"window": "1d"}}, "1d"),
}


@pytest.mark.parametrize(("spec", "expected"), WINDOWS.values(), ids=WINDOWS)
def test_how_far_back(spec: dict[str, Any], expected: str | None) -> None:
    assert window(threshold("tsla", PNL, **spec)) == expected
