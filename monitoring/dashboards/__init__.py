"""Grafana dashboards as code: ``python -m monitoring.dashboards`` writes the chart's JSON files."""
