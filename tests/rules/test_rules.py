"""Runs promtool on what ships: the chart's rule files, and objects rendered by the operator's code.

Each ``*.yaml`` here is a promtool test. It finds the chart's files under ``rules/`` and the
rendered objects of ``thresholds/`` under ``thresholds/``.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from threshold_operator.model.catalogue import Catalogue, Entry
from threshold_operator.model.signal import NAMESPACE_TOKEN
from threshold_operator.model.threshold import AlertThreshold, Severity
from threshold_operator.promql.rules import alert_group, threshold_group
from threshold_operator.promql.text import rule_file

HERE = Path(__file__).parent
FILES = HERE.parents[1] / "charts" / "stocks-fastapi" / "files"
CASES = sorted(HERE.glob("*.yaml"))


@pytest.fixture(scope="session")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rules")
    shutil.copytree(FILES / "rules", folder / "rules")
    (folder / "thresholds").mkdir()
    catalogue = Catalogue.load(FILES / "catalogue.yaml")
    for source in (HERE / "thresholds").glob("*.yaml"):
        threshold = AlertThreshold.parse(yaml.safe_load(source.read_text()), NAMESPACE_TOKEN)
        assert not catalogue.problems(threshold)
        group = threshold_group(threshold, catalogue[threshold.spec.alert])
        (folder / "thresholds" / source.name).write_text(rule_file([group]))
    by_default = _with_recover(catalogue["StocksPnlMoveUnusual"], Severity.CRITICAL, 0.02)
    (folder / "hysteresis-by-default.yaml").write_text(rule_file([alert_group(by_default)]))
    return folder


def _with_recover(entry: Entry, severity: Severity, recover: float) -> Entry:
    """As if the catalogue had it so."""
    tiers = {**entry.tiers, severity: entry.tiers[severity].model_copy(update={"recover": recover})}
    return entry.model_copy(update={"tiers": tiers})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_promtool_agrees(case: Path, promtool: str, workbench: Path) -> None:
    shutil.copy(case, workbench)
    run = subprocess.run(
        [promtool, "test", "rules", case.name], cwd=workbench, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_rule_file_is_sound(promtool: str, workbench: Path) -> None:
    files = sorted(str(path) for path in workbench.glob("*/*.yaml"))
    run = subprocess.run([promtool, "check", "rules", *files], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
