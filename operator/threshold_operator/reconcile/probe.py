"""When to look at Prometheus, and what was seen last."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Protocol

from threshold_operator.evidence.observation import Blind, Look
from threshold_operator.model.condition import NOT_CONFIGURED, UNREACHABLE

log = logging.getLogger(__name__)

#: While a number is on its way people wait for it; otherwise Prometheus is asked rarely.
EAGER_SECONDS = 2.0
CALM_SECONDS = 30.0


class Witness(Protocol):
    """What the probe needs of Prometheus."""

    async def look(self) -> Look:
        """One look at every replica; one that can't be asked is Blind."""
        ...


class Hurry(Protocol):
    """What brings rules to Prometheus' pods sooner."""

    async def hurry(self, pods: Iterable[str]) -> None:
        """Bring them to these pods now."""
        ...


class Probe:
    """Looks often while something is awaited, and ever less often while no replica answers."""

    def __init__(
        self, witness: Witness | None, started: float, kubelets: Hurry | None = None
    ) -> None:
        self._witness, self._kubelets = witness, kubelets
        self._failures = 0
        self._looked_at = float("-inf")
        self._answered_at = started if witness is not None else float("-inf")
        self.seen = Look.blind(UNREACHABLE, "not asked yet")
        if witness is None:
            text = "operator.prometheusUrl is empty, so the number in force can't be asked for"
            self.seen = Look.blind(NOT_CONFIGURED, text)

    def due(self, *, eager: bool) -> float:
        """The monotonic time of the next look."""
        if self._witness is None:
            return float("inf")
        pause = EAGER_SECONDS if eager else CALM_SECONDS
        return self._looked_at + max(pause, min(2.0**self._failures, CALM_SECONDS))

    def lost_for(self, now: float) -> float:
        """Seconds without an answer; a new operator counts from its start."""
        return now - self._answered_at

    async def hurry(self, replicas: Iterable[str]) -> None:
        """Bring the rules to replicas that lag, where that is possible."""
        if self._kubelets is not None:
            await self._kubelets.hurry(replicas)

    async def look(self, now: float) -> None:
        """Ask every replica once."""
        if self._witness is None:
            return
        self.seen = await self._witness.look()
        if self.seen.answered:
            self._failures, self._answered_at = 0, now
        else:
            self._failures += 1
        self._looked_at = now
        for name, seen in self.seen.replicas.items():
            if isinstance(seen, Blind):
                log.warning("%s: %s", name, seen.message)
