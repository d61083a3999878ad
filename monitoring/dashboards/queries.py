"""PromQL of one release, written once: what the dashboards ask Prometheus.

Every number that is compared with comes from a series, so that a panel shows what the alert itself
reads, and what it read last Tuesday.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from threshold_operator.model.catalogue import Catalogue, Entry

OURS = 'namespace="$namespace"'
EFFECTIVE = "stocks:alert_threshold:effective"
THRESHOLD = "stocks:alert_threshold"

#: Grafana's names for the units of the catalogue.
UNITS = {"seconds": "s", "ratio": "percentunit", "count": "short", "per_minute": "suffix:/min"}


class Line(Enum):
    """What a query is to the reader: a measurement, or a limit that it is held against."""

    SIGNAL = "signal"
    WARNING = "warning"
    CRITICAL = "critical"
    DEFAULT = "default"


class Shape(Enum):
    """How Prometheus' answer is asked for."""

    RANGE = "range"
    NOW = "now"
    TABLE = "table"
    HEATMAP = "heatmap"


@dataclass(frozen=True)
class Query:
    """One PromQL expression, its legend, and how it is asked and drawn."""

    expr: str
    legend: str = ""
    line: Line = Line.SIGNAL
    shape: Shape = Shape.RANGE
    in_legend: bool = True


def ours(metric: str, *matchers: str) -> str:
    """The series of the chosen namespace: ``up{namespace="$namespace"}``."""
    return f"{metric}{{{','.join([OURS, *matchers])}}}"


def equals(label: str, value: str) -> str:
    """A matcher: ``mode="live"``."""
    return f'{label}="{value}"'


def rate(metric: str, *matchers: str, by: str = "") -> str:
    """Per second, summed by labels."""
    return f"{_sum(by)} (rate({ours(metric, *matchers)}[$__rate_interval]))"


def per_minute(metric: str, *matchers: str, by: str = "") -> str:
    """Per minute, summed by labels."""
    return f"60 * {rate(metric, *matchers, by=by)}"


def quantile(q: float, histogram: str, *matchers: str, by: str = "") -> str:
    """A quantile of a histogram, by labels."""
    labels = ", ".join(part for part in (by, "le") if part)
    return f"histogram_quantile({q:g}, {rate(f'{histogram}_bucket', *matchers, by=labels)})"


def buckets(histogram: str, *matchers: str) -> Query:
    """Events of each bucket, for a heat map."""
    counted = f"increase({ours(f'{histogram}_bucket', *matchers)}[$__rate_interval])"
    return Query(f"sum by (le) ({counted})", "{{le}}", shape=Shape.HEATMAP)


def alerts(*matchers: str, names: str = "Stocks.*") -> str:
    """Alerts of this namespace that are pending or firing."""
    return ours("ALERTS", f'alertname=~"{names}"', *matchers)


def firing(names: str = "Stocks.*", *matchers: str) -> str:
    """How many alerts fire; 0 where none does."""
    return f"count({alerts(*matchers, equals('alertstate', 'firing'), names=names)}) or vector(0)"


def signal(entry: Entry) -> Query:
    """What the alert compares."""
    legend = f"{{{{{entry.scope}}}}}" if entry.scope else "now"
    return Query(ours(entry.signal.name), legend)


def limits(entry: Entry) -> list[Query]:
    """The numbers in force, past values included: an object's, or else the default."""
    return [
        Query(
            ours(EFFECTIVE, equals("alert", entry.name), equals("severity", line.value)),
            f"{line.value} limit" + (f" {{{{{entry.scope}}}}}" if entry.scope else ""),
            line,
            in_legend=not entry.scope,
        )
        for line in (Line.WARNING, Line.CRITICAL)
    ]


def defaults(entry: Entry) -> Query:
    """The chart's own numbers, to see what an object moved."""
    matchers = (equals("alert", entry.name), equals("source", "default"))
    return Query(ours(THRESHOLD, *matchers), "default {{severity}}", Line.DEFAULT)


def held_against_limits(catalogue: Catalogue, alert: str) -> tuple[list[Query], str]:
    """The signal of an alert with its limits, and its unit in Grafana's words."""
    entry = catalogue[alert]
    return [signal(entry), *limits(entry)], UNITS[entry.unit]


def _sum(by: str) -> str:
    return f"sum by ({by})" if by else "sum"
