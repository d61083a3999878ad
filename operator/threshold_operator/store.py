"""What exists, as we last saw it, and the names whose state has to be looked at again.

Fed by watch events and by lists. Both may come late or twice, so an older version of an object
never replaces a newer one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from threshold_operator.manifest import PREFIX

Body = Mapping[str, Any]


class Shelf:
    """The objects of one kind by name; ``on_change`` hears the name of each that is news."""

    def __init__(self, on_change: Callable[[str], None]) -> None:
        self._bodies: dict[str, Body] = {}
        self._on_change = on_change

    def __getitem__(self, name: str) -> Body:
        return self._bodies[name]

    def __contains__(self, name: str) -> bool:
        return name in self._bodies

    def __len__(self) -> int:
        return len(self._bodies)

    def get(self, name: str) -> Body | None:
        """The object, if it exists."""
        return self._bodies.get(name)

    def all(self) -> Iterable[Body]:
        """All objects, in no order."""
        return self._bodies.values()

    def put(self, body: Body) -> None:
        """Somebody, we ourselves included, saw this version of an object."""
        name = body["metadata"]["name"]
        if _is_news(self._bodies.get(name), body):
            self._bodies[name] = body
            self._on_change(name)

    def keep(self, body: Body) -> None:
        """What the API server answered to our own write: no news to anybody."""
        self._bodies[body["metadata"]["name"]] = body

    def drop(self, body: Body) -> None:
        """The object is gone; a later one of the same name stays."""
        name, uid = body["metadata"]["name"], body["metadata"].get("uid")
        if name in self._bodies and self._bodies[name]["metadata"].get("uid") == uid:
            del self._bodies[name]
            self._on_change(name)

    def replace(self, bodies: Iterable[Body], before: Mapping[str, Body]) -> int:
        """Take over a list; ``before`` is what was known when it was asked for.

        :return: how many changes no event had told of.
        """
        listed = {body["metadata"]["name"]: body for body in bodies}
        missed = [body for name, body in listed.items() if _is_news(self._bodies.get(name), body)]
        gone = [body for name, body in before.items() if name not in listed]
        gone = [body for body in gone if self._bodies.get(body["metadata"]["name"]) is body]
        for body in missed:
            self.put(body)
        for body in gone:
            self.drop(body)
        return len(missed) + len(gone)

    def snapshot(self) -> Mapping[str, Body]:
        """What is known now."""
        return dict(self._bodies)


class Store:
    """AlertThresholds and their rules.

    ``complete`` once everything was listed; ``watchable`` once the cluster knows both kinds.
    """

    def __init__(self) -> None:
        self.thresholds = Shelf(self.touch)
        self.rules = Shelf(lambda name: self.touch(name.removeprefix(PREFIX)))
        self.changed = asyncio.Event()
        self.complete = False
        self.watchable = asyncio.Event()
        self._dirty: set[str] = set()

    def touch(self, name: str) -> None:
        """Look at this object again."""
        self._dirty.add(name)
        self.changed.set()

    def take_dirty(self) -> set[str]:
        """The names to look at; from here on they count as looked at."""
        dirty, self._dirty = self._dirty, set()
        self.changed.clear()
        return dirty


def _is_news(known: Body | None, seen: Body) -> bool:
    return known is None or _version(seen) > _version(known)


def _version(body: Body) -> int:
    """Comparable within a kind: promised since Kubernetes 1.35, and a number of etcd's before."""
    return int(body["metadata"].get("resourceVersion") or 0)
