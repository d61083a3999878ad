"""The table of alerts in the documentation, and that a stale one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from threshold_operator.cli.commands import main
from threshold_operator.cli.index import BEGIN, END, with_table
from threshold_operator.model.catalogue import Catalogue, CatalogueError

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


def test_generate_writes_it_and_check_tells_of_a_stale_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, rules = page(tmp_path), str(tmp_path / "rules")
    command = ["generate", "--output", rules, "--table", str(file)]
    main(command)
    main([*command, "--check"])
    file.write_text(file.read_text().replace("silent", "loud"))
    with pytest.raises(SystemExit, match="1"):
        main([*command, "--check"])
    assert f"stale: {file}; run `make generate`" in capsys.readouterr().err
