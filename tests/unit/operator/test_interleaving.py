"""News arrives between the commit of our own write and our handling of its answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.operator.fakes import Bench
from tests.unit.operator.objects import body

Meanwhile = Callable[[], None]


@pytest.fixture
async def bench() -> Bench:
    bench = Bench(prometheus=False)
    await bench.turn()
    return bench


def after(bench: Bench, write: str, meanwhile: Meanwhile, monkeypatch: pytest.MonkeyPatch) -> None:
    """``meanwhile`` happens once, when the API server has committed the write."""
    apply, left = getattr(bench.cluster, write), [meanwhile]

    async def committed(*given: Any) -> Any:
        answer = await apply(*given)
        while left:
            left.pop()()
        return answer

    monkeypatch.setattr(bench.cluster, write, committed)


WRITES = {"its rule": "apply_rule", "its status": "apply_status"}
each_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


@each_write
async def test_an_edit_that_arrives_before_the_answer_to_our_write_of(
    bench: Bench, write: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def edited() -> None:
        bench.cluster.edit("a", critical={"threshold": 0.06})
        bench.store.thresholds.put(bench.cluster.thresholds["a"])

    after(bench, write, edited, monkeypatch)
    bench.cluster.create(body("a", critical={"threshold": 0.05}))
    bench.store.thresholds.put(bench.cluster.thresholds["a"])
    await bench.turn()
    await bench.turn()  # not a minute later: no list helps
    assert bench.cluster.exprs("a") == ["vector(0.06)"]
    assert bench.cluster.thresholds["a"]["status"]["observedGeneration"] == 2
    assert bench.store.thresholds["a"]["metadata"]["generation"] == 2


@each_write
async def test_a_delete_that_arrives_before_the_answer_to_our_write_of(
    bench: Bench, write: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next object with the same claim takes over at once."""

    def deleted() -> None:
        bench.store.thresholds.drop(bench.cluster.thresholds["a"])
        if write == "apply_rule":  # its status then is refused by the API server, too
            del bench.cluster.thresholds["a"]

    after(bench, write, deleted, monkeypatch)
    bench.cluster.create(body("a", critical={"threshold": 0.05}))
    bench.cluster.create(body("b", critical={"threshold": 0.06}))
    for name in ("a", "b"):
        bench.store.thresholds.put(bench.cluster.thresholds[name])
    await bench.turn()
    await bench.turn()
    assert "a" not in bench.store.thresholds
    assert bench.cluster.exprs("b") == ["vector(0.06)"]


async def test_a_hand_edit_of_a_rule_that_arrives_before_the_answer_to_our_write_of_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def edited() -> None:
        rule = bench.cluster.edit_rule("threshold-a", labels={})
        bench.store.rules.put(rule)

    after(bench, "apply_rule", edited, monkeypatch)
    bench.cluster.create(body("a", critical={"threshold": 0.05}))
    bench.store.thresholds.put(bench.cluster.thresholds["a"])
    await bench.turn()
    await bench.turn()
    assert bench.cluster.rules["threshold-a"]["metadata"]["labels"], "restored"
