"""Every runbook, followed: links, queries on a real Prometheus, commands, the example."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.quality.conftest import CHART_FILES, ROOT, Live

from threshold_operator.model.catalogue import Catalogue
from threshold_operator.model.threshold import AlertThreshold

CATALOGUE = Catalogue.load(CHART_FILES / "catalogue.yaml")
RUNBOOKS = ROOT / "docs" / "runbooks"
PAGES = sorted(RUNBOOKS.glob("*.md"))
ALERTS = [page for page in PAGES if page.stem != "README"]
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation", "Tuning"]

page_param = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
alert_param = pytest.mark.parametrize("page", ALERTS, ids=lambda page: page.stem)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def section(page: Path, title: str) -> str:
    return page.read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Targets within the repository, with their anchors."""
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if not target.startswith(("https://", "http://")):
            path, _, anchor = target.partition("#")
            yield (page.parent / path if path else page), anchor


def test_there_is_one_for_each_alert_and_for_nothing_else() -> None:
    assert [page.stem for page in ALERTS] == sorted(entry.name for entry in CATALOGUE)


@alert_param
def test_it_has_the_sections_of_every_runbook(page: Path) -> None:
    assert page.read_text().startswith(f"# {page.stem}\n")
    assert re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE) == SECTIONS
    assert all(section(page, title).strip() for title in SECTIONS)


@page_param
def test_its_links_lead_somewhere(page: Path) -> None:
    for target, anchor in links(page):
        assert target.exists(), target
        assert not anchor or anchor in anchors(target), anchor


@alert_param
def test_its_queries_run(page: Path, live: Live) -> None:
    queries = [line for block in blocks(page, "promql") for line in block.splitlines()]
    assert CATALOGUE[page.stem].signal.name in " ".join(queries)
    for query in queries:
        answer = live.query(query)
        assert answer["status"] == "success", answer


@page_param
def test_its_commands_are_commands(page: Path, live: Live) -> None:
    for block in blocks(page, "sh"):
        done = subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
        for path in re.findall(r":8000(/[\w/-]*)", block):
            assert any(same_route(path, template) for template in live.routes()), path


def same_route(path: str, template: str) -> bool:
    return re.fullmatch(re.sub(r"\{\w+\}", r"[^/]+", template), path) is not None


@alert_param
def test_its_example_is_valid_and_of_this_alert(page: Path) -> None:
    examples = [yaml.safe_load(block) for block in blocks(page, "yaml")]
    assert examples
    for example in examples:
        threshold = parsed(example)
        assert threshold.spec.alert == page.stem
        assert CATALOGUE.problems(threshold) == []
    assert "```yaml" in section(page, "Tuning")


def parsed(body: dict[str, Any]) -> AlertThreshold:
    return AlertThreshold.parse(body, "stocks")
