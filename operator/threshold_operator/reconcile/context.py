"""What everything that serves one namespace shares."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from threshold_operator.cluster.store import Store
from threshold_operator.model.catalogue import Catalogue
from threshold_operator.reconcile.rule_files import RuleFiles
from threshold_operator.telemetry import Health, Metrics


def _wall_clock() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Clocks:
    """``now`` is the wall clock; ``seconds`` counts, and never jumps."""

    now: Callable[[], datetime] = _wall_clock
    seconds: Callable[[], float] = time.monotonic


@dataclass(frozen=True)
class Context:
    """One namespace, what is known of it, and where its work is counted."""

    namespace: str
    catalogue: Catalogue
    store: Store
    health: Health
    metrics: Metrics
    rule_files: RuleFiles
    clocks: Clocks = field(default_factory=Clocks)
