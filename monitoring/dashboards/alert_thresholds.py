"""Alert thresholds: every alert's signal with its limits, who set them, and what fires.

Made from the catalogue, so a new alert has its panel.
"""

from __future__ import annotations

from collections.abc import Iterable

from monitoring.dashboards import panels
from monitoring.dashboards.board import Board, Row, mode, runbook
from monitoring.dashboards.queries import (
    EFFECTIVE,
    THRESHOLD,
    UNITS,
    Query,
    Shape,
    alerts,
    defaults,
    firing,
    limits,
    ours,
    signal,
)

from threshold_operator.model.catalogue import Catalogue, Entry

OVERRIDES = ours(THRESHOLD, 'source!="default"')
NOT_EFFECTIVE = ours("threshold_objects", 'state!="Ready"')
STATES = {1: ("PENDING", panels.ORANGE), 2: ("FIRING", panels.RED)}
NO_OVERRIDE = "none: every limit is the chart's default"


def alert_thresholds(catalogue: Catalogue) -> Board:
    """Of the catalogue and of the AlertThreshold objects of one namespace."""
    return Board(
        uid="stocks-alert-thresholds",
        title="Alert thresholds",
        text="Signals against the limits in force, past values included; AlertThreshold objects.",
        rows=[
            Row("Is all well?", _at_a_glance()),
            Row("What fires", _alerts()),
            Row("AlertThreshold objects", _objects()),
            Row("Signals and limits", _signals(catalogue)),
        ],
    )


def _at_a_glance() -> list[panels.Built]:
    return [
        mode(),
        *(
            panels.none_is_well(
                f"{severity.capitalize()} alerts firing",
                "Of this namespace; the table below names them.",
                firing("Stocks.+", f'severity="{severity}"'),
            )
            for severity in ("critical", "warning")
        ),
        panels.number(
            "Limits set by objects",
            "How many numbers come from AlertThreshold objects instead of the chart.",
            f"count({OVERRIDES}) or vector(0)",
        ),
        panels.none_is_well(
            "Objects not effective",
            "Told by the operator; the bars below say why.",
            f"sum({NOT_EFFECTIVE}) or 0 * max({ours('thresholds_last_success_timestamp_seconds')})",
        ).no_value("no operator"),
        panels.number(
            "Operator's last turn",
            "How long ago it last looked at every object without an error.",
            f"time() - max({ours('thresholds_last_success_timestamp_seconds')})",
            "s",
            decimals=0,
            no_value="no operator",
        ),
    ]


def _alerts() -> list[panels.Built]:
    by = "max by (alertname, severity)"
    pending, fire = (alerts(f'alertstate="{state}"') for state in ("pending", "firing"))
    columns = {"alertname": "Alert", "severity": "Severity", "alertstate": "State"}
    now = f"sum by (alertname, severity, alertstate) ({alerts()})"
    return [
        panels.timeline(
            "Alerts over time",
            "A pending alert fires once its condition held for the time that its rule asks for.",
            [Query(f"{by} (2 * {fire} or {pending})", "{{alertname}} {{severity}}")],
            STATES,
            height=8,
            no_value="nothing fired in this time",
        ),
        panels.rows(
            "Pending or firing now",
            "Series: of how many symbols, routes or instances.",
            [Query(now, shape=Shape.TABLE)],
            columns | {"Value": "Series"},
            no_value="nothing is pending or firing",
        ),
    ]


def _objects() -> list[panels.Built]:
    by_source = f"max by (source, alert, severity) ({OVERRIDES})"
    columns = {"source": "Object", "alert": "Alert", "severity": "Severity", "Value": "Limit"}
    in_force = {"alert": "Alert", "severity": "Severity", "Value": "Limit"}
    return [
        panels.timeline(
            "Limits set by objects over time",
            "A change of the number starts a new piece; an expired or deleted object's line ends.",
            [Query(by_source, "{{source}}: {{alert}} {{severity}}")],
            {},
            height=8,
            no_value=NO_OVERRIDE,
        ),
        panels.gauge(
            "Objects by state",
            "Ready: accepted and in force. Any other state is the reason why not.",
            Query(f"sum by (state) ({ours('threshold_objects')})", "{{state}}", shape=Shape.NOW),
            "short",
            no_value="no object, or no operator",
        ),
        panels.rows(
            "Objects in force",
            "The numbers that Prometheus has from AlertThreshold objects.",
            [Query(by_source, shape=Shape.TABLE)],
            columns,
            no_value=NO_OVERRIDE,
        ),
        panels.rows(
            "Limits in force",
            "What Prometheus compares with now; the least where scopes differ.",
            [Query(f"min by (alert, severity) ({ours(EFFECTIVE)})", shape=Shape.TABLE)],
            in_force,
        ),
    ]


def _signals(catalogue: Iterable[Entry]) -> list[panels.Built]:
    return [_held_against(entry) for entry in catalogue]


def _held_against(entry: Entry) -> panels.Built:
    text = (
        f"{entry.summary}. Dashed: the limits in force, warning orange and critical red; dotted: "
        "the chart's defaults."
    )
    queries = [signal(entry), *limits(entry), defaults(entry)]
    panel = panels.lines(entry.name, text, queries, UNITS[entry.unit], width=8)
    return panel.no_value("no series: its runbook says what that means").links(
        [runbook(entry.name)]
    )
