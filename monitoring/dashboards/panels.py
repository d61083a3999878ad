"""The few kinds of panels our dashboards are made of, as Grafana's dashboard JSON.

Panels are laid out from left to right in rows of 24 columns, in the order in which they are given.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

COLUMNS = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
GREEN, BLUE, ORANGE, RED = "green", "blue", "orange", "red"

Json = dict[str, Any]


@dataclass(frozen=True)
class Query:
    """One PromQL expression. ``color`` draws it as a dashed line: a limit."""

    expr: str
    legend: str = ""
    color: str = ""
    table: bool = False

    def target(self, ref: str) -> Json:
        """As an item of a panel's ``targets``."""
        instant = {"format": "table", "instant": True, "range": False} if self.table else {}
        return {
            "datasource": DATASOURCE,
            "expr": self.expr,
            "legendFormat": self.legend,
            "refId": ref,
            **instant,
        }


@dataclass(frozen=True)
class Panel:
    """One panel; ``width`` of 24 columns and ``height`` in units of 30 pixels."""

    title: str
    description: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    unit: str = "none"
    width: int = 12
    height: int = 8
    defaults: Json = field(default_factory=dict)
    options: Json = field(default_factory=dict)
    transformations: tuple[Json, ...] = ()

    def json(self, number: int, x: int, y: int) -> Json:
        """As an item of a dashboard's ``panels``."""
        refs = [chr(ord("A") + index) for index in range(len(self.queries))]
        limits = [
            _limit(ref, q.color) for ref, q in zip(refs, self.queries, strict=True) if q.color
        ]
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": DATASOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "targets": [q.target(ref) for ref, q in zip(refs, self.queries, strict=True)],
            "fieldConfig": {"defaults": {"unit": self.unit, **self.defaults}, "overrides": limits},
            "options": self.options,
            "transformations": list(self.transformations),
        }


def lay_out(panels: Iterable[Panel]) -> list[Json]:
    """Number the panels and place them in rows, each as high as its highest panel."""
    placed: list[Json] = []
    x = y = row_height = 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > COLUMNS:
            x, y, row_height = 0, y + row_height, 0
        placed.append(panel.json(number, x, y))
        x, row_height = x + panel.width, max(row_height, panel.height)
    return placed


def states(title: str, description: str, expr: str, mapping: dict[int, tuple[str, str]]) -> Panel:
    """A coloured word for each value: ``{0: ("LOST", "red")}``."""
    words = {str(value): {"text": text, "color": color} for value, (text, color) in mapping.items()}
    defaults = {"mappings": [{"type": "value", "options": words}], "noValue": "no data"}
    return number(title, description, expr, defaults=defaults)


def number(
    title: str, description: str, expr: str, unit: str = "none", defaults: Json | None = None
) -> Panel:
    """The last value, large."""
    return Panel(
        title,
        description,
        (Query(expr),),
        kind="stat",
        unit=unit,
        width=4,
        height=4,
        defaults=defaults or {"noValue": "no data"},
        options={
            "colorMode": "background",
            "graphMode": "none",
            "reduceOptions": {"calcs": ["lastNotNull"]},
        },
    )


def lines(title: str, description: str, *queries: Query, unit: str, width: int = 12) -> Panel:
    """Values over time. Gaps stay gaps: a line through an outage would hide it."""
    return Panel(
        title,
        description,
        queries,
        unit=unit,
        width=width,
        defaults={"custom": {"fillOpacity": 5, "showPoints": "never", "spanNulls": False}},
        options={"legend": {"displayMode": "list"}, "tooltip": {"mode": "multi"}},
    )


def table(title: str, description: str, expr: str, columns: list[str], hidden: list[str]) -> Panel:
    """The labels of the series of now, a row each, the given columns first."""
    order = {name: index for index, name in enumerate(columns)}
    return Panel(
        title,
        description,
        (Query(expr, table=True),),
        kind="table",
        transformations=(
            {
                "id": "organize",
                "options": {
                    "indexByName": order,
                    "excludeByName": dict.fromkeys(["Time", "__name__", *hidden], True),
                },
            },
        ),
    )


def _limit(ref: str, color: str) -> Json:
    """Dashed, in the colour of its severity, and only in the tooltip: there is one per series."""
    dashes = {"fill": "dash", "dash": [8, 6]}
    return {
        "matcher": {"id": "byFrameRefID", "options": ref},
        "properties": [
            {"id": "color", "value": {"mode": "fixed", "fixedColor": color}},
            {"id": "custom.lineStyle", "value": dashes},
            {"id": "custom.fillOpacity", "value": 0},
            {"id": "custom.hideFrom", "value": {"legend": True, "tooltip": False, "viz": False}},
        ],
    }
