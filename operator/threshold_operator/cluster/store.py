"""What exists, as we last saw it, and the names whose state has to be looked at again.

Watch events, lists and the answers to our own writes all come in by :meth:`Objects.put`. Each may
come late or twice, so an older version of an object never replaces a newer one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from threshold_operator.cluster.objects import PREFIX, remembered, remembered_in_status, rule_name
from threshold_operator.model.body import Body
from threshold_operator.model.catalogue import Catalogue
from threshold_operator.model.threshold import AlertThreshold


class Objects:
    """The objects of one kind by name, each in the newest version that was seen.

    ``on_change`` hears the name of each that is news, ``on_drop`` before that what has gone.
    """

    def __init__(
        self, on_change: Callable[[str], None], on_drop: Callable[[Body], None] = lambda _: None
    ) -> None:
        self._bodies: dict[str, Body] = {}
        #: The uids of objects that went since the last list ended, and in the interval before: a
        #: list or an answer that is on its way may still show them.
        self._gone: set[str] = set()
        self._gone_before: set[str] = set()
        self._on_change, self._on_drop = on_change, on_drop

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

    def put(self, body: Body, *, ours: bool = False) -> bool:
        """Keep what a watch, a list or an answer to our own write shows, if it is newer.

        :param ours: the answer to our own write: nothing has to be looked at again for it.
        :return: whether it was newer than what was known.
        """
        name, uid = body["metadata"]["name"], body["metadata"].get("uid")
        if uid in self._gone or uid in self._gone_before:
            return False
        if not _is_news(self._bodies.get(name), body):
            return False
        self._bodies[name] = _slim(body)
        if not ours:
            self._on_change(name)
        return True

    def drop(self, body: Body) -> None:
        """The object is gone; a later one of the same name stays."""
        name, uid = body["metadata"]["name"], body["metadata"].get("uid")
        self._gone.add(uid)
        if name in self._bodies and self._bodies[name]["metadata"].get("uid") == uid:
            self._on_drop(self._bodies.pop(name))
            self._on_change(name)

    def retain(self, listed: Collection[str], before: Mapping[str, Body]) -> int:
        """A list ended; of ``before``, known when it began, what it doesn't name has gone.

        :return: how many that are, which no event had told of.
        """
        gone = [body for name, body in before.items() if name not in listed]
        gone = [body for body in gone if self._bodies.get(body["metadata"]["name"]) is body]
        for body in gone:
            self.drop(body)
        self._gone_before, self._gone = self._gone, set()
        return len(gone)

    def snapshot(self) -> Mapping[str, Body]:
        """What is known now."""
        return dict(self._bodies)


class Store:
    """AlertThresholds and their rules, of one namespace.

    ``complete`` once everything was listed: before, a newer object might pass for the older one.
    """

    def __init__(self, *, complete: bool = False) -> None:
        self.thresholds = Objects(self.touch, self._forget_rule)
        self.rules = Objects(self._touch_owner, self._remember_rule)
        #: Rules that somebody deleted under their objects.
        self._lost: dict[str, Body] = {}
        self.changed = asyncio.Event()
        self.complete = complete
        self._dirty: set[str] = set()

    def __len__(self) -> int:
        """How many names wait to be looked at."""
        return len(self._dirty)

    def touch(self, name: str) -> None:
        """Look at this object again."""
        self._dirty.add(name)
        self.changed.set()

    def _touch_owner(self, rule: str) -> None:
        self.touch(rule.removeprefix(PREFIX))

    def take_dirty(self) -> set[str]:
        """The names to look at; from here on they count as looked at."""
        dirty, self._dirty = self._dirty, set()
        self.changed.clear()
        return dirty

    def last_rule(self, name: str) -> Body | None:
        """The rule of an object; where it was deleted, as it was: it remembers what to put back."""
        return self.rules.get(rule_name(name)) or self._lost.get(name)

    def recaller(self, catalogue: Catalogue) -> Callable[[Body], AlertThreshold | None]:
        """Reads back which generation of an object was accepted last: from its rule or status."""

        def recall(body: Body) -> AlertThreshold | None:
            rule = self.last_rule(body["metadata"]["name"])
            found = None if rule is None else remembered(rule, body, catalogue)
            return found or remembered_in_status(body, catalogue)

        return recall

    def _remember_rule(self, rule: Body) -> None:
        name = rule["metadata"]["name"].removeprefix(PREFIX)
        if name in self.thresholds:
            self._lost[name] = rule

    def _forget_rule(self, threshold: Body) -> None:
        self._lost.pop(threshold["metadata"]["name"], None)

    def completed(self) -> None:
        """Everything was listed."""
        self.complete = True
        self.changed.set()


class Namespaces:
    """A store for each namespace that is served, and only for those.

    Nothing is shared between two of them: what decides in one namespace never sees another's.
    """

    def __init__(self, only: str = "") -> None:
        """Of all namespaces those that have anything, unless there is only one."""
        self._stores: dict[str, Store] = {}
        self._complete = False
        self.grown = asyncio.Event()
        if only:
            self[only]

    def __getitem__(self, namespace: str) -> Store:
        if namespace not in self._stores:
            self._stores[namespace] = Store(complete=self._complete)
            self.grown.set()
        return self._stores[namespace]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._stores))

    def items(self) -> list[tuple[str, Store]]:
        """All stores by namespace."""
        return list(self._stores.items())

    def waiting(self) -> int:
        """How many objects wait to be looked at."""
        return sum(map(len, self._stores.values()))

    def completed(self) -> None:
        """Everything was listed, in each namespace."""
        self._complete = True
        for store in self._stores.values():
            store.completed()


def _slim(body: Body) -> Body:
    """Without the lists of who owns which field: they are a third of the object, and unused."""
    meta = body["metadata"]
    if not meta.get("managedFields"):
        return body
    managed = [{k: v for k, v in e.items() if k != "fieldsV1"} for e in meta["managedFields"]]
    return {**body, "metadata": {**meta, "managedFields": managed}}


def _is_news(known: Body | None, seen: Body) -> bool:
    return known is None or _version(seen) > _version(known)


def _version(body: Body) -> int:
    """Comparable within a kind: promised since Kubernetes 1.35, and a number of etcd's before."""
    return int(body["metadata"].get("resourceVersion") or 0)
