"""A watch's bytes: objects go to the stores, and kopf reads how far the watch is."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from threshold_operator.cluster.store import Store
from threshold_operator.reconcile.watching import Feed, Stream
from threshold_operator.telemetry import Health


class Content:
    """A response's content, in the pieces that it came in."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece


def event(kind: str, version: int, name: str = "threshold-a", **more: Any) -> bytes:
    meta = {"name": name, "namespace": "desk", "uid": f"u/{name}", "resourceVersion": str(version)}
    return json.dumps({"type": kind, "object": {"metadata": meta} | more}).encode() + b"\n"


def error(code: int) -> bytes:
    return json.dumps({"type": "ERROR", "object": {"code": code}}).encode() + b"\n"


@pytest.fixture
def store() -> Store:
    return Store()


async def read(store: Store, *pieces: bytes) -> list[dict[str, Any]]:
    """What kopf reads."""
    feed = Feed("group", "v1", "rules", lambda _: store.rules, "threshold-")
    stream = Stream(cast(Any, Content(*pieces)), feed, Health())
    text = b"".join([piece async for piece in stream.iter_chunked(1)])
    return [json.loads(line) for line in text.splitlines()]


def versions(heard: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(each["type"], each["object"]["metadata"]["resourceVersion"]) for each in heard]


async def test_kopf_hears_no_more_than_how_far_the_watch_is(store: Store) -> None:
    heard = await read(store, event("ADDED", 1) + event("MODIFIED", 2), event("ADDED", 3, "other"))
    assert versions(heard) == [("BOOKMARK", "2"), ("BOOKMARK", "3")]
    assert store.rules["threshold-a"]["metadata"]["resourceVersion"] == "2"
    assert "other" not in store.rules, "what isn't ours isn't kept"
    assert store.take_dirty() == {"a"}


async def test_an_object_in_many_pieces_is_one(store: Store) -> None:
    line = event("ADDED", 1, spec={"text": "ü" * 1000})
    pieces = [line[at : at + 7] for at in range(0, len(line), 7)]
    assert versions(await read(store, *pieces)) == [("BOOKMARK", "1")]
    assert store.rules["threshold-a"]["spec"]["text"] == "ü" * 1000


async def test_what_is_deleted_goes_and_a_later_one_of_its_name_stays(store: Store) -> None:
    await read(store, event("ADDED", 1) + event("DELETED", 2))
    assert "threshold-a" not in store.rules
    later = event("ADDED", 3).replace(b"u/", b"v/")
    await read(store, later + event("DELETED", 2))
    assert "threshold-a" in store.rules


async def test_a_bookmark_changes_nothing_and_is_passed_on(store: Store) -> None:
    assert versions(await read(store, event("BOOKMARK", 9))) == [("BOOKMARK", "9")]
    assert not store.take_dirty()


async def test_of_errors_kopf_hears_only_the_one_that_it_knows(store: Store) -> None:
    heard = await read(store, event("ADDED", 1) + error(410) + event("ADDED", 2))
    assert [each["type"] for each in heard] == ["BOOKMARK", "ERROR"]
    assert heard[1]["object"]["code"] == 410
    heard = await read(store, event("ADDED", 3) + error(500), event("ADDED", 4))
    assert versions(heard) == [("BOOKMARK", "3")], "the watch ends, and is opened anew"
    assert store.rules["threshold-a"]["metadata"]["resourceVersion"] == "3"
