"""Pre-trade limits as chart values: the API reads what the chart writes."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from tests.unit.chart.conftest import CHART, Helm, names, only

from stocks_api.adapters.risk_file import RiskFile

LIMITS = {"position_limits": {"TSLA": 1000}, "max_notional": 5_000_000, "restricted": ["AAPL"]}
SETTING = f"api.riskLimits={json.dumps(LIMITS)}"


def test_by_default_nothing_is_limited(helm: Helm) -> None:
    assert "ConfigMap/stocks-api-risk" not in names(helm.render())


def test_the_limits_arrive_in_a_folder_so_that_a_change_is_seen(helm: Helm) -> None:
    rendered = helm.render(SETTING, how="--set-json")
    text = only(rendered, "ConfigMap", "stocks-api-risk")["data"]["risk.yaml"]
    assert RiskFile.model_validate(yaml.safe_load(text)) == RiskFile.model_validate(LIMITS)
    pod = only(rendered, "Deployment", "stocks-api")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    env = {item["name"]: item.get("value") for item in container["env"]}
    (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == "risk"]
    assert Path(env["STOCKS_RISK_FILE"]) == Path(mount["mountPath"], "risk.yaml")
    assert "subPath" not in mount


def test_a_wrong_limit_is_refused_by_name(helm: Helm) -> None:
    wrong = 'api.riskLimits={"max_quantitty": 5}'
    assert "'max_quantitty' not allowed" in helm.refusal(wrong, how="--set-json")


def test_the_schema_has_every_limit() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert schema["definitions"]["riskLimits"]["properties"].keys() == RiskFile.model_fields.keys()
