"""One look at every replica of Prometheus, when to look, and what was seen last."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol

from threshold_operator.evidence.access import Access, AccessDeniedError, PrometheusError
from threshold_operator.evidence.observation import Blind, Look, Observation
from threshold_operator.evidence.prometheus import Address, PrometheusReader
from threshold_operator.model.condition import NOT_CONFIGURED, UNAUTHORIZED, UNREACHABLE
from threshold_operator.reconcile.prometheuses import Found

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


class Replicas(Protocol):
    """Knows which replicas there are."""

    async def find(self, namespace: str) -> Found:
        """What there is to ask about the rules of one namespace."""
        ...


class EveryReplica:
    """Asks all replicas about one namespace."""

    def __init__(
        self, replicas: Replicas, access: Access, namespace: str, alerts: Iterable[str]
    ) -> None:
        self._replicas, self._access = replicas, access
        self._namespace, self._alerts = namespace, tuple(alerts)

    async def look(self) -> Look:
        """Ask each once; one that can't be asked is Blind."""
        found = await self._replicas.find(self._namespace)
        answers = await asyncio.gather(*map(self._ask, found.addresses))
        replicas: dict[str, Observation | Blind] = {
            address.name: seen for address, seen in zip(found.addresses, answers, strict=True)
        }
        for name in found.missing:
            replicas[name] = Blind(UNREACHABLE, "this pod of Prometheus doesn't run")
        if not replicas:
            return Look.blind(UNREACHABLE, "no pod of Prometheus runs")
        return Look(replicas, found.selection, found.caveat)

    async def _ask(self, address: Address) -> Observation | Blind:
        reader = PrometheusReader(self._access, address, self._namespace, self._alerts)
        try:
            return await reader.observe()
        except AccessDeniedError as error:
            return Blind(UNAUTHORIZED, f"Prometheus can't be asked: {error}")
        except PrometheusError as error:
            return Blind(UNREACHABLE, f"Prometheus can't be asked: {error}")
