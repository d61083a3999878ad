"""What our programs expose at /metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Metric

from stocks_api.adapters.metrics import Metrics
from stocks_api.domain.market import Pnl
from threshold_operator.telemetry import Metrics as OperatorMetrics


def exposed() -> dict[str, Metric]:
    """Sample name -> metric, for everything that the API and the operator expose."""
    registry = CollectorRegistry()
    metrics = Metrics(registry, ["TSLA"])
    metrics.net_liquidation(1.0)
    metrics.account_pnl(Pnl(daily=1.0, unrealized=1.0, realized=1.0))
    operators = CollectorRegistry()
    OperatorMetrics(operators)
    families = [*registry.collect(), *operators.collect()]
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"], "gauge": [""]}
    return {
        family.name + suffix: family
        for family in families
        for suffix in suffixes.get(family.type, [""])
    }
