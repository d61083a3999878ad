"""The example configurations, judged by the real amtool: who hears of what."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
LOCAL = ROOT / "monitoring" / "alertmanager.yml"
CLUSTER = ROOT / "examples" / "alertmanager" / "alertmanager.yaml"


def amtool(*arguments: str) -> str:
    found = shutil.which("amtool")
    assert found, "amtool is missing: hack/debian-packages prometheus-alertmanager"
    done = subprocess.run([found, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("config", [LOCAL, CLUSTER], ids=["one machine", "cluster"])
def test_it_loads(config: Path) -> None:
    said = amtool("check-config", str(config))
    assert "3 receivers" in said
    assert "2 inhibit rules" in said


def test_both_are_the_same_but_for_where_the_logger_is() -> None:
    local = LOCAL.read_text().replace("//localhost:", "//alert-logger.monitoring:")
    assert yaml.safe_load(local) == yaml.safe_load(CLUSTER.read_text())


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        pytest.param("severity=critical namespace=stocks", "page", id="critical pages"),
        pytest.param("severity=warning namespace=stocks", "ticket", id="warning is a ticket"),
        pytest.param("severity=none namespace=stocks", "nobody", id="Shadow goes nowhere"),
        pytest.param("severity=none namespace=stocks-paper", "nobody", id="Shadow on paper, too"),
        pytest.param("severity=critical namespace=stocks-paper", "ticket", id="paper pages nobody"),
        pytest.param("severity=critical namespace=other", "nobody", id="others have own routes"),
        pytest.param("namespace=stocks", "nobody", id="without a severity"),
    ],
)
def test_alerts_are_routed_by_severity_and_namespace(labels: str, receiver: str) -> None:
    config = f"--config.file={CLUSTER}"
    assert amtool("config", "routes", "test", config, *labels.split()) == receiver


def test_every_scope_label_of_the_catalogue_is_part_of_what_is_the_same_alert() -> None:
    catalogue = yaml.safe_load((ROOT / "charts/stocks-fastapi/files/catalogue.yaml").read_text())
    scopes = {entry["scope"] for entry in catalogue["alerts"] if "scope" in entry}
    tiers = yaml.safe_load(CLUSTER.read_text())["inhibit_rules"][0]
    assert scopes | {"namespace", "alertname"} <= set(tiers["equal"])
