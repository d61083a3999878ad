"""What selects rules is read where a rule is missing, by those who may, and not all the time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.operator.fakes import Clock, FakePrometheus
from tests.unit.operator.objects import NAMESPACE
from tests.unit.operator.test_effect import TSLA, perfect

from threshold_operator.cluster.api import KubeError
from threshold_operator.cluster.store import Objects
from threshold_operator.evidence.observation import Observation
from threshold_operator.evidence.selectors import Selection
from threshold_operator.reconcile.selected import Selected

WHERE = "monitoring/main"
GROUP = {"name": "stocks.threshold.tsla", "rules": [{"record": "a", "expr": "vector(1)"}]}
SEEN = perfect(TSLA)
MISSING = replace(SEEN, groups={})


class Cluster:
    """A Prometheus object and a namespace; without ``may``, those who ask are refused."""

    def __init__(self) -> None:
        self.spec: dict[str, Any] | None = {"ruleSelector": {"matchLabels": {"release": "other"}}}
        self.labels: dict[str, str] | None = {}
        self.may = True
        self.asked: list[str] = []

    async def get_prometheus(self, namespace: str, name: str) -> dict[str, Any] | None:
        self._note(f"{namespace}/{name}")
        meta = {"namespace": namespace, "name": name}
        return None if self.spec is None else {"metadata": meta, "spec": self.spec}

    async def get_namespace(self, name: str) -> dict[str, Any] | None:
        self._note(name)
        return None if self.labels is None else {"metadata": {"name": name, "labels": self.labels}}

    def _note(self, what: str) -> None:
        self.asked.append(what)
        if not self.may:
            raise KubeError("forbidden", 403)


class World:
    """One rule of ours, and all who are asked about it."""

    def __init__(self) -> None:
        self.objects, self.prometheus, self.clock = Cluster(), FakePrometheus(), Clock()
        self.rules, self.version = Objects(lambda _: None), 0
        self.keep(GROUP)
        labels = {"release": "stack"}
        who = (self.prometheus, self.objects, WHERE, NAMESPACE)
        self.selected = Selected(*who, self.rules, labels, clock=self.clock)

    def keep(self, group: dict[str, Any]) -> None:
        self.version += 1
        meta = {"name": "threshold-tsla", "resourceVersion": str(self.version)}
        self.rules.put({"metadata": meta, "spec": {"groups": [group]}})

    async def look(self, seen: Observation) -> Selection | None:
        self.prometheus.seen = seen
        found = await self.selected.observe()
        assert replace(found, selection=None) == seen
        return found.selection


@pytest.fixture
def world() -> World:
    return World()


async def test_where_nothing_is_missing_nothing_is_asked(world: World) -> None:
    assert await world.look(SEEN) is None
    assert world.objects.asked == []


CHART = replace(SEEN, layers=())
OTHERS = replace(SEEN, layers=tuple(replace(r, expr="vector(1)") for r in SEEN.layers))
LACKING = {"a rule of ours": MISSING, "the chart's": CHART, "the chart's here": OTHERS}


@pytest.mark.parametrize("seen", LACKING.values(), ids=LACKING)
async def test_where_prometheus_lacks_it_names_what_is_wanted(
    world: World, seen: Observation
) -> None:
    found = await world.look(seen)
    assert found is not None
    assert found.prometheus == WHERE
    assert found.refusal.startswith("its ruleSelector wants release=other")
    assert world.objects.asked == [WHERE], "all namespaces are alike to this one"


async def test_a_rule_that_says_nothing_is_missed_by_nobody(world: World) -> None:
    world.keep({**GROUP, "rules": []})
    assert await world.look(MISSING) is None


async def test_it_is_read_again_only_after_a_while(world: World) -> None:
    before = await world.look(MISSING)
    world.objects.spec = {"ruleSelector": {}, "ruleNamespaceSelector": {}}
    world.clock.seconds += 29
    assert await world.look(MISSING) == before
    world.clock.seconds += 1
    assert await world.look(MISSING) == Selection(WHERE)
    assert world.objects.asked == [WHERE, WHERE]


async def test_the_namespace_is_read_where_its_labels_decide(world: World) -> None:
    by_label = {"matchLabels": {"team": "desk"}}
    world.objects.spec = {"ruleSelector": {}, "ruleNamespaceSelector": by_label}
    found = await world.look(MISSING)
    assert found is not None
    assert "wants team=desk" in found.refusal
    assert world.objects.asked == [WHERE, NAMESPACE]


async def test_without_the_right_or_the_object_nothing_is_known(world: World) -> None:
    world.objects.may = False
    assert await world.look(MISSING) is None
    world.objects.may, world.objects.spec = True, None
    world.clock.seconds += 30
    assert await world.look(MISSING) is None
    assert len(world.objects.asked) == 2
