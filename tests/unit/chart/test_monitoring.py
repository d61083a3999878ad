"""What the monitoring stack picks up: labels, rules for this namespace, dashboards that parse."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.chart.conftest import CHART, Helm, Manifest, only

from threshold_operator.model.catalogue import Catalogue
from threshold_operator.promql.rules import alert_group
from threshold_operator.reconcile.rule_files import rule_file_bytes

Find = Callable[[str, str], Manifest]

RULES = sorted((CHART / "files" / "rules").glob("*.yaml"))
DASHBOARDS = sorted((CHART / "files" / "dashboards").glob("*.json"))
STACK = {"release": "kube-prometheus-stack"}


@pytest.mark.parametrize(
    ("kind", "name"), [("ServiceMonitor", "stocks-api"), ("PrometheusRule", "stocks-alerts")]
)
def test_the_stack_selects_it_by_its_release_label(find: Find, kind: str, name: str) -> None:
    labels = find(kind, name)["metadata"]["labels"]
    assert STACK.items() <= labels.items()
    assert labels["app.kubernetes.io/instance"] == "stocks"


def test_another_stack_by_another_label(helm: Helm) -> None:
    manifests = helm.render("monitoring.ruleLabels.release=mine")
    selected = [m for m in manifests if m["apiVersion"] == "monitoring.coreos.com/v1"]
    assert len(selected) >= 2
    assert {m["metadata"]["labels"]["release"] for m in selected} == {"mine"}


def test_the_service_monitor_reads_the_metrics_of_the_api(find: Find) -> None:
    spec = find("ServiceMonitor", "stocks-api")["spec"]
    service = find("Service", "stocks-api")
    assert spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = spec["endpoints"]
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    assert (endpoint["path"], endpoint["interval"]) == ("/metrics", "10s")
    assert endpoint["honorLabels"] is False


@pytest.mark.parametrize("name", ["stocks-api", "stocks-operator"])
def test_row_e_every_shard_of_prometheus_scrapes(find: Find, name: str) -> None:
    (endpoint,) = find("ServiceMonitor", name)["spec"]["endpoints"]
    on_every_shard = {"targetLabel": "__tmp_disable_sharding", "replacement": "true"}
    assert endpoint["relabelings"] == [on_every_shard]


def test_row_k_the_default_of_other_rules_counts_those_of_the_chart(find: Find) -> None:
    """The operator weighs only the rules of objects: without the chart's it warns too late."""
    stack = 200_000
    containers = find("Deployment", "stocks-operator")["spec"]["template"]["spec"]["containers"]
    others = {e["name"]: e.get("value") for e in containers[0]["env"]}[
        "THRESHOLDS_OTHER_RULE_BYTES"
    ]
    assert int(str(others)) >= stack + rule_file_bytes(find("PrometheusRule", "stocks-alerts"))


def test_services_select_the_pods_of_their_deployments(find: Find, default: list[Manifest]) -> None:
    services = [m for m in default if m["kind"] == "Service"]
    assert len(services) >= 2
    for service in services:
        pod = find("Deployment", service["metadata"]["name"])["spec"]["template"]
        assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        ports = {port["name"] for c in pod["spec"]["containers"] for port in c["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


def test_the_chart_ships_the_generated_rules_for_its_namespace(helm: Helm) -> None:
    rule = only(helm.render(namespace="desk"), "PrometheusRule", "stocks-alerts")
    shipped = {group["name"]: group for group in rule["spec"]["groups"]}
    generated = [g for g in groups_of(*RULES) if g["name"].startswith("stocks.")]
    assert len(generated) >= 4
    for group in generated:
        text = json.dumps(group).replace("__NAMESPACE__", "desk")
        assert shipped.pop(group["name"]) == json.loads(text)
    assert list(shipped) == ["stocks.gateway"]


def test_nobody_is_paged_for_an_operator_that_is_not_wanted(helm: Helm) -> None:
    rule = only(helm.render("operator.enabled=false"), "PrometheusRule", "stocks-alerts")
    shipped = {group["name"] for group in rule["spec"]["groups"]}
    wanted = {group["name"] for group in groups_of(*RULES)} | {"stocks.gateway"}
    assert wanted - shipped == {"stocks.StocksOperatorDown", "stocks.StocksThresholdNotEffective"}


def test_no_token_is_left(default: list[Manifest]) -> None:
    # The operator reads the catalogue with its tokens, and fills them in itself.
    sent = [m for m in default if m["metadata"]["name"] != "stocks-operator-catalogue"]
    assert len(sent) > 10
    assert not re.search("__[A-Z]+__", json.dumps(sent))


def test_every_series_of_the_rules_is_of_this_namespace(find: Find) -> None:
    groups = find("PrometheusRule", "stocks-alerts")["spec"]["groups"]
    labels = [
        r["labels"]["namespace"] for r in rules_of(groups) if "namespace" in r.get("labels", {})
    ]
    assert set(labels) == {"stocks"}


def test_prometheus_knows_which_gateway_it_is(helm: Helm, find: Find) -> None:
    assert gateway_mode(find("PrometheusRule", "stocks-alerts")) == "simulated"
    paper = helm.render("gateway.mode=paper", "gateway.host=gw", "simulator.enabled=false")
    assert gateway_mode(only(paper, "PrometheusRule", "stocks-alerts")) == "paper"


def gateway_mode(rule: Manifest) -> str:
    (found,) = [
        r for r in rules_of(rule["spec"]["groups"]) if r.get("record") == "stocks:gateway_mode:info"
    ]
    mode = found["labels"]["mode"]
    assert isinstance(mode, str)
    return mode


def test_promtool_finds_the_rendered_rules_sound(find: Find, promtool: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(find("PrometheusRule", "stocks-alerts")["spec"]))
    run = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"[1-9]\d* rules found", run.stdout)


def test_alerts_link_to_the_runbooks_of_the_house(helm: Helm) -> None:
    manifests = helm.render("monitoring.runbookBaseUrl=https://wiki.desk/runbooks/")
    rule = only(manifests, "PrometheusRule", "stocks-alerts")
    alerts = [r for r in rules_of(rule["spec"]["groups"]) if "alert" in r]
    assert alerts
    for alert in alerts:
        url = f"https://wiki.desk/runbooks/{alert['alert']}.md"
        assert alert["annotations"]["runbook_url"] == url


def test_what_the_operator_writes_links_to_them_too(helm: Helm, tmp_path: Path) -> None:
    manifests = helm.render("monitoring.runbookBaseUrl=https://wiki.desk/runbooks/")
    data = only(manifests, "ConfigMap", "stocks-operator-catalogue")["data"]
    (tmp_path / "catalogue.yaml").write_text(data["catalogue.yaml"])
    entries = list(Catalogue.load(tmp_path / "catalogue.yaml"))
    assert len(entries) == len(RULES)
    for entry in entries:
        for rule in alert_group(entry)["rules"]:
            if "alert" in rule:
                url = f"https://wiki.desk/runbooks/{entry.name}.md"
                assert rule["annotations"]["runbook_url"] == url


def test_grafana_finds_the_dashboards(default: list[Manifest]) -> None:
    label = "grafana_dashboard"
    found = [m for m in default if m["metadata"]["labels"].get(label) == "1"]
    assert {m["kind"] for m in found} == {"ConfigMap"}
    shipped = {name: text for m in found for name, text in m["data"].items()}
    assert shipped == {path.name: path.read_text() for path in DASHBOARDS}


def groups_of(*files: Path) -> list[dict[str, Any]]:
    return [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]


def rules_of(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [rule for group in groups for rule in group["rules"]]
