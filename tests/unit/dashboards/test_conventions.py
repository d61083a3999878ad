"""What every dashboard keeps to, so that whoever knows one knows all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import promql_parser
import pytest
import yaml
from tests.dashboards import (
    BUILT_IN,
    FILES,
    ROOT,
    VARIABLE,
    Json,
    load,
    marks,
    panels,
    queries,
)
from tests.exposed import exposed

from threshold_operator.model.catalogue import Catalogue

CHART_FILES = ROOT / "charts/stocks-fastapi/files"
SCHEMA = "https://github.com/stocks-fastapi/stocks-fastapi/blob/main/"
VARIABLES = {"datasource": "prometheus", "namespace": "desk", "release": "stocks"}

#: What others expose: Prometheus, the kubelet with its cAdvisor, node exporter.
PROCESS = {
    f"process_{what}"
    for what in ("start_time_seconds", "cpu_seconds_total", "resident_memory_bytes")
}
FOREIGN = {"ALERTS", "up", *PROCESS}
FOREIGN_PREFIXES = ("container_", "kubelet_volume_stats_", "node_")
#: Nodes are nobody's: their series have no namespace of a release.
SHARED = ("node_",)


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def dashboard(request: pytest.FixtureRequest) -> Json:
    return load(request.param)


def test_there_are_the_six() -> None:
    titles = {load(path)["title"].removeprefix("Stocks: ") for path in FILES}
    assert titles == {
        "API performance",
        "Gateway stability",
        "Orders and risk",
        "P&L and positions",
        "Infrastructure",
        "Alert thresholds",
    }


def test_the_uid_is_the_name_of_the_file_and_fits_grafana() -> None:
    for path in FILES:
        assert load(path)["uid"] == path.stem
        assert len(path.stem) <= 40


def test_every_panel_says_what_it_shows_in_which_unit_from_a_chosen_datasource(
    dashboard: Json,
) -> None:
    for panel in panels(dashboard):
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["title"], panel
        assert panel["description"].endswith("."), panel["title"]
        assert defaults["unit"], panel["title"]
        assert "noValue" in defaults, panel["title"]
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert all(source["uid"] == "${datasource}" for source in sources), panel["title"]


def test_titles_and_ids_are_unique_and_panels_fill_their_rows_without_overlap(
    dashboard: Json,
) -> None:
    drawn = panels(dashboard)
    titles = [panel["title"] for panel in drawn]
    assert len(set(titles)) == len(titles)
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in drawn:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24, panel["title"]
    for one, other in combinations(dashboard["panels"], 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


def test_the_first_row_asks_whether_all_is_well_and_names_the_gateway(dashboard: Json) -> None:
    heading, *rest = dashboard["panels"]
    assert (heading["type"], heading["title"]) == ("row", "Is all well?")
    first = [panel for panel in rest if panel["gridPos"]["y"] == 1]
    assert {panel["type"] for panel in first} == {"stat"}
    assert sum(panel["gridPos"]["w"] for panel in first) == 24
    (words,) = first[0]["fieldConfig"]["defaults"]["mappings"]
    assert words["options"]["1"]["text"] == "SIMULATED"
    assert any("firing" in panel["title"] for panel in first)


def test_every_variable_is_used_and_every_used_one_is_known(dashboard: Json) -> None:
    declared = {variable["name"] for variable in dashboard["templating"]["list"]}
    without_names = json.dumps({k: v for k, v in dashboard.items() if k != "templating"})
    used = set(VARIABLE.findall(without_names)) - BUILT_IN.keys()
    assert {"datasource", "namespace"} <= declared == used


def test_rates_follow_the_interval_of_the_screen(dashboard: Json) -> None:
    for panel in panels(dashboard):
        for target in panel["targets"]:
            if "rate(" in target["expr"]:
                assert "[$__rate_interval]" in target["expr"], panel["title"]


def test_no_limit_is_typed_into_a_panel(dashboard: Json) -> None:
    for panel in panels(dashboard):
        config = panel["fieldConfig"]
        steps = config["defaults"].get("thresholds", {"steps": [{}]})["steps"]
        assert len(steps) == 1, panel["title"]
        assert "thresholds" not in json.dumps(config["overrides"]), panel["title"]
        assert "thresholdsStyle" not in json.dumps(config), panel["title"]


def test_alerts_are_marked_on_every_graph_by_severity(dashboard: Json) -> None:
    expressions = list(marks(dashboard, VARIABLES))
    assert [mark.count("ALERTS{") for mark in expressions] == [1, 1]
    assert 'severity="warning"' in expressions[0]
    assert 'severity="critical"' in expressions[1]


def test_dashboards_link_to_each_other_and_to_the_runbooks(dashboard: Json) -> None:
    others, runbooks = dashboard["links"]
    assert others["type"] == "dashboards"
    assert set(others["tags"]) <= set(dashboard["tags"])
    assert others["includeVars"]
    assert others["keepTime"]
    assert runbooks["url"] == SCHEMA + "docs/runbooks"
    for link in (link for panel in panels(dashboard) for link in panel.get("links", [])):
        assert (ROOT / link["url"].removeprefix(SCHEMA)).is_file(), link


def test_every_query_is_promql_of_the_chosen_namespace(dashboard: Json) -> None:
    for query in queries(dashboard, VARIABLES):
        for selector in selectors(query.expr):
            if not selector.name.startswith(SHARED):
                matchers = {(m.name, m.value) for m in selector.matchers.matchers}
                assert ("namespace", "desk") in matchers, query


def test_every_query_reads_a_series_that_somebody_writes(dashboard: Json) -> None:
    known = {"stocks:gateway_mode:info", *FOREIGN, *recorded(), *exposed()}
    for query in queries(dashboard, VARIABLES):
        unknown = [
            selector.name
            for selector in selectors(query.expr)
            if selector.name not in known and not selector.name.startswith(FOREIGN_PREFIXES)
        ]
        assert not unknown, (query, unknown)


def test_every_alert_of_the_catalogue_has_its_panel_limits_defaults_and_runbook() -> None:
    dashboard = load(CHART_FILES / "dashboards/stocks-alert-thresholds.json")
    by_title = {panel["title"]: panel for panel in panels(dashboard)}
    for entry in Catalogue.load(CHART_FILES / "catalogue.yaml"):
        panel = by_title[entry.name]
        signal, *limits, defaults = [target["expr"] for target in panel["targets"]]
        assert signal.startswith(f"{entry.signal.name}{{")
        for severity, limit in zip(("warning", "critical"), limits, strict=True):
            assert limit.startswith("stocks:alert_threshold:effective{")
            assert f'alert="{entry.name}",severity="{severity}"' in limit
        assert 'source="default"' in defaults
        assert panel["links"][0]["url"].endswith(f"/{entry.name}.md")


def selectors(expr: str) -> Iterator[Any]:
    """Every vector selector of an expression; a syntax error fails the test."""
    found: list[Any] = []

    def visit(node: Any) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        return True

    promql_parser.walk(promql_parser.parse(expr), visit)
    assert found, expr
    yield from found


def recorded() -> set[str]:
    files = (CHART_FILES / "rules").glob("*.yaml")
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    return {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}
