"""AlertThresholds as the API server gives them, and the catalogue that ships."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from threshold_operator.model.catalogue import Catalogue
from threshold_operator.model.threshold import AlertThreshold

CATALOGUE = Catalogue.load(
    Path(__file__).parents[3] / "charts" / "stocks-fastapi" / "files" / "catalogue.yaml"
)
NAMESPACE = "trading"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)

RATE = "StocksOrderRejectionRateHigh"
PNL = "StocksPnlMoveUnusual"
LATENCY = "StocksApiLatencyHigh"


def body(
    name: str = "tight",
    alert: str = RATE,
    *,
    generation: int = 1,
    created: str = "2026-11-23T10:00:00Z",
    version: int = 1,
    **spec: Any,
) -> dict[str, Any]:
    """One object; 0.05 for critical unless the spec says otherwise."""
    numbers = {} if {"warning", "critical"} & spec.keys() else {"critical": {"threshold": 0.05}}
    return {
        "apiVersion": "stocks-fastapi.io/v1alpha1",
        "kind": "AlertThreshold",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": f"uid-of-{name}",
            "generation": generation,
            "creationTimestamp": created,
            "resourceVersion": str(version),
        },
        "spec": {"alert": alert, **numbers, **spec},
    }


def threshold(name: str = "tight", alert: str = RATE, **rest: Any) -> AlertThreshold:
    """The same, parsed."""
    return AlertThreshold.parse(body(name, alert, **rest))
