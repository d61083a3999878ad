"""The dashboard to look at first: is the desk trading, and how far is each signal from its limit?

It holds nothing of one release: the limits are read from the series that the alerts read, the mode
of the gateway from a series of the chart, so one copy serves every release in the cluster.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from monitoring.dashboards.panels import (
    BLUE,
    GREEN,
    ORANGE,
    RED,
    Json,
    Panel,
    Query,
    lay_out,
    lines,
    number,
    states,
    table,
)

from threshold_operator.catalogue import Entry

#: Grafana's names for the units of the catalogue.
UNITS = {"seconds": "s", "ratio": "percentunit", "count": "short", "per_minute": "suffix:/min"}
UID = "stocks-overview"
RUNBOOKS = "https://github.com/stocks-fastapi/stocks-fastapi/tree/main/docs/runbooks"
OURS = '{namespace="$namespace"}'
ALERTS = 'ALERTS{namespace="$namespace",alertname=~"Stocks.*"'


def overview(catalogue: Iterable[Entry]) -> Json:
    """The dashboard as Grafana imports it, with a panel for the signal of every alert."""
    signals = [_signal(entry) for entry in catalogue]
    return {
        "uid": UID,
        "title": "Stocks: overview",
        "description": "Orders, P&L and the gateway of one release, with the limits in force.",
        "tags": ["stocks-fastapi"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [{"title": "Runbooks", "type": "link", "url": RUNBOOKS, "targetBlank": True}],
        "templating": {"list": [_datasource(), _namespace()]},
        "panels": lay_out([_banner(), *_numbers(), *signals, *_traffic(), *_tables()]),
    }


def _datasource() -> Json:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "current": {"text": "Prometheus", "value": "prometheus"},
    }


def _namespace() -> Json:
    # The chart's own series exists while the rules do: the dashboard opens with the API gone, too.
    series = '{__name__=~"stocks:gateway_mode:info|ib_connection_status"}'
    query = f"label_values({series}, namespace)"
    return {
        "name": "namespace",
        "label": "Namespace",
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "definition": query,
        "query": {"query": query, "refId": "namespaces"},
        "refresh": 2,
        "sort": 1,
    }


def _banner() -> Panel:
    modes = {1: ("SIMULATED", ORANGE), 2: ("PAPER", BLUE), 3: ("LIVE: REAL MONEY", RED)}
    of_mode = 'stocks:gateway_mode:info{{namespace="$namespace",mode="{}"}}'
    expr = " or ".join(
        f"{value} * {of_mode.format(mode)}"
        for value, mode in enumerate(["simulated", "paper", "live"], start=1)
    )
    text = "Which Interactive Brokers gateway the numbers below come from."
    return replace(states("Gateway in use", text, f"max({expr})", modes), width=24, height=3)


def _numbers() -> list[Panel]:
    return [
        states(
            "Gateway link",
            "VERIFIED while a round trip succeeded lately; an open socket isn't enough.",
            f"min(ib_connection_status{OURS})",
            {1: ("VERIFIED", GREEN), 0: ("LOST", RED)},
        ),
        states(
            "Database",
            "Whether the last query succeeded.",
            f"min(database_up{OURS})",
            {1: ("UP", GREEN), 0: ("DOWN", RED)},
        ),
        number(
            "Alerts firing",
            "Of this namespace; the table below names them.",
            f'count({ALERTS},alertstate="firing"}}) or vector(0)',
            defaults=_red_from(1),
        ),
        number("Open positions", "That are not flat.", f"sum(active_positions_total{OURS})"),
        number(
            "Unrealised P&L",
            "In the currency of the account.",
            f"sum(pnl_unrealized_total{OURS})",
            defaults={"decimals": 2, "noValue": "no data"},
        ),
        number(
            "Orders per minute",
            "Accepted and rejected.",
            "60 * " + _rate("orders_total", 'status=~"accepted|rejected"'),
            defaults={"decimals": 1, "noValue": "no data"},
        ),
    ]


def _signal(entry: Entry) -> Panel:
    """What an alert reads, with the numbers that govern it drawn from the same series."""
    legend = f"{{{{{entry.scope}}}}}" if entry.scope else "now"
    limits = [
        Query(
            "stocks:alert_threshold:effective"
            f'{{namespace="$namespace",alert="{entry.name}",severity="{severity}"}}',
            f"{severity} limit" + (f" {legend}" if entry.scope else ""),
            color,
        )
        for severity, color in (("warning", ORANGE), ("critical", RED))
    ]
    text = f"{entry.summary}? Dashed: the limits in force, warning orange and critical red."
    signal = Query(f"{entry.signal.name}{OURS}", legend)
    return lines(entry.name, text, signal, *limits, unit=UNITS[entry.unit])


def _traffic() -> list[Panel]:
    buckets = _rate("order_latency_seconds_bucket", by="le, stage")
    return [
        lines(
            "Orders by status",
            "Each order enters a status once; filled ones were accepted before.",
            Query(f"60 * {_rate('orders_total', by='status')}", "{{status}}"),
            unit="suffix:/min",
        ),
        lines(
            "Order latency, 95th percentile",
            "ack: submitted to acknowledged; fill: submitted to filled.",
            Query(f"histogram_quantile(0.95, {buckets})", "{{stage}}"),
            unit="s",
        ),
        lines(
            "Requests by status",
            "HTTP requests to the API, its own /metrics and /healthz included.",
            Query(_rate("api_requests_total", by="status"), "{{status}}"),
            unit="reqps",
        ),
        lines(
            "Unrealised P&L",
            "In the currency of the account.",
            Query(f"sum(pnl_unrealized_total{OURS})", "unrealised"),
            unit="short",
        ),
    ]


def _tables() -> list[Panel]:
    target = ["container", "endpoint", "instance", "job", "pod", "service", "namespace"]
    return [
        table(
            "Alerts pending or firing",
            "A pending alert fires when its condition holds for the time its rule asks for.",
            f"{ALERTS}}}",
            ["alertname", "severity", "alertstate", "symbol", "route"],
            ["Value", *target],
        ),
        table(
            "Limits in force",
            "What Prometheus compares with now: an AlertThreshold's number, or the default.",
            f"stocks:alert_threshold:effective{OURS}",
            ["alert", "severity", "symbol", "route", "Value"],
            target,
        ),
    ]


def _rate(metric: str, matchers: str = "", by: str = "") -> str:
    labels = ",".join(part for part in ('namespace="$namespace"', matchers) if part)
    aggregation = f"sum by ({by})" if by else "sum"
    return f"{aggregation} (rate({metric}{{{labels}}}[$__rate_interval]))"


def _red_from(value: int) -> Json:
    steps = [{"color": GREEN, "value": None}, {"color": RED, "value": value}]
    return {"thresholds": {"mode": "absolute", "steps": steps}, "noValue": "0"}
