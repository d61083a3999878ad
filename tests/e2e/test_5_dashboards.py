"""Every query of every dashboard, with its variables filled in, against the live Prometheus.

Under simulated trading each has data, except for those listed here with the reason: they show what
is not there on a good day, and another test causes it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from string import Template
from typing import Any

import httpx
import pytest
from tests.dashboards import FILES, ROOT, Query, interpolated, load, marks, queries
from tests.e2e.stack import NAMESPACE, RELEASE, Stack
from tests.waiting import eventually

from threshold_operator.model.catalogue import Catalogue, Entry
from threshold_operator.model.threshold import Comparator, Severity

pytestmark = pytest.mark.usefixtures("no_thresholds")

VARIABLES = {"datasource": "prometheus", "namespace": NAMESPACE, "release": RELEASE}
DASHBOARDS = [load(path) for path in FILES]
CATALOGUE = Catalogue.load(ROOT / "charts/stocks-fastapi/files/catalogue.yaml")
ALL = [query for dashboard in DASHBOARDS for query in queries(dashboard, VARIABLES)]
ANNOTATIONS = {expr for dashboard in DASHBOARDS for expr in marks(dashboard, VARIABLES)}

#: Panel, query: why it is rightly empty. Filled by `test_bad_days_fill_the_rest`.
EMPTY = {
    ("Server errors by route", "A"): "no answer was a server error",
    ("Alerts over time", "A"): "nothing is pending or firing",
    ("Pending or firing now", "A"): "nothing is pending or firing",
    ("Limits set by objects over time", "A"): "there is no AlertThreshold",
    ("Objects by state", "A"): "there is no AlertThreshold",
    ("Objects in force", "A"): "there is no AlertThreshold",
    ("Free disk space by file system and volume", "B"): "kind's volumes are not measured",
}
#: A tier without a default number has no limit to draw until an object sets one.
SILENT = [
    (entry, severity)
    for entry in CATALOGUE
    for severity in Severity
    if entry.default(severity) is None
]


def of_silent_tier(query: Query) -> bool:
    """Whether it asks for the limit of a tier that is silent by default."""
    return "stocks:alert_threshold:effective{" in query.expr and any(
        f'alert="{entry.name}"' in query.expr and f'severity="{severity}"' in query.expr
        for entry, severity in SILENT
    )


def rightly_empty(query: Query) -> bool:
    return (query.panel, query.ref) in EMPTY or of_silent_tier(query)


def without_data(stack: Stack, asked: list[Query]) -> list[str]:
    """The queries without a number; a refused one fails the test."""
    return [str(query) for query in asked if not has_data(stack, query.expr)]


def has_data(stack: Stack, expr: str) -> bool:
    return any(not math.isnan(value) for _, value in stack.query(expr))


def test_the_list_of_what_is_rightly_empty_names_what_there_is() -> None:
    assert EMPTY.keys() <= {(query.panel, query.ref) for query in ALL}
    assert any(of_silent_tier(query) for query in ALL)


def test_each_variable_offers_what_the_cluster_has(stack: Stack) -> None:
    stack.wait_up()
    for dashboard in DASHBOARDS:
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                assert VARIABLES[variable["name"]] in offered(stack, variable), dashboard["uid"]


def offered(stack: Stack, variable: dict[str, Any]) -> set[str]:
    """As Grafana reads ``label_values(selector, label)``, and a regex's first group."""
    query = interpolated(variable["query"]["query"], VARIABLES)
    selector, label = re.fullmatch(r"label_values\((.+),\s*(\w+)\)", query).groups()  # type: ignore[union-attr]
    values = {labels[label] for labels, _ in stack.query(selector) if label in labels}
    if "regex" not in variable:
        return values
    found = (re.search(variable["regex"].strip("/"), value) for value in values)
    return {match[1] for match in found if match}


def test_every_panel_has_data_under_simulated_trading(stack: Stack) -> None:
    wanted = [query for query in ALL if not rightly_empty(query)]

    def trade_and_look() -> list[str]:
        stack.orders(accepted=3, rejected=1)
        for path in ("/v1/orders", "/v1/positions", "/v1/pnl", "/v1/quotes/AAPL"):
            stack.api.get(path)
        stack.api.get("/v1/pnl", headers={"X-API-Key": "wrong"})
        return without_data(stack, wanted)

    # Rates need two scrapes with trades between them; signals of 5 minutes need 10 orders.
    eventually(trade_and_look, lambda empty: empty == [], within=180, every=5)


def test_bad_days_fill_the_rest(stack: Stack, tmp_path: Path, measured_volume: None) -> None:
    (tmp_path / "thresholds.json").write_text(json.dumps(objects_for_silent_tiers()))
    stack.apply(tmp_path / "thresholds.json")
    wanted = [query for query in ALL if rightly_empty(query)]
    stack.inject("deaf", {"seconds": 150, "mode": "mute"})

    def ask_in_vain_and_look() -> list[str]:
        body = {"symbol": "AAPL", "side": "BUY", "quantity": 1, "order_type": "MKT"}
        refused(lambda: stack.api.post("/v1/orders", json=body))
        unmarked = [expr for expr in ANNOTATIONS if not has_data(stack, expr)]
        return without_data(stack, wanted) + unmarked

    eventually(ask_in_vain_and_look, lambda empty: empty == [], within=240, every=5)


def refused(ask: Callable[[], httpx.Response]) -> None:
    """An order that waits for a gateway which does not answer may outlast our patience."""
    try:
        ask()
    except httpx.TimeoutException:
        return


def objects_for_silent_tiers() -> dict[str, Any]:
    """An object for each alert with a silent tier; those of `<` begin to warn."""
    items = [threshold(entry) for entry in {entry.name: entry for entry, _ in SILENT}.values()]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def threshold(entry: Entry) -> dict[str, Any]:
    low, high = entry.bounds.min, entry.bounds.max
    above = entry.comparator is Comparator.ABOVE
    warning, critical = (high / 2, high) if above else (min(2 * low, high), low)
    return {
        "apiVersion": "stocks-fastapi.io/v1alpha1",
        "kind": "AlertThreshold",
        "metadata": {"name": entry.name.lower(), "namespace": NAMESPACE},
        "spec": {
            "alert": entry.name,
            "warning": {"threshold": warning},
            "critical": {"threshold": critical},
        },
    }


@pytest.fixture
def measured_volume(stack: Stack, tmp_path: Path) -> Iterator[None]:
    """A pod with a volume that the kubelet measures."""
    deployment = stack.get("deployment", f"{RELEASE}-operator")
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    text = Template((Path(__file__).parent / "volume.yaml").read_text()).substitute(image=image)
    (tmp_path / "volume.yaml").write_text(text)
    stack.apply(tmp_path / "volume.yaml")
    yield
    stack.kubectl("delete", "-f", str(tmp_path / "volume.yaml"), "--wait=false")
