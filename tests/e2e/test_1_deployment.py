"""helm install: every pod is Ready, and Prometheus has the metrics as the contract has them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from tests.e2e.conftest import deploy
from tests.e2e.stack import NAMESPACE, Stack
from tests.waiting import eventually

#: What a scrape adds to a series.
SCRAPE = "__name__ instance job namespace service endpoint pod container"

SEVEN = {
    "api_requests_total": {"method", "route", "status"},
    "api_request_duration_seconds_bucket": {"method", "route", "le"},
    "ib_connection_status": set(),
    "orders_total": {"side", "order_type", "status"},
    "order_latency_seconds_bucket": {"stage", "le"},
    "active_positions_total": set(),
    "pnl_unrealized_total": set(),
}

EXPORTERS: dict[str, dict[str, list[str]]] = yaml.safe_load(
    (Path(__file__).parents[1] / "unit" / "exporters.yaml").read_text()
)
#: No part of the stack that is built from language packages; the rules do without it there.
del EXPORTERS["kube-state-metrics"]


def test_every_pod_is_ready(stack: Stack) -> None:
    ready = {
        pod["metadata"]["labels"]["app.kubernetes.io/component"]: condition["status"]
        for pod in stack.items("pods", "app.kubernetes.io/component")
        for condition in pod["status"]["conditions"]
        if condition["type"] == "Ready"
    }
    assert ready == {"api": "True", "gateway": "True", "operator": "True"}


def test_prometheus_scrapes_the_api(stack: Stack) -> None:
    stack.wait_up()


@pytest.mark.parametrize("metric", SEVEN)
def test_a_metric_of_the_specification_has_samples_with_exactly_its_labels(
    stack: Stack, metric: str
) -> None:
    query = f'{metric}{{namespace="{NAMESPACE}"}}'
    series = eventually(lambda: stack.query(query), bool, within=90)
    assert {frozenset(labels.keys() - set(SCRAPE.split())) for labels, _ in series} == {
        frozenset(SEVEN[metric])
    }


def test_the_gateway_is_said_to_be_simulated(stack: Stack) -> None:
    assert "SIMULATED" in stack.api.get("/healthz").text


def test_the_dashboards_are_where_the_sidecar_looks(stack: Stack) -> None:
    found = stack.items("configmaps", "grafana_dashboard=1")
    dashboards = [json.loads(text) for item in found for text in item["data"].values()]
    assert len(dashboards) == 6
    assert all(dashboard["uid"] and dashboard["panels"] for dashboard in dashboards)


def test_an_upgrade_keeps_the_api_key_and_restarts_nothing(stack: Stack) -> None:
    def state() -> tuple[str, set[str]]:
        pods = stack.items("pods", "app.kubernetes.io/component")
        return stack.secret("stocks-api-keys", "key"), {pod["metadata"]["uid"] for pod in pods}

    before = state()
    deploy(stack.cluster, "--only", "chart")
    assert state() == before
    assert stack.api.get("/v1/positions").status_code == 200


@pytest.mark.parametrize(
    ("metric", "labels"), [item for metrics in EXPORTERS.values() for item in metrics.items()]
)
def test_an_exporter_has_what_the_rules_read(stack: Stack, metric: str, labels: list[str]) -> None:
    series = eventually(lambda: stack.query(metric), bool, within=180)
    assert any(set(labels) <= found.keys() for found, _ in series)
