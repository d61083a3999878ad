"""Which of several operators acts: the one that holds the Lease.

As client-go's leader election does it: a Lease names its holder, who renews it; whoever sees it
unrenewed for longer than it promises takes it. Each measures that by its own clock alone. A holder
that can't renew stops well before anybody else may begin.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from threshold_operator.cluster.api import CONFLICT, LEASE_API, KubeError
from threshold_operator.supervision import supervise

log = logging.getLogger(__name__)

#: How long the others leave an unrenewed Lease alone.
LEASE_SECONDS = 15
#: How long its holder goes on without a renewal: a write under way then still has time to end.
HOLD_SECONDS = 10.0
#: Between two looks at the Lease, of its holder and of the others.
LOOK_SECONDS = 2.0
#: Tries to release the Lease; after that it runs out.
RELEASES = 3


#: Labels of a Lease: the release of its holder, and what the holder serves.
RELEASE = "app.kubernetes.io/instance"
SERVES = "stocks-fastapi.io/serves"
EVERYTHING, ITS_NAMESPACE = "all-namespaces", "its-namespace"


class LeaseLostError(KubeError):
    """We may not write: somebody else may hold the Lease."""


class Leases(Protocol):
    """What we need of the Kubernetes API."""

    async def get_lease(self, name: str) -> dict[str, Any] | None:
        """The Lease, if it exists."""
        ...

    async def create_lease(self, lease: Mapping[str, Any]) -> None:
        """Fails where it exists by now."""
        ...

    async def replace_lease(self, lease: Mapping[str, Any]) -> None:
        """Fails where somebody else was faster."""
        ...


@dataclass(frozen=True)
class Candidate:
    """Who wants to act: ``identity`` is its own alone, ``labels`` those of its release."""

    identity: str
    labels: Mapping[str, str] = field(default_factory=dict)


class Watched:
    """How long a Lease of somebody else's has been unrenewed, by our own clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        #: The Lease when it last changed, and when that was.
        self._seen: tuple[Any, float] = (None, clock())

    def is_held(self, lease: Mapping[str, Any]) -> bool:
        """Whether its holder still counts as alive."""
        spec = lease.get("spec") or {}
        if spec != self._seen[0]:
            self._seen = spec, self._clock()
        promised: float = spec.get("leaseDurationSeconds", LEASE_SECONDS)
        return bool(holder(lease)) and self._clock() - self._seen[1] <= promised


class Election:
    """The choice of one among the candidates. ``clock`` counts seconds, and never jumps."""

    def __init__(
        self,
        leases: Leases,
        name: str,
        candidate: Candidate,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leases, self._name, self._candidate = leases, name, candidate
        self._identity = candidate.identity
        self._clock, self._other = clock, Watched(clock)
        self._held_until = float("-inf")
        #: Who holds the Lease and belongs to another release; empty where there is none.
        self.rival = ""

    @property
    def leading(self) -> bool:
        """Whether we are the one who acts."""
        return self._clock() < self._held_until

    def permit(self) -> None:
        """To be called before each write.

        :raises LeaseLostError: if we don't lead (any more).
        """
        if not self.leading:
            raise LeaseLostError(f"the Lease {self._name} isn't held by {self._identity}")

    async def run(self, act: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """For ever: wait for the Lease, and ``act`` while it is held. Released when cancelled."""
        try:
            while True:
                if await self.claim():
                    log.info("%s leads", self._identity)
                    await supervise({"the leader": act()}, until=self._until_lost())
                    log.warning("%s no longer leads", self._identity)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await self.release()

    async def claim(self) -> bool:
        """Take the Lease if it is free, renew it if it is ours; returns whether it was done."""
        asked = self._clock()
        try:
            held = await self._take()
        except KubeError as error:
            log.warning("can't claim the Lease: %s", error)
            return False
        self._held_until = asked + HOLD_SECONDS if held else float("-inf")
        return held

    def _note_rival(self, lease: Mapping[str, Any] | None) -> None:
        """No other release may serve the same: it would write the same objects, otherwise."""
        rival, ours = "", self._candidate.labels.get(RELEASE)
        if lease is not None:
            theirs = (lease["metadata"].get("labels") or {}).get(RELEASE)
            if theirs and ours and theirs != ours:
                rival = f"{holder(lease)} of the release {theirs}"
        if rival and rival != self.rival:
            log.warning("%s serves this namespace; %s does nothing", rival, self._identity)
        self.rival = rival

    async def release(self) -> None:
        """Let somebody else have it at once."""
        self._held_until = float("-inf")
        for _ in range(RELEASES):
            if await self._give_back():
                return

    async def _give_back(self) -> bool:
        """Returns whether there is nothing more to try."""
        try:
            lease = await self._leases.get_lease(self._name)
            if lease is not None and holder(lease) == self._identity:
                await self._leases.replace_lease(self._edited(lease, "", seconds=1))
        except KubeError as error:
            log.warning("can't release the Lease: %s", error)
            # A renewal of ours that was cut off may have been carried out in between.
            return error.status != CONFLICT
        return True

    async def _until_lost(self) -> None:
        while self.leading:
            try:
                async with asyncio.timeout(self._held_until - self._clock()):
                    await asyncio.sleep(LOOK_SECONDS)
                    await self.claim()
            except TimeoutError:
                log.warning("the Lease could not be renewed for %s s", HOLD_SECONDS)

    async def _take(self) -> bool:
        lease = await self._leases.get_lease(self._name)
        free = lease is None or self._is_free(lease)
        self._note_rival(None if free else lease)
        if lease is None:
            fresh = {"apiVersion": LEASE_API, "kind": "Lease", "metadata": {"name": self._name}}
            await self._leases.create_lease(self._edited(fresh, self._identity, LEASE_SECONDS))
        elif free:
            await self._leases.replace_lease(self._edited(lease, self._identity, LEASE_SECONDS))
        else:
            return False
        return True

    def _is_free(self, lease: Mapping[str, Any]) -> bool:
        return holder(lease) == self._identity or not self._other.is_held(lease)

    def _edited(self, lease: Mapping[str, Any], whose: str, seconds: int) -> dict[str, Any]:
        before = lease.get("spec") or {}
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        spec = {**before, "holderIdentity": whose, "renewTime": now}
        spec["leaseDurationSeconds"] = seconds
        if whose != before.get("holderIdentity"):
            spec["acquireTime"] = now
            spec["leaseTransitions"] = before.get("leaseTransitions", 0) + bool(whose)
        meta = lease["metadata"]
        labels = {**(meta.get("labels") or {}), **self._candidate.labels}
        return {**lease, "metadata": {**meta, "labels": labels}, "spec": spec}


def holder(lease: Mapping[str, Any]) -> str:
    """Who holds it; empty where it was released."""
    return (lease.get("spec") or {}).get("holderIdentity") or ""
