"""Alerts of the users' own as chart values: what the schema refuses, and where they arrive."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.chart.conftest import CHART, ROOT, Helm, names, only

from threshold_operator.model.catalogue import Catalogue, Entry, parse_entry
from threshold_operator.model.signal import RESERVED_LABELS, RESERVED_SERIES
from threshold_operator.reconcile.extra_alerts import read

EXAMPLE = ROOT / "examples" / "own-alerts" / "values.yaml"
(FLOW,) = yaml.safe_load(EXAMPLE.read_text())["monitoring"]["extraAlerts"]
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def test_by_default_there_is_nothing_of_it(helm: Helm) -> None:
    done = helm.template()
    assert "own-alerts" not in done.stdout.lower()


def test_the_operator_gets_the_entries_and_may_read_their_owner(helm: Helm, tmp_path: Path) -> None:
    rendered = helm.render(f"monitoring.extraAlerts[0]={json.dumps(FLOW)}", how="--set-json")
    file = tmp_path / "own-alerts.yaml"
    file.write_text(only(rendered, "ConfigMap", "stocks-own-alerts")["data"]["own-alerts.yaml"])
    own = read(file, Catalogue.load(CHART / "files" / "catalogue.yaml"))
    assert own.accepted == (parse_entry(FLOW),)
    (container,) = only(rendered, "Deployment", "stocks-operator")["spec"]["template"]["spec"][
        "containers"
    ]
    env = {item["name"]: item.get("value") for item in container["env"]}
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert str(Path(env["THRESHOLDS_OWN_ALERTS"]).parent) in mounts
    assert env["THRESHOLDS_OWN_ALERTS_CONFIG_MAP"] == "stocks-own-alerts"
    assert {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "resourceNames": ["stocks-own-alerts"],
        "verbs": ["get"],
    } in only(rendered, "Role", "stocks-operator-home")["rules"]
    bounds = only(rendered, "ConfigMap", "stocks-operator-bounds")["data"]
    assert bounds["StocksOrderFlowHigh"] == "> 1 3000 per_minute -"
    assert "StocksPnlMoveUnusual" in bounds


def test_a_changed_entry_restarts_the_operator(helm: Helm) -> None:
    def annotations(entry: dict[str, Any]) -> Any:
        rendered = helm.render(f"monitoring.extraAlerts[0]={json.dumps(entry)}", how="--set-json")
        deployment = only(rendered, "Deployment", "stocks-operator")
        return deployment["spec"]["template"]["metadata"]["annotations"]

    assert annotations(FLOW) != annotations(FLOW | {"summary": "Another sentence"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(change, message, id=sentence)
        for sentence, change, message in [
            ("a name in small letters", {"name": "orderFlow"}, "'orderFlow' does not match"),
            ("an unknown field", {"color": "red"}, "'color' not allowed"),
            ("an unknown unit", {"unit": "furlongs"}, "/unit"),
            ("numbers in the summary", {"summary": "{value} orders"}, "/summary"),
            ("another namespace", {"signal": {"name": "stocks:a:b", "expr": "x"}}, "/signal/expr"),
            ("a tier left out", {"tiers": {"warning": {"for": "1m"}}}, "missing property"),
            ("a scope that the rules use", {"scope": "severity"}, "/scope"),
            (
                "a series that the rules record",
                {"signal": FLOW["signal"] | {"name": "stocks:alert_threshold:effective"}},
                "/signal/name",
            ),
            ("another aggregation", {"aggregation": "avg"}, "/aggregation"),
            ("a name of the chart's", {"name": "StocksPnlMoveUnusual"}, "is another entry's"),
            (
                "a signal of the chart's",
                {"signal": FLOW["signal"] | {"name": "stocks:pnl_move:ratio"}},
                "StocksOrderFlowHigh: its name, or that of a signal or helper",
            ),
            ("no duration", {"tiers": FLOW["tiers"] | {"critical": {"for": "soon"}}}, "'soon'"),
        ]
    ],
)
def test_helm_refuses_what_json_can_tell(helm: Helm, change: dict[str, Any], message: str) -> None:
    setting = f"monitoring.extraAlerts[0]={json.dumps(FLOW | change)}"
    assert message in helm.refusal(setting, how="--set-json")


@pytest.mark.parametrize("second", [FLOW["signal"]["name"], "stocks:another:name"])
def test_helm_refuses_a_name_twice(helm: Helm, second: str) -> None:
    name = "StocksOther" if second == FLOW["signal"]["name"] else FLOW["name"]
    other = FLOW | {"name": name, "signal": FLOW["signal"] | {"name": second}}
    given = f"monitoring.extraAlerts={json.dumps([FLOW, other])}"
    assert f"extraAlerts: {name}: its name" in helm.refusal(given, how="--set-json")


def test_the_schema_refuses_what_the_model_reserves() -> None:
    assert set(SCHEMA["definitions"]["alert"]["properties"]["scope"]["not"]["enum"]) == (
        RESERVED_LABELS
    )
    names = SCHEMA["definitions"]["signal"]["properties"]["name"]["not"]["pattern"]
    assert all(re.match(names, series) for series in RESERVED_SERIES)


@pytest.mark.parametrize("part", ["operator", "monitoring"])
def test_own_alerts_need_who_makes_and_who_reads_their_rules(helm: Helm, part: str) -> None:
    given = f"monitoring.extraAlerts[0]={json.dumps(FLOW)}", f"{part}.enabled=false"
    assert f"at '/{part}/enabled': value must be true" in helm.refusal(*given, how="--set-json")


def test_the_schema_has_every_field_of_an_entry() -> None:
    """And none that the operator would refuse."""
    model, stored = Entry.model_json_schema(by_alias=True), SCHEMA["definitions"]
    pairs = {
        "Entry": stored["alert"],
        "Signal": stored["signal"],
        "Bounds": stored["alert"]["properties"]["bounds"],
        "Absence": stored["alert"]["properties"]["absent"],
        "TierDefaults": stored["tier"],
    }
    for name, schema in pairs.items():
        wanted = model if name == "Entry" else model["$defs"][name]
        assert schema["properties"].keys() == wanted["properties"].keys(), name
        assert set(schema["required"]) == set(wanted["required"]), name


def test_every_entry_of_ours_would_pass(helm: Helm) -> None:
    """Under other names: those are taken."""
    ours = (CHART / "files" / "catalogue.yaml").read_text()
    ours = ours.replace("name: Stocks", "name: StocksOur").replace("stocks:", "stocks:our_")
    entries = json.dumps(yaml.safe_load(ours)["alerts"])
    rendered = helm.render(f"monitoring.extraAlerts={entries}", how="--set-json")
    assert "ConfigMap/stocks-own-alerts" in names(rendered)
