"""Pods of Prometheus are touched while something waits, and not more often than needed."""

from __future__ import annotations

import pytest
from tests.unit.operator.fakes import Clock

from threshold_operator.cluster.api import KubeError
from threshold_operator.reconcile.kubelets import ANNOTATION, Kubelets


class Pods:
    def __init__(self) -> None:
        self.touched: list[str] = []
        self.failure: KubeError | None = None

    async def touch_pod(self, namespace: str, name: str, annotation: str, value: str) -> None:
        assert (namespace, annotation) == ("monitoring", ANNOTATION)
        assert value.endswith("Z")
        self.touched.append(name)
        if self.failure:
            raise self.failure


@pytest.fixture
def pods() -> Pods:
    return Pods()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kubelets(pods: Pods, clock: Clock) -> Kubelets:
    return Kubelets(pods, "monitoring", clock)


async def test_each_pod_is_touched_at_most_once_in_two_seconds(
    kubelets: Kubelets, pods: Pods, clock: Clock
) -> None:
    await kubelets.hurry(["a", "b"])
    await kubelets.hurry(["a", "c"])
    assert sorted(pods.touched) == ["a", "b", "c"]
    clock.seconds += 2
    await kubelets.hurry(["a"])
    assert pods.touched[3:] == ["a"]


async def test_where_it_is_refused_it_is_not_tried_all_the_time(
    kubelets: Kubelets, pods: Pods, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    pods.failure = KubeError("forbidden", 403)
    await kubelets.hurry(["a"])
    clock.seconds += 299
    await kubelets.hurry(["a"])
    assert pods.touched == ["a"]
    assert "can't hurry the rules to a" in caplog.text
    clock.seconds += 1
    await kubelets.hurry(["a"])
    assert pods.touched == ["a", "a"]
