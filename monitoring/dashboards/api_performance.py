"""API performance: how much is asked, how quickly it is answered, and who is turned away."""

from __future__ import annotations

from monitoring.dashboards import panels
from monitoring.dashboards.board import Board, Row, mode
from monitoring.dashboards.queries import (
    Query,
    Shape,
    buckets,
    firing,
    held_against_limits,
    ours,
    per_minute,
    quantile,
    rate,
)

from threshold_operator.model.catalogue import Catalogue

ALERTS = "StocksApi.+|StocksAuthenticationFailuresHigh"
DURATION = "api_request_duration_seconds"
FAILED = 'status=~"5.."'


def api_performance(catalogue: Catalogue) -> Board:
    """Of requests, whoever sends them: the API's own probes are among them."""
    return Board(
        uid="stocks-api-performance",
        title="API performance",
        text="Rate, errors and latency of the trading API by route, and refused API keys.",
        rows=[
            Row("Is all well?", _at_a_glance()),
            Row("Requests", _requests()),
            Row("Latency", _latency(catalogue)),
            Row("API keys", _keys(catalogue)),
        ],
    )


def _at_a_glance() -> list[panels.Built]:
    return [
        mode(),
        panels.none_is_well("Alerts firing", "Latency, absence and refused keys.", firing(ALERTS)),
        panels.words(
            "Instances answering",
            "How many instances of the API Prometheus reaches; the alert is StocksApiAbsent.",
            ours("stocks:api_instances:count"),
            {0: ("NONE", panels.RED)},
            otherwise=panels.GREEN,
            no_value="rules not loaded",
        ),
        panels.number(
            "Requests", "Of all routes, per second.", rate("api_requests_total"), "reqps"
        ),
        panels.number(
            "Server errors",
            "Answers of status 5xx, as a part of all answers.",
            f"({rate('api_requests_total', FAILED)} or vector(0)) / {rate('api_requests_total')}",
            "percentunit",
            decimals=2,
        ),
        panels.number(
            "Latency, p99",
            "99 of 100 answers of the last minutes were quicker, over all routes.",
            quantile(0.99, DURATION),
            "s",
        ),
    ]


def _requests() -> list[panels.Built]:
    share = f"{rate('api_requests_total', FAILED, by='route')} / {_by_route()}"
    return [
        panels.lines(
            "Requests by route",
            "The template of the route, never the raw path.",
            [Query(_by_route(), "{{route}}")],
            "reqps",
        ),
        panels.bars(
            "Answers by status",
            "409 and 422 are the client's orders, 401 and 403 its key, 5xx our own fault.",
            [Query(per_minute("api_requests_total", by="status"), "{{status}}")],
            "suffix:/min",
        ),
        panels.lines(
            "Server errors by route",
            "Answers of status 5xx as a part of the route's answers; empty while there are none.",
            [Query(share, "{{route}}")],
            "percentunit",
            no_value="no server error",
        ),
        panels.gauge(
            "Slowest routes now",
            "The 99th percentile by route.",
            Query(
                f"sort_desc(topk(8, {quantile(0.99, DURATION, by='route')} > 0))",
                "{{route}}",
                shape=Shape.NOW,
            ),
            "s",
            no_value="no request lately",
        ),
    ]


def _latency(catalogue: Catalogue) -> list[panels.Built]:
    limited, unit = held_against_limits(catalogue, "StocksApiLatencyHigh")
    return [
        *(
            panels.lines(
                f"Latency by route, p{round(100 * q)}",
                f"{round(100 * q)} of 100 answers were quicker.",
                [Query(quantile(q, DURATION, by="route"), "{{route}}")],
                "s",
            )
            for q in (0.5, 0.9)
        ),
        panels.lines(
            "Latency by route, p99, and its limits",
            "Over 5 minutes, as the alert reads it: 0 below 20 requests. Dashed: the limits.",
            limited,
            unit,
        ),
        panels.heat(
            "Latency of all requests",
            "How many answers took how long; a second band is a route that has become slow.",
            buckets(DURATION),
            "s",
        ),
    ]


def _keys(catalogue: Catalogue) -> list[panels.Built]:
    limited, unit = held_against_limits(catalogue, "StocksAuthenticationFailuresHigh")
    return [
        panels.lines(
            "Refused keys and their limits",
            "Per minute over 5 minutes. Dashed: the limits in force.",
            limited,
            unit,
        ),
        panels.bars(
            "Refused keys by reason",
            "Missing, malformed, unknown, expired, or of a scope that is too narrow.",
            [Query(per_minute("auth_failures_total", by="reason"), "{{reason}}")],
            "suffix:/min",
        ),
    ]


def _by_route() -> str:
    return rate("api_requests_total", by="route")
