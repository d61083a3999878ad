"""Events and lists, late or twice: what is newest is known, and each change is looked at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from threshold_operator.cluster.store import Namespaces, Shelf, Store


def body(name: str = "a", version: int = 1, uid: str = "u1") -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": uid, "resourceVersion": str(version)}}


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def shelf(heard: list[str]) -> Shelf:
    return Shelf(heard.append)


def test_who_owns_which_field_is_not_kept_but_when_they_wrote_is(shelf: Shelf) -> None:
    written = {"manager": "m", "time": "2026-01-01T00:00:00Z"}
    for version, take in enumerate((shelf.put, shelf.keep), 1):
        seen = body(version=version)
        seen["metadata"]["managedFields"] = [{**written, "fieldsV1": {"f:spec": {}}}]
        take(seen)
        assert shelf["a"]["metadata"]["managedFields"] == [written]


def test_each_version_is_news_once(shelf: Shelf, heard: list[str]) -> None:
    for version in (1, 1, 2, 2):
        shelf.put(body(version=version))
    assert heard == ["a", "a"]


def test_an_older_version_never_replaces_a_newer(shelf: Shelf, heard: list[str]) -> None:
    shelf.put(body(version=10))
    shelf.put(body(version=9))
    assert shelf["a"] == body(version=10)
    assert heard == ["a"]


def test_our_own_write_is_no_news_nor_is_the_event_that_tells_of_it(
    shelf: Shelf, heard: list[str]
) -> None:
    shelf.keep(body(version=5))
    shelf.put(body(version=5))
    assert heard == []


def test_the_end_of_an_earlier_object_is_not_that_of_its_successor(
    shelf: Shelf, heard: list[str]
) -> None:
    shelf.put(body(version=7, uid="u2"))
    shelf.drop(body(version=6, uid="u1"))
    assert "a" in shelf
    shelf.drop(body(version=8, uid="u2"))
    assert "a" not in shelf
    assert heard == ["a", "a"]


def listed(shelf: Shelf, before: Mapping[str, Any], *bodies: dict[str, Any]) -> int:
    missed = sum(map(shelf.put, bodies))
    return missed + shelf.retain({each["metadata"]["name"] for each in bodies}, before)


def test_a_list_brings_what_events_missed_and_counts_it(shelf: Shelf, heard: list[str]) -> None:
    for name in ("same", "changed", "gone"):
        shelf.put(body(name))
    heard.clear()
    missed = listed(shelf, shelf.snapshot(), body("same"), body("changed", 2), body("new"))
    assert sorted(heard) == ["changed", "gone", "new"]
    assert missed == 3
    assert "gone" not in shelf


def test_what_went_while_a_list_was_on_its_way_stays_away(shelf: Shelf) -> None:
    shelf.put(body("old"))
    before = shelf.snapshot()
    shelf.drop(body("old"))
    assert listed(shelf, before, body("old")) == 0
    assert "old" not in shelf
    shelf.put(body("old", 5, uid="another"))
    assert "old" in shelf


def test_a_list_doesn_t_undo_what_events_told_while_it_was_on_its_way(shelf: Shelf) -> None:
    shelf.put(body("old"))
    before = shelf.snapshot()
    shelf.put(body("fresh", 20))
    shelf.put(body("old", 21))
    assert listed(shelf, before) == 0
    assert "fresh" in shelf
    assert "old" in shelf


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
