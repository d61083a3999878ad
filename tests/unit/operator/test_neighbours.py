"""Row i: an operator of all namespaces leaves those to others that they serve themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from tests.unit.operator.fakes import Clock

from threshold_operator.cluster.api import KubeError
from threshold_operator.cluster.lease import EVERYTHING, ITS_NAMESPACE, LEASE_SECONDS, SERVES
from threshold_operator.reconcile.neighbours import Neighbours


class Cluster:
    """Leases by namespace."""

    def __init__(self) -> None:
        self.leases: dict[str, dict[str, Any]] = {}
        self.failure: KubeError | None = None

    def hold(
        self, namespace: str, serves: str = ITS_NAMESPACE, holder: str = "pod", made: str = "1"
    ) -> None:
        labels = {SERVES: serves, "app.kubernetes.io/instance": "release"}
        self.leases[namespace] = {
            "metadata": {"namespace": namespace, "labels": labels, "creationTimestamp": made},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": LEASE_SECONDS},
        }

    async def list_leases(self, selector: str) -> list[dict[str, Any]]:
        assert selector == SERVES
        if self.failure:
            raise self.failure
        return list(self.leases.values())


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def neighbours(cluster: Cluster, clock: Clock) -> Neighbours:
    cluster.hold("home", EVERYTHING, "we", made="5")
    return Neighbours(cluster, "home", clock)


async def happens(wait: Awaitable[None]) -> bool:
    """Whether it needn't be waited for."""
    try:
        await asyncio.wait_for(wait, 0.01)
    except TimeoutError:
        return False
    return True


async def test_until_the_first_look_nothing_is_known(neighbours: Neighbours) -> None:
    assert not await happens(neighbours.left("desk"))
    assert not await happens(neighbours.came("desk"))
    await neighbours.look()
    assert await happens(neighbours.left("desk"))


async def test_a_namespace_is_left_to_its_own_operator_and_taken_back(
    neighbours: Neighbours, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    await neighbours.look()
    came = asyncio.create_task(neighbours.came("desk"))
    cluster.hold("desk", holder="stocks-operator-1")
    await neighbours.look()
    await neighbours.look()
    assert await happens(came)
    assert not await happens(neighbours.left("desk"))
    assert await happens(neighbours.left("elsewhere"))
    assert caplog.text.count("desk: served by stocks-operator-1 of desk/release") == 1
    cluster.hold("desk", holder="")
    await neighbours.look()
    assert await happens(neighbours.left("desk"))


async def test_a_holder_that_renews_no_longer_is_gone(
    neighbours: Neighbours, cluster: Cluster, clock: Clock
) -> None:
    cluster.hold("desk")
    await neighbours.look()
    assert await happens(neighbours.came("desk"))
    clock.seconds += LEASE_SECONDS + 1
    await neighbours.look()
    assert await happens(neighbours.left("desk"))


@pytest.mark.parametrize(("made", "theirs"), [("4", True), ("6", False)], ids=["older", "newer"])
async def test_of_two_for_all_namespaces_the_older_serves(
    neighbours: Neighbours, cluster: Cluster, made: str, theirs: bool
) -> None:
    cluster.hold("other", EVERYTHING, made=made)
    await neighbours.look()
    assert await happens(neighbours.came("desk")) is theirs


async def test_where_it_cant_be_seen_what_was_known_stays(
    neighbours: Neighbours, cluster: Cluster
) -> None:
    cluster.hold("desk")
    await neighbours.look()
    cluster.failure = KubeError("no answer")
    await neighbours.look()
    assert await happens(neighbours.came("desk"))
