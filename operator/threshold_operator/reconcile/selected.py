"""A look at Prometheus and, where a rule is missing there, at the object that selects rules.

Selectors change rarely and belong to somebody else: they are read when they can explain something,
and not again within a while. Without the right to read them nothing is explained, and that is all.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from threshold_operator.cluster.api import KubeError
from threshold_operator.cluster.objects import rule_groups
from threshold_operator.cluster.store import Objects
from threshold_operator.evidence.observation import Observation
from threshold_operator.evidence.selectors import Selection, looks_at_namespaces, selection
from threshold_operator.model.body import Body
from threshold_operator.reconcile.probe import CALM_SECONDS, Witness

log = logging.getLogger(__name__)


class Cluster(Protocol):
    """What we need of the Kubernetes API."""

    async def get_prometheus(self, namespace: str, name: str) -> Body | None:
        """One Prometheus object."""
        ...

    async def get_namespace(self, name: str) -> Body | None:
        """One namespace."""
        ...


class Selected:
    """A witness who also knows what ``prometheus`` (namespace/name) selects.

    ``labels`` are those of each rule among ``rules``, which live in ``namespace``.
    """

    def __init__(
        self,
        witness: Witness,
        cluster: Cluster,
        prometheus: str,
        namespace: str,
        rules: Objects,
        labels: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._witness, self._cluster, self._clock = witness, cluster, clock
        self._where, _, self._name = prometheus.partition("/")
        self._namespace, self._rules, self._labels = namespace, rules, labels
        self._read_at = float("-inf")
        self._known: Selection | None = None

    async def observe(self) -> Observation:
        """One look.

        :raises PrometheusError: Prometheus itself gave no answer.
        """
        seen = await self._witness.observe()
        if not self._lacks(seen):
            return seen
        if self._clock() >= self._read_at + CALM_SECONDS:
            self._known, self._read_at = await self._read(), self._clock()
        return replace(seen, selection=self._known)

    def _lacks(self, seen: Observation) -> bool:
        wanted = (name for rule in self._rules.all() for name in rule_groups(rule))
        unknown = any(name not in seen.groups for name in wanted)
        return unknown or not seen.layers_of(self._namespace)

    async def _read(self) -> Selection | None:
        try:
            prometheus = await self._cluster.get_prometheus(self._where, self._name)
            if prometheus is None:
                return None
            namespace = None
            if looks_at_namespaces(prometheus):
                namespace = await self._cluster.get_namespace(self._namespace)
        except KubeError as error:
            log.warning("can't read what Prometheus selects: %s", error)
            return None
        labels = None if namespace is None else namespace["metadata"].get("labels") or {}
        return selection(prometheus, self._labels, self._namespace, labels)
