"""Grafana dashboards as code: ``python -m monitoring.dashboards`` writes the chart's JSON files."""

from monitoring.dashboards.alert_thresholds import alert_thresholds
from monitoring.dashboards.api_performance import api_performance
from monitoring.dashboards.gateway_stability import gateway_stability
from monitoring.dashboards.infrastructure import infrastructure
from monitoring.dashboards.orders_and_risk import orders_and_risk
from monitoring.dashboards.pnl_and_positions import pnl_and_positions

ALL = (
    api_performance,
    gateway_stability,
    orders_and_risk,
    pnl_and_positions,
    infrastructure,
    alert_thresholds,
)
