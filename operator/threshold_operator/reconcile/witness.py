"""One look at Prometheus: every replica is asked at the same time, each in its own words."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from threshold_operator.evidence.access import Access, AccessDeniedError, PrometheusError
from threshold_operator.evidence.observation import Blind, Look, Observation
from threshold_operator.evidence.prometheus import Address, PrometheusReader
from threshold_operator.model.condition import UNAUTHORIZED, UNREACHABLE
from threshold_operator.reconcile.prometheuses import Found


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
