"""A Kubernetes object as the API server gives it: plain data, which is read and never changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Body = Mapping[str, Any]


def version(body: Body) -> str:
    """What changes with each write of an object."""
    return str(body["metadata"].get("resourceVersion"))
