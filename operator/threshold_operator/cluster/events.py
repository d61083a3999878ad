"""Kubernetes Events: what ``kubectl describe`` shows below an object."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import uuid4

from threshold_operator.cluster.objects import MANAGER
from threshold_operator.model.body import Body
from threshold_operator.model.threshold import rfc3339

#: The API server refuses longer ones.
LONGEST_MESSAGE = 1024


def event(body: Body, level: str, reason: str, message: str, now: datetime) -> dict[str, Any]:
    """One Event about an object; ``level`` is Normal or Warning."""
    meta = body["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{meta['name']}.{uuid4().hex[:16]}", "namespace": meta["namespace"]},
        "involvedObject": {
            "apiVersion": body["apiVersion"],
            "kind": body["kind"],
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta["uid"],
        },
        "type": level,
        "reason": reason,
        "message": message[:LONGEST_MESSAGE],
        "source": {"component": MANAGER},
        "firstTimestamp": rfc3339(now),
        "lastTimestamp": rfc3339(now),
        "count": 1,
    }
