"""Rule evaluation, replayed: which episodes one instance of an alert goes through.

Pure: samples in, episodes out. A replay goes through the evaluations one by one and keeps the
state that Prometheus keeps (``AlertingRule.Eval`` in its rules/alerting.go), so that its answer is
the one Prometheus would have given.

Times are Unix milliseconds and durations milliseconds, as Prometheus counts them.
"""

from __future__ import annotations

from dataclasses import dataclass

from threshold_operator.model.threshold import Comparator


@dataclass(frozen=True)
class Terms:
    """On which one tier of an alert fires; without a threshold it never does.

    ``hold`` is its ``for``, ``keep`` its ``keep_firing_for``. While it fires, ``recover`` takes the
    threshold's place if that is nearer to the quiet side.
    """

    comparator: Comparator
    threshold: float | None
    hold: int = 0
    keep: int = 0
    recover: float | None = None


@dataclass(frozen=True)
class Episode:
    """Firing from the evaluation at ``start`` to the one at ``end``, which no longer did."""

    start: int
    end: int


class Replay:
    """One instance of an alert, from one evaluation to the next."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._ended: list[Episode] = []
        self._active_since: int | None = None
        self._firing_since: int | None = None
        #: Since when it fires for ``keep`` alone.
        self._quiet_since: int | None = None

    def evaluate(self, at: int, value: float | None) -> None:
        """The evaluation at ``at``; ``value`` is None where the signal has no sample."""
        if self._holds(value):
            self._quiet_since = None
            if self._active_since is None:
                self._active_since = at
        elif not self._is_kept(at):
            self._resolve(at)
        if self._active_since is not None and self._firing_since is None:
            self._fire_after_hold(at, self._active_since)

    def episodes(self, until: int) -> list[Episode]:
        """All so far; one that lasts ends at ``until``."""
        if self._firing_since is None:
            return self._ended
        return [*self._ended, Episode(self._firing_since, until)]

    @property
    def firing(self) -> bool:
        """After the last evaluation."""
        return self._firing_since is not None

    def _holds(self, value: float | None) -> bool:
        """Whether the expression has a result. It reads ALERTS as the last evaluation left it."""
        terms = self._terms
        if value is None or terms.threshold is None:
            return False
        if terms.comparator.beyond(value, terms.threshold):
            return True
        return (
            self._firing_since is not None
            and terms.recover is not None
            and terms.comparator.beyond(value, terms.recover)
        )

    def _is_kept(self, at: int) -> bool:
        if self._firing_since is None:
            return False
        if self._quiet_since is None:
            self._quiet_since = at
        return at - self._quiet_since < self._terms.keep

    def _resolve(self, at: int) -> None:
        if self._firing_since is not None:
            self._ended.append(Episode(self._firing_since, at))
        self._active_since = self._firing_since = self._quiet_since = None

    def _fire_after_hold(self, at: int, active_since: int) -> None:
        if at - active_since >= self._terms.hold:
            self._firing_since = at
