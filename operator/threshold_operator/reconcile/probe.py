"""When to look at Prometheus, and what was seen last."""

from __future__ import annotations

import logging
from typing import Protocol

from threshold_operator.evidence.observation import Blind, Observation
from threshold_operator.evidence.prometheus import PrometheusError
from threshold_operator.model.condition import NOT_CONFIGURED, UNREACHABLE

log = logging.getLogger(__name__)

#: While a number is on its way people wait for it; otherwise Prometheus is asked rarely.
EAGER_SECONDS = 2.0
CALM_SECONDS = 30.0


class Witness(Protocol):
    """What we need of Prometheus."""

    async def observe(self) -> Observation:
        """One look."""
        ...


class Probe:
    """Looks often while something is awaited, and ever less often while nobody answers."""

    def __init__(self, witness: Witness | None, started: float) -> None:
        self._witness = witness
        self._failures = 0
        self._looked_at = float("-inf")
        self._answered_at = started if witness is not None else float("-inf")
        self.seen: Observation | Blind = Blind(UNREACHABLE, "not asked yet")
        if witness is None:
            text = "operator.prometheusUrl is empty, so nobody can say what is in force"
            self.seen = Blind(NOT_CONFIGURED, text)

    def due(self, *, eager: bool) -> float:
        """The monotonic time of the next look."""
        if self._witness is None:
            return float("inf")
        pause = EAGER_SECONDS if eager else CALM_SECONDS
        return self._looked_at + max(pause, min(2.0**self._failures, CALM_SECONDS))

    def lost_for(self, now: float) -> float:
        """Seconds without an answer; a new operator counts from its start."""
        return now - self._answered_at

    async def look(self, now: float) -> None:
        """Ask; what went wrong becomes what was seen."""
        if self._witness is None:
            return
        try:
            self.seen = await self._witness.observe()
            self._failures, self._answered_at = 0, now
        except PrometheusError as error:
            self._failures += 1
            self.seen = Blind(UNREACHABLE, f"Prometheus can't be asked: {error}")
            log.warning("%s", self.seen.message)
        self._looked_at = now
