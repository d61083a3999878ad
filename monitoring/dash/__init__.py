"""A page that draws our dashboards' own JSON from a live Prometheus, where there is no Grafana."""
