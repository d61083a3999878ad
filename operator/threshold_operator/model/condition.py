"""The conditions of an AlertThreshold: what each says, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PROPAGATING = "Propagating"
NOT_SELECTED = "NotSelected"
REJECTED = "Rejected"
EXPIRED = "Expired"
UNREACHABLE = "PrometheusUnreachable"
UNAUTHORIZED = "PrometheusUnauthorized"
NOT_CONFIGURED = "PrometheusNotConfigured"
PREVIEW = "Preview"
PROVEN = "Effective"

#: State of an alert of which Prometheus told nothing.
UNKNOWN = "unknown"

#: These may be over in a moment (a restart of Prometheus, a replica that lags behind): an object
#: that was proven stays so for a while.
PASSING = {PROPAGATING, NOT_SELECTED, UNREACHABLE, UNAUTHORIZED}


@dataclass(frozen=True)
class Verdict:
    """What the condition Effective says: status is True, False or Unknown.

    ``lagging`` names the replicas of Prometheus that have yet to load the rule.
    """

    status: str
    reason: str
    message: str
    lagging: tuple[str, ...] = field(default=(), compare=False)


def condition_of(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """The condition of one type; empty where there is none yet."""
    conditions = status.get("conditions") or []
    return next((c for c in conditions if c.get("type") == kind), {})
