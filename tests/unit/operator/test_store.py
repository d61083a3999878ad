"""Events and lists, late or twice: what is newest is known, and each change is looked at once."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from threshold_operator.cluster.store import Namespaces, Objects, Store


def body(name: str = "a", version: int = 1, uid: str = "u1") -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": uid, "resourceVersion": str(version)}}


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def objects(heard: list[str]) -> Objects:
    return Objects(heard.append)


def test_who_owns_which_field_is_not_kept_but_when_they_wrote_is(objects: Objects) -> None:
    written = {"manager": "m", "time": "2026-01-01T00:00:00Z"}
    seen = body()
    seen["metadata"]["managedFields"] = [{**written, "fieldsV1": {"f:spec": {}}}]
    given = copy.deepcopy(seen)
    objects.put(seen)
    assert objects["a"]["metadata"]["managedFields"] == [written]
    assert seen == given, "what was given is its giver's"


def test_each_version_is_news_once(objects: Objects, heard: list[str]) -> None:
    for version in (1, 1, 2, 2):
        objects.put(body(version=version))
    assert heard == ["a", "a"]


def test_an_older_version_never_replaces_a_newer(objects: Objects, heard: list[str]) -> None:
    objects.put(body(version=10))
    objects.put(body(version=9))
    assert objects["a"] == body(version=10)
    assert heard == ["a"]


def test_our_own_write_is_no_news_nor_is_the_event_that_tells_of_it(
    objects: Objects, heard: list[str]
) -> None:
    assert objects.put(body(version=5), ours=True)
    assert not objects.put(body(version=5))
    assert heard == []


def test_an_answer_to_our_own_write_never_replaces_a_newer_version(objects: Objects) -> None:
    objects.put(body(version=7))
    assert not objects.put(body(version=6), ours=True)
    assert objects["a"] == body(version=7)


def test_an_answer_to_our_own_write_brings_back_nothing_that_is_gone(objects: Objects) -> None:
    objects.put(body(version=5))
    objects.drop(body(version=7))
    objects.retain([], objects.snapshot())  # a list ends while the answer is on its way
    assert not objects.put(body(version=6), ours=True)
    assert "a" not in objects


def test_the_end_of_an_earlier_object_is_not_that_of_its_successor(
    objects: Objects, heard: list[str]
) -> None:
    objects.put(body(version=7, uid="u2"))
    objects.drop(body(version=6, uid="u1"))
    assert "a" in objects
    objects.drop(body(version=8, uid="u2"))
    assert "a" not in objects
    assert heard == ["a", "a"]


def listed(objects: Objects, before: Mapping[str, Any], *bodies: dict[str, Any]) -> int:
    missed = sum(map(objects.put, bodies))
    return missed + objects.retain({each["metadata"]["name"] for each in bodies}, before)


def test_a_list_brings_what_events_missed_and_counts_it(objects: Objects, heard: list[str]) -> None:
    for name in ("same", "changed", "gone"):
        objects.put(body(name))
    heard.clear()
    missed = listed(objects, objects.snapshot(), body("same"), body("changed", 2), body("new"))
    assert sorted(heard) == ["changed", "gone", "new"]
    assert missed == 3
    assert "gone" not in objects


def test_what_went_while_a_list_was_on_its_way_stays_away(objects: Objects) -> None:
    objects.put(body("old"))
    before = objects.snapshot()
    objects.drop(body("old"))
    assert listed(objects, before, body("old")) == 0
    assert "old" not in objects
    objects.put(body("old", 5, uid="another"))
    assert "old" in objects


def test_a_list_doesn_t_undo_what_events_told_while_it_was_on_its_way(objects: Objects) -> None:
    objects.put(body("old"))
    before = objects.snapshot()
    objects.put(body("fresh", 20))
    objects.put(body("old", 21))
    assert listed(objects, before) == 0
    assert "fresh" in objects
    assert "old" in objects


def test_a_rule_makes_its_object_dirty() -> None:
    store = Store()
    store.rules.put(body("threshold-tight"))
    store.thresholds.put(body("other"))
    assert store.changed.is_set()
    assert store.take_dirty() == {"tight", "other"}
    assert store.take_dirty() == set()
    assert not store.changed.is_set()


def test_what_a_rule_remembers_outlives_it_but_not_its_object() -> None:
    store, rule = Store(), body("threshold-tight")
    store.thresholds.put(body("tight"))
    store.rules.put(rule)
    store.rules.drop(rule)
    assert store.last_rule("tight") == rule
    store.thresholds.drop(body("tight"))
    assert store.last_rule("tight") is None


def test_namespaces_share_nothing() -> None:
    namespaces = Namespaces()
    namespaces["a"].thresholds.put(body("tight"))
    namespaces.completed()
    assert list(namespaces) == ["a"]
    assert "tight" not in namespaces["b"].thresholds
    assert namespaces["b"].complete, "there is nothing in it that a list would have told"
    assert namespaces.waiting() == 1
