"""Other operators, for one that serves all namespaces: it leaves theirs to them.

Two that write the same objects would undo each other's work for ever. One that serves its own
namespace comes first; of two that serve all, the one whose Lease is older.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from threshold_operator.cluster.api import KubeError
from threshold_operator.cluster.lease import (
    EVERYTHING,
    LOOK_SECONDS,
    RELEASE,
    SERVES,
    Watched,
    holder,
)
from threshold_operator.model.body import Body

log = logging.getLogger(__name__)

#: The same for all namespaces.
ALL = "*"


class Cluster(Protocol):
    """What is needed of the Kubernetes API."""

    async def list_leases(self, selector: str) -> list[dict[str, Any]]:
        """Leases of all namespaces, by label selector."""
        ...


class Neighbours:
    """Who else serves what; ``home`` is the namespace of our own Lease."""

    def __init__(
        self, cluster: Cluster, home: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._cluster, self._home, self._clock = cluster, home, clock
        self._watched: dict[str, Watched] = {}
        #: By namespace, or for all: who serves it. None until that was found out.
        self._serving: dict[str, str] | None = None
        self._news = asyncio.Condition()

    async def run(self) -> None:
        """Look again and again, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Look once; where that fails what was known stays."""
        try:
            leases = await self._cluster.list_leases(SERVES)
        except KubeError as error:
            log.warning("can't see which namespaces others serve: %s", error)
            return
        before, self._serving = self._serving or {}, self._served(leases)
        for namespace in self._serving.keys() - before.keys():
            who = self._serving[namespace]
            log.warning("%s: served by %s, so left to it", namespace, who)
        async with self._news:
            self._news.notify_all()

    def _served(self, leases: Sequence[Body]) -> dict[str, str]:
        ours = next((x for x in leases if x["metadata"]["namespace"] == self._home), None)
        found = {}
        for lease in leases:
            namespace = lease["metadata"]["namespace"]
            watched = self._watched.setdefault(namespace, Watched(self._clock))
            if lease is ours or not watched.is_held(lease):
                continue
            served = namespace
            if lease["metadata"]["labels"][SERVES] == EVERYTHING:
                if ours is not None and _age(ours) < _age(lease):
                    continue
                served = ALL
            found[served] = f"{holder(lease)} of {namespace}/{_release(lease)}"
        return found

    async def came(self, namespace: str) -> None:
        """Wait until another operator serves a namespace."""
        async with self._news:
            await self._news.wait_for(lambda: self._elsewhere(namespace) is True)

    async def left(self, namespace: str) -> None:
        """Wait until no other operator serves a namespace, as far as is known."""
        async with self._news:
            await self._news.wait_for(lambda: self._elsewhere(namespace) is False)

    def _elsewhere(self, namespace: str) -> bool | None:
        """None where it isn't known yet."""
        if self._serving is None:
            return None
        return namespace in self._serving or ALL in self._serving


def _age(lease: Body) -> tuple[str, str]:
    return lease["metadata"]["creationTimestamp"], lease["metadata"]["namespace"]


def _release(lease: Body) -> str:
    return str(lease["metadata"]["labels"].get(RELEASE, "?"))
