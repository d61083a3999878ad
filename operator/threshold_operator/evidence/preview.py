"""What an object would have done: its numbers and those in force, over the recorded signal.

Pure: which signal to ask for, which terms to replay, and what came of it. What lies outside the
signal, such as market hours, is in the signal already: where it has no sample, nothing fires.

Times are Unix milliseconds and durations milliseconds, as Prometheus counts them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from threshold_operator.evidence.replay import Episode, Replay, Terms
from threshold_operator.model.catalogue import Entry
from threshold_operator.model.governors import Governors
from threshold_operator.model.threshold import (
    AlertThreshold,
    Mode,
    Preview,
    Severity,
    Tier,
)
from threshold_operator.model.times import duration
from threshold_operator.promql.rules import pending_for


@dataclass(frozen=True)
class Comparison:
    """One tier of an object beside what holds without the object, where the object would govern.

    ``others`` are the values of the alert's scope label that objects of their own govern.
    """

    new: Terms
    in_force: Terms
    others: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Question:
    """What an object would have done: the signal's selector, its scope label, the tiers."""

    signal: str
    scope: str
    tiers: Mapping[Severity, Comparison]


@dataclass(frozen=True)
class Outcome:
    """What one tier did over the window, all instances together; the last episode may last."""

    threshold: float | None
    episodes: tuple[Episode, ...]
    lasts: bool

    @property
    def firing(self) -> int:
        """Summed over the instances."""
        return sum(episode.end - episode.start for episode in self.episodes)

    @property
    def last(self) -> Episode | None:
        """The one that ended last."""
        return self.episodes[-1] if self.episodes else None


@dataclass(frozen=True)
class Report:
    """``coverage`` is the share of the evaluations at which the signal had a sample, 0 to 1."""

    start: int
    end: int
    step: int
    coverage: float
    tiers: Mapping[Severity, tuple[Outcome, Outcome]]


class Stage:
    """Both terms of each tier over all instances of the signal, fed piece by piece."""

    def __init__(self, tiers: Mapping[Severity, Comparison]) -> None:
        self._tiers = tiers
        self._replays: dict[str, dict[Severity, tuple[Replay, Replay]]] = {}
        self._evaluations = self._covered = 0

    def feed(self, times: Sequence[int], signal: Mapping[str, Mapping[int, float]]) -> None:
        """The next evaluations.

        :param signal: by value of the scope label: the samples by time.
        """
        self._evaluations += len(times)
        self._covered += len(set().union(*signal.values()))
        for instance in signal.keys() - self._replays.keys():
            self._replays[instance] = self._beginning(instance)
        for instance, replays in self._replays.items():
            _evaluate(
                [r for pair in replays.values() for r in pair], times, signal.get(instance, {})
            )

    def report(self, start: int, end: int, step: int) -> Report:
        """What was found over the window that was fed."""
        coverage = self._covered / self._evaluations if self._evaluations else 0.0
        tiers = {severity: self._outcomes(severity, end) for severity in self._tiers}
        return Report(start, end, step, coverage, tiers)

    def _beginning(self, instance: str) -> dict[Severity, tuple[Replay, Replay]]:
        return {
            severity: (Replay(tier.new), Replay(tier.in_force))
            for severity, tier in self._tiers.items()
            if instance not in tier.others
        }

    def _outcomes(self, severity: Severity, end: int) -> tuple[Outcome, Outcome]:
        tier = self._tiers[severity]
        pairs = [replays[severity] for replays in self._replays.values() if severity in replays]
        return (
            _outcome(tier.new, [new for new, _ in pairs], end),
            _outcome(tier.in_force, [in_force for _, in_force in pairs], end),
        )


def window(threshold: AlertThreshold) -> str | None:
    """How far back the object wants to be replayed, such as 7d; None: not at all."""
    wanted = threshold.spec.preview
    if wanted is None and threshold.spec.mode is Mode.PREVIEW:
        wanted = Preview()
    return wanted.window if wanted else None


def in_force(accepted: Iterable[AlertThreshold], now: datetime) -> list[AlertThreshold]:
    """Those whose numbers an alert that notifies reads at ``now``."""
    return [a for a in accepted if a.spec.mode is Mode.ENFORCE and not a.expired(now)]


def question(
    threshold: AlertThreshold, entry: Entry, others: Collection[AlertThreshold]
) -> Question:
    """The object's numbers beside those in force, of ``others`` or else of the catalogue."""
    governors = Governors.of(others)
    return Question(
        signal=_selector(threshold, entry),
        scope=entry.scope or "",
        tiers={
            severity: _comparison(threshold, severity, entry, governors)
            for severity in threshold.spec.tiers
        },
    )


def _selector(threshold: AlertThreshold, entry: Entry) -> str:
    labels = {"namespace": threshold.namespace, **threshold.spec.match}
    # Within double quotes PromQL escapes as JSON does, except that it knows no surrogates.
    matchers = (
        f"{label}={json.dumps(value, ensure_ascii=False)}" for label, value in labels.items()
    )
    return f"{entry.signal.name}{{{','.join(matchers)}}}"


def _comparison(
    threshold: AlertThreshold, severity: Severity, entry: Entry, governors: Governors
) -> Comparison:
    held = governors.governing(entry.name, severity, threshold.scope)
    return Comparison(
        new=terms(entry, severity, threshold.spec.tiers[severity]),
        in_force=terms(entry, severity, held.spec.tiers[severity] if held else None),
        others=frozenset(governors.narrower_values(threshold, severity)),
    )


def terms(entry: Entry, severity: Severity, tier: Tier | None) -> Terms:
    """Those of an object's tier, or of the catalogue; timing that isn't set is the catalogue's."""
    default = entry.tiers[severity]
    numbers = default if tier is None else tier
    keep = numbers.keep_firing_for or default.keep_firing_for or "0s"
    return Terms(
        comparator=entry.comparator,
        threshold=numbers.threshold,
        hold=milliseconds(pending_for(numbers.for_ or default.for_)),
        keep=milliseconds(keep),
        recover=numbers.recover,
    )


def milliseconds(text: str) -> int:
    """A duration of Prometheus."""
    return duration(text) // timedelta(milliseconds=1)


def _evaluate(
    replays: Sequence[Replay], times: Iterable[int], samples: Mapping[int, float]
) -> None:
    for at in times:
        value = samples.get(at)
        for replay in replays:
            replay.evaluate(at, value)


def _outcome(terms: Terms, replays: Sequence[Replay], end: int) -> Outcome:
    episodes = [episode for replay in replays for episode in replay.episodes(end)]
    return Outcome(
        threshold=terms.threshold,
        episodes=tuple(sorted(episodes, key=lambda episode: (episode.end, episode.start))),
        lasts=any(replay.firing for replay in replays),
    )
