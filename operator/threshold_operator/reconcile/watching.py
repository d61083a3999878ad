"""What a watch says, read from its stream: the stores hear of each object, kopf only how far it is.

kopf signs in, lists, watches, and begins anew where that is due. Its way of handling an event (a
queue, a task and a memory for each object) would cost more than all that we make of the event.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import aiohttp
import orjson

from threshold_operator.cluster.store import Objects
from threshold_operator.telemetry import Health

log = logging.getLogger(__name__)

Event = Mapping[str, Any]

GONE = 410


@dataclass(frozen=True)
class Feed:
    """One kind of objects, and the shelf of a namespace that they go to if the ``prefix`` fits."""

    group: str
    version: str
    plural: str
    shelf: Callable[[str], Objects]
    prefix: str = ""

    def take(self, event: Event) -> None:
        """Of a watch, or of a list (without a type)."""
        body = event["object"]
        if not body["metadata"]["name"].startswith(self.prefix):
            return
        shelf = self.shelf(body["metadata"]["namespace"])
        (shelf.drop if event["type"] == "DELETED" else shelf.put)(body)


class Stream:
    """The content of a watch: in the place of the events that were taken kopf reads bookmarks."""

    def __init__(self, content: aiohttp.StreamReader, feed: Feed, health: Health) -> None:
        self._content, self._feed, self._health = content, feed, health

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Until an error that kopf would end us for; 410 it knows, and lists anew."""
        rest = b""
        async for chunk in self._content.iter_chunked(size):
            self._health.heard(self._feed.plural)
            *lines, rest = (rest + chunk).split(b"\n")
            events = [orjson.loads(line) for line in lines if line]
            good = list(takewhile(lambda event: event["type"] != "ERROR", events))
            if good:
                yield self._taken(good)
            if len(good) < len(events):
                yield self._failed(events[len(good)])
                return
        self._health.heard(self._feed.plural)  # the API server ended it in time, as we had asked

    def _taken(self, events: list[Event]) -> bytes:
        for event in events:
            if event["type"] != "BOOKMARK":
                self._feed.take(event)
        version = events[-1]["object"]["metadata"]["resourceVersion"]
        return _line({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version}}})

    def _failed(self, event: Event) -> bytes:
        if event["object"].get("code") == GONE:
            return _line(event)
        log.warning("the watch of %s ended: %s", self._feed.plural, orjson.dumps(event)[:500])
        return b""


def _line(event: Event) -> bytes:
    return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)
