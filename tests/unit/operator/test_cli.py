"""The commands that need no cluster."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from threshold_operator.cli import main

ROOT = Path(__file__).parents[3]
RULES = ROOT / "charts" / "stocks-fastapi" / "files" / "rules"
GOOD = (ROOT / "examples" / "rejection-rate.yaml").read_text()


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_generated_rules_are_current() -> None:
    main(["generate", "--check"])


def test_a_stale_rule_file_is_named_and_left_alone(tmp_path: Path) -> None:
    main(["generate", "--output", str(tmp_path)])
    stale = tmp_path / "stocks-api-latency-high.yaml"
    stale.write_text("groups: []\n")
    with pytest.raises(SystemExit, match=r"stale: stocks-api-latency-high\.yaml; run"):
        main(["generate", "--check", "--output", str(tmp_path)])
    assert stale.read_text() == "groups: []\n"


def test_generate_removes_the_file_of_an_alert_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "stocks-gone.yaml").write_text("groups: []\n")
    main(["generate", "--output", str(tmp_path)])
    assert not (tmp_path / "stocks-gone.yaml").exists()


def test_render_writes_the_chart_rules_and_the_objects_of_one_namespace(tmp_path: Path) -> None:
    main(["render", "--namespace", "desk", "--output", str(tmp_path), "examples/tsla-pnl.yaml"])
    assert len(list(tmp_path.glob("stocks-*.yaml"))) == len(list(RULES.glob("*.yaml")))
    assert not any("__NAMESPACE__" in file.read_text() for file in tmp_path.iterdir())
    (group,) = yaml.safe_load((tmp_path / "threshold-tsla-pnl.yaml").read_text())["groups"]
    assert group["rules"][0]["labels"]["namespace"] == "desk"


def test_every_example_is_valid(capsys: pytest.CaptureFixture[str]) -> None:
    examples = sorted(str(path) for path in (ROOT / "examples").glob("*.yaml"))
    main(["validate", *examples])
    assert capsys.readouterr().out == f"{len(examples)} valid\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("0.05", "5"), "spec.critical.threshold: is 5, must lie between 0.001 and 1"),
        (GOOD.replace("0.05", "0.01"), "must lie above warning.threshold (0.02)"),
        (GOOD.replace("StocksOrder", "StocksOrdre"), "is not in the catalogue; known: Stocks"),
        ("- a list", "holds something that is no object"),
        ("a: [", "while parsing"),
    ],
    ids=["out of bounds", "warning beyond critical", "unknown alert", "a list", "no YAML"],
)
def test_a_bad_file_is_refused_with_its_name(tmp_path: Path, text: str, message: str) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(text)
    with pytest.raises(SystemExit) as caught:
        main(["validate", str(bad), "examples/tsla-pnl.yaml"])
    assert message in str(caught.value)
    assert str(bad) in str(caught.value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(SystemExit, match="nowhere"):
        main(["validate", "nowhere.yaml"])
