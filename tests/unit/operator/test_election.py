"""Who leads: one at a time, by each one's own clock, and never beyond what was promised."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping
from typing import Any

import pytest
from tests.unit.operator.fakes import Clock

from threshold_operator.cluster import lease as election
from threshold_operator.cluster.api import KubeError
from threshold_operator.cluster.lease import (
    HOLD_SECONDS,
    LEASE_SECONDS,
    RELEASE,
    Candidate,
    Election,
    LeaseLostError,
)
from threshold_operator.supervision import TaskEndedError


class FakeLeases:
    """One Lease, as the API server keeps it: whoever read an older version can't replace it."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.failure: KubeError | None = None
        self.versions = 0

    async def get_lease(self, name: str) -> dict[str, Any] | None:
        if self.failure is not None:
            raise self.failure
        await asyncio.sleep(0)
        return copy.deepcopy(self.lease)

    async def create_lease(self, lease: Mapping[str, Any]) -> None:
        if self.lease is not None:
            raise KubeError("exists", 409)
        self._keep(lease)

    async def replace_lease(self, lease: Mapping[str, Any]) -> None:
        assert self.lease is not None
        if lease["metadata"].get("resourceVersion") != self.lease["metadata"]["resourceVersion"]:
            raise KubeError("conflict", 409)
        self._keep(lease)

    def _keep(self, lease: Mapping[str, Any]) -> None:
        self.versions += 1
        meta = {**lease["metadata"], "resourceVersion": str(self.versions)}
        self.lease = copy.deepcopy({**lease, "metadata": meta})

    @property
    def spec(self) -> dict[str, Any]:
        assert self.lease is not None
        spec: dict[str, Any] = self.lease["spec"]
        return spec


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def leases() -> FakeLeases:
    return FakeLeases()


@pytest.fixture
def one(leases: FakeLeases, clock: Clock) -> Election:
    return Election(leases, "lease", Candidate("one", {RELEASE: "stocks"}), clock)


@pytest.fixture
def two(leases: FakeLeases, clock: Clock) -> Election:
    return Election(leases, "lease", Candidate("two", {RELEASE: "stocks"}), clock)


async def test_the_first_leads_and_the_second_waits(
    one: Election, two: Election, leases: FakeLeases
) -> None:
    assert [await one.claim(), await two.claim()] == [True, False]
    assert (one.leading, two.leading) == (True, False)
    assert leases.spec["holderIdentity"] == "one"
    assert leases.spec["leaseDurationSeconds"] == LEASE_SECONDS


async def test_of_two_at_the_same_moment_one_leads(one: Election, two: Election) -> None:
    assert sorted(await asyncio.gather(one.claim(), two.claim())) == [False, True]


async def test_while_it_is_renewed_nobody_else_gets_it(
    one: Election, two: Election, clock: Clock, leases: FakeLeases
) -> None:
    await one.claim()
    acquired = leases.spec["acquireTime"]
    for _ in range(10):
        clock.seconds += HOLD_SECONDS - 1
        assert await one.claim()
        assert not await two.claim()
    assert (leases.spec["leaseTransitions"], leases.spec["acquireTime"]) == (1, acquired)


async def test_a_leader_that_cannot_renew_stops_before_the_other_begins(
    one: Election, two: Election, clock: Clock, leases: FakeLeases
) -> None:
    await one.claim()
    await two.claim()
    leases.failure = KubeError("HTTP 500", 500)
    clock.seconds += HOLD_SECONDS
    assert not await one.claim()
    assert not one.leading
    with pytest.raises(LeaseLostError):
        one.permit()
    leases.failure = None
    assert not await two.claim()
    clock.seconds += LEASE_SECONDS - HOLD_SECONDS + 1
    assert await two.claim()
    two.permit()
    assert leases.spec["leaseTransitions"] == 2


async def test_a_failed_renewal_is_no_loss_yet(
    one: Election, clock: Clock, leases: FakeLeases
) -> None:
    await one.claim()
    leases.failure = KubeError("HTTP 500", 500)
    clock.seconds += HOLD_SECONDS - 1
    assert not await one.claim()
    assert one.leading


async def test_a_clock_that_is_wrong_changes_nothing(
    one: Election, two: Election, clock: Clock, leases: FakeLeases
) -> None:
    """Times in the Lease are for people: each measures by its own clock since it saw a change."""
    await one.claim()
    leases.spec["renewTime"] = "1999-12-31T23:59:59.000000Z"
    assert not await two.claim()
    clock.seconds += LEASE_SECONDS - 1
    assert not await two.claim()


async def test_a_leader_that_was_replaced_knows_it_at_the_next_look(
    one: Election, leases: FakeLeases
) -> None:
    await one.claim()
    leases.spec["holderIdentity"] = "two"
    assert not await one.claim()
    assert not one.leading


async def test_what_is_released_can_be_had_at_once(one: Election, two: Election) -> None:
    await one.claim()
    await one.release()
    assert not one.leading
    assert await two.claim()


async def test_a_renewal_that_was_cut_off_and_comes_late_does_not_keep_it(
    one: Election, two: Election, leases: FakeLeases, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one.claim()
    replace, late = leases.replace_lease, [True]

    async def replace_after_the_renewal(lease: Mapping[str, Any]) -> None:
        if late:
            late.clear()
            await replace(copy.deepcopy(leases.lease or {}))
        await replace(lease)

    monkeypatch.setattr(leases, "replace_lease", replace_after_the_renewal)
    await one.release()
    assert await two.claim()


async def test_a_lease_that_ran_out_on_the_way_out_is_released_as_well(
    one: Election, two: Election, clock: Clock
) -> None:
    await one.claim()
    clock.seconds += HOLD_SECONDS
    await one.release()
    assert await two.claim()


async def test_who_follows_releases_nothing(
    one: Election, two: Election, leases: FakeLeases
) -> None:
    await one.claim()
    await two.release()
    assert leases.spec["holderIdentity"] == "one"


async def test_work_begins_with_the_lease_and_ends_with_it(
    one: Election, leases: FakeLeases, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(election, "LOOK_SECONDS", 0.001)
    at_work, ended = asyncio.Event(), asyncio.Event()

    async def act() -> None:
        at_work.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    running = asyncio.create_task(one.run(act))
    async with asyncio.timeout(10):
        await at_work.wait()
        leases.failure = KubeError("HTTP 500", 500)
        clock.seconds += HOLD_SECONDS
        await ended.wait()
        assert not running.done(), "it goes on waiting for the Lease"
    running.cancel()


async def test_a_mistake_in_the_work_ends_everything(one: Election) -> None:
    async def act() -> None:
        raise ZeroDivisionError

    with pytest.raises(TaskEndedError):
        await one.run(act)


async def test_row_i_another_release_is_named_and_waited_for(
    one: Election, leases: FakeLeases, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    other = Election(leases, "lease", Candidate("pod", {RELEASE: "other"}), clock)
    assert [await one.claim(), await other.claim(), await other.claim()] == [True, False, False]
    assert other.rival == "one of the release stocks"
    assert caplog.text.count("one of the release stocks serves this namespace") == 1
    await one.release()
    assert await other.claim()
    assert other.rival == ""
    assert leases.lease is not None
    assert leases.lease["metadata"]["labels"] == {RELEASE: "other"}


async def test_row_i_the_same_release_is_no_rival(one: Election, two: Election) -> None:
    assert [await one.claim(), await two.claim()] == [True, False]
    assert two.rival == ""
