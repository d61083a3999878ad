"""Kubernetes Events: what ``kubectl describe`` shows below an object."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from threshold_operator.cluster.objects import MANAGER
from threshold_operator.model.body import Body
from threshold_operator.model.times import rfc3339

#: The API server refuses longer ones.
LONGEST_MESSAGE = 1024


@dataclass(frozen=True)
class Change:
    """What is reported once; ``level`` is Normal or Warning.

    The same ``key`` makes the same Event, so that it can't be reported twice.
    """

    level: str
    reason: str
    message: str
    key: str


def event(body: Body, change: Change, now: datetime) -> dict[str, Any]:
    """One Event about an object."""
    meta = body["metadata"]
    digest = hashlib.sha256(f"{meta['uid']}/{change.reason}/{change.key}".encode()).hexdigest()
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{meta['name']}.{digest[:16]}", "namespace": meta["namespace"]},
        "involvedObject": {
            "apiVersion": body["apiVersion"],
            "kind": body["kind"],
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta["uid"],
        },
        "type": change.level,
        "reason": change.reason,
        "message": change.message[:LONGEST_MESSAGE],
        "source": {"component": MANAGER},
        "firstTimestamp": rfc3339(now),
        "lastTimestamp": rfc3339(now),
        "count": 1,
    }
