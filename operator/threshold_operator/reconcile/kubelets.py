"""Hurries the rules to Prometheus: an annotation of its pods makes their kubelets sync them now.

By itself a kubelet looks at a pod's ConfigMaps about once a minute; after a change of the pod it
looks at once. The annotation is written through the status subresource of the pod.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Protocol

from threshold_operator.cluster.api import KubeError
from threshold_operator.model.times import rfc3339

log = logging.getLogger(__name__)

ANNOTATION = "stocks-fastapi.io/rules-awaited"
#: Between two annotations of one pod.
PAUSE_SECONDS = 2.0
#: Where the annotation is refused it is tried again after this.
REFUSED_SECONDS = 300.0


class Cluster(Protocol):
    """What is needed of the Kubernetes API."""

    async def touch_pod(self, namespace: str, name: str, annotation: str, value: str) -> None:
        """Set an annotation of a pod."""
        ...


class Kubelets:
    """Those of the pods in ``namespace``. ``clock`` counts seconds and never jumps."""

    def __init__(
        self, cluster: Cluster, namespace: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._cluster, self._namespace, self._clock = cluster, namespace, clock
        self._due: dict[str, float] = {}

    async def hurry(self, pods: Iterable[str]) -> None:
        """Let these pods' ConfigMaps be synced; one that was touched just now is left alone."""
        now = self._clock()
        self._due = {pod: due for pod, due in self._due.items() if due > now}
        for pod in set(pods) - self._due.keys():
            self._due[pod] = now + await self._touch(pod)

    async def _touch(self, pod: str) -> float:
        """Seconds until the next time."""
        now = rfc3339(datetime.now(UTC))
        try:
            await self._cluster.touch_pod(self._namespace, pod, ANNOTATION, now)
        except KubeError as error:
            log.warning("can't hurry the rules to %s, the kubelet takes its time: %s", pod, error)
            return REFUSED_SECONDS
        return PAUSE_SECONDS
