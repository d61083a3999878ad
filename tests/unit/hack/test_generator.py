"""The files made from the catalogue; a stale one is named."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from generator import crd
from generator.__main__ import main
from generator.alert_table import BEGIN, END, with_table
from generator.crd import CRD
from threshold_operator.model import times
from threshold_operator.model.catalogue import Catalogue, CatalogueError
from threshold_operator.model.threshold import Preview, Spec, Tier

ROOT = Path(__file__).parents[3]
CATALOGUE = Catalogue.load(ROOT / "charts" / "stocks-fastapi" / "files" / "catalogue.yaml")


def page(tmp_path: Path, text: str = f"above\n{BEGIN}of yesterday\n{END}below\n") -> Path:
    file = tmp_path / "page.md"
    file.write_text(text)
    return file


def test_only_what_is_between_the_markers_is_replaced(tmp_path: Path) -> None:
    text = with_table(page(tmp_path), CATALOGUE)
    assert text.startswith(f"above\n{BEGIN}\n| alert |")
    assert text.endswith(f"|\n\n{END}below\n")
    assert "of yesterday" not in text
    assert text.count("[Stocks") == len(list(CATALOGUE))


def test_a_row_says_what_fires_at_which_number_and_what_absence_means() -> None:
    (row,) = (
        line
        for line in with_table(ROOT / "README.md", CATALOGUE).splitlines()
        if line.startswith("| [StocksDiskSpaceLow]")
    )
    assert row == (
        "| [StocksDiskSpaceLow](docs/runbooks/StocksDiskSpaceLow.md) | Little space is left on"
        " a volume | < 10 % for 1m | - | volume | silent |"
    )


@pytest.mark.parametrize("text", ["no markers", BEGIN, f"{BEGIN}{END}" * 2])
def test_a_page_without_one_place_for_it_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(CatalogueError, match=r"page\.md: there must be one"):
        with_table(page(tmp_path, text), CATALOGUE)


def test_it_is_written_and_check_tells_of_a_stale_one(tmp_path: Path) -> None:
    file, rules = page(tmp_path), str(tmp_path / "rules")
    command = ["--output", rules, "--table", str(file)]
    main(command)
    main([*command, "--check"])
    file.write_text(file.read_text().replace("silent", "loud"))
    with pytest.raises(SystemExit, match=re.escape(f"stale: {file}; run `make generate`")):
        main([*command, "--check"])


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_a_stale_rule_file_is_named_and_left_alone(tmp_path: Path) -> None:
    main(["--output", str(tmp_path)])
    stale = tmp_path / "stocks-api-latency-high.yaml"
    stale.write_text("groups: []\n")
    with pytest.raises(SystemExit, match=r"stale: stocks-api-latency-high\.yaml; run"):
        main(["--check", "--output", str(tmp_path)])
    assert stale.read_text() == "groups: []\n"


def test_the_file_of_an_alert_that_is_gone_is_removed(tmp_path: Path) -> None:
    (tmp_path / "stocks-gone.yaml").write_text("groups: []\n")
    main(["--output", str(tmp_path)])
    assert not (tmp_path / "stocks-gone.yaml").exists()


def test_a_catalogue_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"generator: .*gone\.yaml"):
        main(["--catalogue", str(tmp_path / "gone.yaml")])


@pytest.mark.parametrize(
    ("name", "value", "written"),
    [
        ("LONGEST_TIMING", timedelta(days=8), "<= 691200"),
        ("SHORTEST_WINDOW", timedelta(hours=2), "s >= 7200"),
        ("LONGEST_WINDOW", timedelta(days=31), "s <= 2678400"),
        ("DURATION", times.DURATION.replace("7", "5"), "self.matches('^([0-9]{1,5}w)?"),
        ("TIME", "2[0-9]{3}-.*Z", "self.matches('^2[0-9]{3}-.*Z$')"),
    ],
)
def test_the_crd_has_the_limits_and_patterns_of_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object, written: str
) -> None:
    copy = tmp_path / "crd.yaml"
    copy.write_text(CRD.read_text())
    command = ["--output", str(tmp_path / "rules"), "--crd", str(copy)]
    main(command)
    assert copy.read_text() == CRD.read_text()
    monkeypatch.setattr(times, name, value)
    with pytest.raises(SystemExit, match=r"stale: .*crd\.yaml; run `make generate`"):
        main([*command, "--check"])
    main(command)
    assert written in copy.read_text()


def test_a_field_of_the_model_is_one_of_the_crd(monkeypatch: pytest.MonkeyPatch) -> None:
    class Longer(Spec):
        note: str = ""

    monkeypatch.setattr(crd, "Spec", Longer)
    assert crd.spec()["properties"]["note"] == {"type": "string"}


def test_the_policy_knows_the_fields_of_the_model() -> None:
    policy = (CRD.parent / "admission.yaml").read_text()
    for model in (Spec, Tier, Preview):
        fields = [field.alias or name for name, field in model.model_fields.items()]
        assert f'"{fields}"' in policy


def test_a_crd_without_one_place_for_it_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "crd.yaml"
    file.write_text("no markers")
    with pytest.raises(ValueError, match=r"crd\.yaml: there must be one"):
        crd.with_spec(file)
