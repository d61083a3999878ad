"""The kinds of panels that our dashboards are made of, by the typed builders of Grafana's SDK.

A panel's colours come from words for values (``LOST`` is red), never from a number typed in here:
limits are series, drawn as dashed lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from monitoring.dashboards.queries import Line, Query, Shape

DATASOURCE = kinds.DataSourceRef(type_val="prometheus", uid="${datasource}")
GREEN, BLUE, ORANGE, RED, GREY = "green", "blue", "orange", "red", "#808080"
COLORS = {Line.WARNING: ORANGE, Line.CRITICAL: RED, Line.DEFAULT: GREY}
NO_DATA = "no data"
COLUMNS = 24

Built = Builder[models.Panel]
Words = Mapping[int, tuple[str, str]]
AnyPanel = TypeVar(
    "AnyPanel",
    bargauge.Panel,
    heatmap.Panel,
    stat.Panel,
    statetimeline.Panel,
    table.Panel,
    timeseries.Panel,
)


def lines(
    title: str,
    text: str,
    queries: Sequence[Query],
    unit: str,
    *,
    width: int = 12,
    no_value: str = NO_DATA,
) -> timeseries.Panel:
    """Values over time. Gaps stay gaps: a line through an outage would hide it."""
    panel = _filled(timeseries.Panel(), title, text, queries).unit(unit).no_value(no_value)
    panel = panel.span(width).height(8).span_nulls(False).show_points(kinds.VisibilityMode.AUTO)
    panel = panel.fill_opacity(8).line_width(2).axis_soft_min(0)
    panel = panel.legend(common.VizLegendOptions().show_legend(True)).tooltip(_tooltip())
    for ref, query in _by_ref(queries):
        if query.line is not Line.SIGNAL:
            panel = panel.override_by_query(ref, _limit(query))
    return panel


def bars(
    title: str,
    text: str,
    queries: Sequence[Query],
    unit: str,
    *,
    width: int = 12,
    no_value: str = NO_DATA,
) -> timeseries.Panel:
    """Counts over time, stacked: the height is the total."""
    panel = lines(title, text, queries, unit, width=width, no_value=no_value)
    stacked = common.StackingConfig().mode(kinds.StackingMode.NORMAL)
    return panel.draw_style(kinds.GraphDrawStyle.BARS).stacking(stacked).fill_opacity(70)


def number(
    title: str,
    text: str,
    expr: str,
    unit: str = "short",
    *,
    decimals: int | None = None,
    no_value: str = NO_DATA,
) -> stat.Panel:
    """The value of now, large, without a judgement."""
    panel = _stat(title, text, expr, BLUE).unit(unit).no_value(no_value)
    return panel if decimals is None else panel.decimals(decimals)


def words(
    title: str,
    text: str,
    expr: str,
    mapping: Words,
    *,
    otherwise: str = GREY,
    no_value: str = NO_DATA,
) -> stat.Panel:
    """A coloured word for each value, ``{0: ("LOST", "red")}``; others in one colour."""
    panel = _stat(title, text, expr, otherwise).unit("none").no_value(no_value)
    return panel.mappings([_value_map(mapping)])


def none_is_well(title: str, text: str, expr: str) -> stat.Panel:
    """A count that should be 0."""
    return words(title, text, expr, {0: ("NONE", GREEN)}, otherwise=RED)


def timeline(
    title: str,
    text: str,
    queries: Sequence[Query],
    mapping: Words,
    *,
    width: int = 12,
    height: int = 5,
    no_value: str = NO_DATA,
) -> statetimeline.Panel:
    """States over time, a line for each series."""
    panel = _filled(statetimeline.Panel(), title, text, queries).unit("none").no_value(no_value)
    panel = panel.span(width).height(height).show_value(kinds.VisibilityMode.AUTO)
    panel = panel.legend(common.VizLegendOptions().show_legend(False)).row_height(0.8)
    return panel.thresholds(_plain(BLUE)).mappings([_value_map(mapping)] if mapping else [])


def heat(title: str, text: str, query: Query, unit: str, *, width: int = 12) -> heatmap.Panel:
    """How the events of a histogram spread over its buckets."""
    colors = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges")
    panel = _filled(heatmap.Panel(), title, text, [query]).unit("short").no_value(NO_DATA)
    panel = panel.span(width).height(8).calculate(False).color(colors.steps(64)).hide_legend()
    return panel.y_axis(heatmap.YAxisConfig().unit(unit))


def gauge(
    title: str,
    text: str,
    query: Query,
    unit: str,
    *,
    width: int = 12,
    no_value: str = NO_DATA,
) -> bargauge.Panel:
    """The values of now beside each other."""
    now = common.ReduceDataOptions().calcs(["lastNotNull"])
    panel = _filled(bargauge.Panel(), title, text, [query]).unit(unit).no_value(no_value)
    panel = panel.span(width).height(8).orientation(kinds.VizOrientation.HORIZONTAL)
    panel = panel.display_mode(kinds.BarGaugeDisplayMode.BASIC).reduce_options(now)
    return panel.thresholds(_plain(BLUE)).min(0)


def rows(
    title: str,
    text: str,
    queries: Sequence[Query],
    columns: Mapping[str, str],
    *,
    unit: str = "short",
    width: int = 12,
    no_value: str = "none",
) -> table.Panel:
    """The series of now, a row each: ``columns`` maps labels (or ``Value #A``) to headings."""
    panel = _filled(table.Panel(), title, text, queries).unit(unit).no_value(no_value)
    panel = panel.span(width).height(8)
    if len(queries) > 1:
        panel = panel.with_transformation(models.DataTransformerConfig("merge", options={}))
    return panel.with_transformation(_columns(columns))


def _filled(panel: AnyPanel, title: str, text: str, queries: Sequence[Query]) -> AnyPanel:
    panel = panel.title(title).description(text).datasource(DATASOURCE)
    for ref, query in _by_ref(queries):
        panel = panel.with_target(_target(ref, query))
    return panel


def _by_ref(queries: Sequence[Query]) -> list[tuple[str, Query]]:
    return list(zip(ascii_uppercase, queries, strict=False))


def _target(ref: str, query: Query) -> prometheus.Dataquery:
    target = prometheus.Dataquery().datasource(DATASOURCE).ref_id(ref)
    target = target.expr(query.expr).legend_format(query.legend)
    if query.shape is Shape.RANGE:
        return target.range()
    if query.shape is Shape.HEATMAP:
        return target.range().format(PromQueryFormat.HEATMAP)
    target = target.instant()
    return target.format(PromQueryFormat.TABLE) if query.shape is Shape.TABLE else target


def _stat(title: str, text: str, expr: str, color: str) -> stat.Panel:
    now = common.ReduceDataOptions().calcs(["lastNotNull"])
    panel = _filled(stat.Panel(), title, text, [Query(expr, shape=Shape.NOW)])
    panel = panel.span(4).height(4).graph_mode(kinds.BigValueGraphMode.NONE)
    panel = panel.color_mode(kinds.BigValueColorMode.BACKGROUND).reduce_options(now)
    return panel.thresholds(_plain(color))


def _plain(color: str) -> dashboard.ThresholdsConfig:
    """One colour for every value: without this Grafana colours from 80 on."""
    steps = [models.Threshold(color=color)]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _value_map(mapping: Words) -> models.ValueMap:
    return models.ValueMap(
        {
            str(value): models.ValueMappingResult(text=text, color=color)
            for value, (text, color) in mapping.items()
        }
    )


def _limit(query: Query) -> list[models.DynamicConfigValue]:
    """Dashed steps in the colour of its severity; in the legend only if there is one of it."""
    style = {"fill": "dash", "dash": [3, 5] if query.line is Line.DEFAULT else [8, 6]}
    hidden = {"legend": not query.in_legend, "tooltip": False, "viz": False}
    return [
        models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": COLORS[query.line]}),
        models.DynamicConfigValue("custom.lineStyle", style),
        models.DynamicConfigValue("custom.fillOpacity", 0),
        models.DynamicConfigValue("custom.lineInterpolation", "stepAfter"),
        models.DynamicConfigValue("custom.lineWidth", 1 if query.line is Line.DEFAULT else 2),
        models.DynamicConfigValue("custom.hideFrom", hidden),
    ]


def _tooltip() -> common.VizTooltipOptions:
    return common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI)


def _columns(columns: Mapping[str, str]) -> models.DataTransformerConfig:
    """These columns alone, in this order."""
    options = {
        "includeByName": dict.fromkeys(columns, True),
        "indexByName": {name: index for index, name in enumerate(columns)},
        "renameByName": {name: heading for name, heading in columns.items() if name != heading},
    }
    return models.DataTransformerConfig("organize", options=options)
