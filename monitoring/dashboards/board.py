"""What all dashboards share: variables, annotations of alerts, links, and rows of panels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard, prometheus, stat
from grafana_foundation_sdk.models import dashboard as models
from monitoring.dashboards.panels import BLUE, DATASOURCE, ORANGE, RED, Built, words
from monitoring.dashboards.queries import alerts, equals, ours

TAG = "stocks-fastapi"
RUNBOOKS = "https://github.com/stocks-fastapi/stocks-fastapi/blob/main/docs/runbooks"


@dataclass(frozen=True)
class Row:
    """A heading and its panels, in lines of 24 columns."""

    title: str
    panels: Sequence[Built]


@dataclass(frozen=True)
class Board:
    """One dashboard; ``uid`` is part of its address and never changes."""

    uid: str
    title: str
    text: str
    rows: Sequence[Row]
    by_release: bool = False

    def build(self) -> models.Dashboard:
        """As Grafana imports it, with every panel numbered."""
        built = self._framed()
        for row in self.rows:
            built = built.with_row(dashboard.Row(row.title))
            for panel in row.panels:
                built = built.with_panel(panel)
        return _in_plain_sight(_numbered(built.build()))

    def _framed(self) -> dashboard.Dashboard:
        framed = dashboard.Dashboard(f"Stocks: {self.title}").uid(self.uid).tags([TAG])
        framed = framed.description(self.text).readonly().refresh("15s").time("now-1h", "now")
        framed = framed.tooltip(models.DashboardCursorSync.CROSSHAIR).timezone("browser")
        variables = [_datasource(), _namespace(), *([_release()] if self.by_release else [])]
        for variable in variables:
            framed = framed.with_variable(variable)
        for severity, color in (("warning", ORANGE), ("critical", RED)):
            framed = framed.annotation(_annotation(severity, color))
        return framed.links([_dashboards(), _runbooks()])


def mode() -> stat.Panel:
    """The banner of every dashboard."""
    modes = {1: ("SIMULATED", ORANGE), 2: ("PAPER", BLUE), 3: ("LIVE: REAL MONEY", RED)}
    expr = " or ".join(
        f"{value} * {ours('stocks:gateway_mode:info', equals('mode', name))}"
        for value, name in enumerate(["simulated", "paper", "live"], start=1)
    )
    text = "Which Interactive Brokers gateway all numbers below come from."
    return words("Gateway in use", text, f"max({expr})", modes, no_value="not told")


def runbook(alert: str) -> dashboard.DashboardLink:
    """What to do when this alert fires."""
    return _link(f"Runbook of {alert}", f"{RUNBOOKS}/{alert}.md")


def _datasource() -> dashboard.DatasourceVariable:
    current = models.VariableOption(text="Prometheus", value="prometheus")
    return (
        dashboard.DatasourceVariable("datasource")
        .label("Prometheus")
        .type("prometheus")
        .current(current)
    )


def _namespace() -> dashboard.QueryVariable:
    # The chart's own series exists while the rules do: it opens with the API gone, too.
    series = '{__name__=~"stocks:gateway_mode:info|ib_connection_status"}'
    return _values("namespace", f"label_values({series}, namespace)").label("Namespace")


def _release() -> dashboard.QueryVariable:
    """Read from the names of the pods; on a single machine there are none, and All matches."""
    series = ours("container_memory_working_set_bytes", 'pod=~".+-(api|gateway|operator)-.+"')
    variable = _values("release", f"label_values({series}, pod)").label("Release")
    variable = variable.regex("/^(.+)-(?:api|gateway|operator)-/").include_all(True)
    return variable.all_value(".*").current(models.VariableOption(text="All", value="$__all"))


def _values(name: str, query: str) -> dashboard.QueryVariable:
    variable = dashboard.QueryVariable(name).datasource(DATASOURCE).definition(query)
    variable = variable.query({"query": query, "refId": name})
    variable = variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    return variable.sort(models.VariableSort.ALPHABETICAL_ASC)


def _annotation(severity: str, color: str) -> dashboard.AnnotationQuery:
    """A mark on every graph while an alert of this severity fires."""
    expr = alerts(f'severity="{severity}"', 'alertstate="firing"')
    target = prometheus.Dataquery().datasource(DATASOURCE).ref_id("Anno").expr(expr).range()
    annotation = dashboard.AnnotationQuery().name(f"{severity} alerts").datasource(DATASOURCE)
    annotation = annotation.enable(True).icon_color(color).target(target).expr(expr)
    return annotation.title_format("{{alertname}}").text_format(severity)


def _dashboards() -> dashboard.DashboardLink:
    link = dashboard.DashboardLink("Stocks dashboards").tags([TAG]).as_dropdown(False)
    link = link.type(models.DashboardLinkType.DASHBOARDS)
    return link.include_vars(True).keep_time(True)


def _runbooks() -> dashboard.DashboardLink:
    return _link("Runbooks", RUNBOOKS)


def _link(title: str, url: str) -> dashboard.DashboardLink:
    link = dashboard.DashboardLink(title).type(models.DashboardLinkType.LINK).url(url)
    return link.icon("doc").target_blank(True)


def _numbered(built: models.Dashboard) -> models.Dashboard:
    for number, panel in enumerate(built.panels or [], start=1):
        panel.id_val = number
    return built


def _in_plain_sight(built: models.Dashboard) -> models.Dashboard:
    """Links and annotations in the bar: the SDK knows no placement but a menu."""
    assert built.annotations is not None  # noqa: S101 - every dashboard has some
    for link in built.links or []:
        link.placement = None  # type: ignore[assignment]
    for annotation in built.annotations.list_val or []:
        annotation.placement = None  # type: ignore[assignment]
    return built
