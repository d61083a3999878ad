"""What the catalogue reads, on the pages that the real programs show, and in a real Prometheus."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.quality.conftest import Live
from tests.quality.promql import reading
from tests.quality.test_expressions import CONTRACT, ENTRIES, EXPORTERS
from tests.waiting import eventually

from threshold_operator.model.catalogue import Entry

#: Shown only once there is something to show; the unit tests know their labels.
SELDOM = {"threshold_objects", "threshold_rule_file_bytes"}


def shown(page: str) -> dict[str, set[str]]:
    """Sample name -> its labels; a family without samples has its name only."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(page):
        found.setdefault(family.name, set())
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.fixture(scope="module")
def pages(live: Live) -> dict[str, set[str]]:
    """The API's and the operator's together, with a position and the exchange's hours."""
    live.buy("AAPL")
    late = ("position_pnl_unrealized", "market_session_open")

    def both() -> dict[str, set[str]]:
        return shown(live.page("api")) | shown(live.page("operator"))

    return eventually(both, lambda page: all(page[name] for name in late), within=60)


def read_of_ours(entry: Entry) -> set[str]:
    exported = {name for metrics in EXPORTERS.values() for name in metrics}
    metrics = {
        name
        for series in (*entry.helpers, entry.signal)
        for name in reading(series.expr).metrics
        if not name.startswith("stocks:")
    }
    return metrics - exported


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_program_shows_what_it_reads(entry: Entry, pages: dict[str, set[str]]) -> None:
    assert read_of_ours(entry) <= pages.keys()


@pytest.mark.parametrize("metric", sorted(CONTRACT))
def test_it_is_shown_with_the_labels_that_are_agreed(
    metric: str, pages: dict[str, set[str]]
) -> None:
    kind, labels = CONTRACT[metric]
    sample = f"{metric}_count" if kind == "histogram" else metric
    assert pages[sample] == (set() if metric in SELDOM else set(labels))


def test_node_exporter_shows_what_is_read_of_it(live: Live) -> None:
    page = shown(live.page("node-exporter"))
    for metric, labels in EXPORTERS["node-exporter"].items():
        assert set(labels) <= page[metric], metric


@pytest.mark.parametrize(
    ("signal", "scope"),
    [("stocks:disk_free:ratio", "volume"), ("stocks:memory_usage:ratio", "container")],
)
def test_one_machine_needs_no_more_than_node_exporter(live: Live, signal: str, scope: str) -> None:
    def series() -> list[dict[str, str]]:
        found = live.query(f'{signal}{{namespace="stocks"}}')["data"]["result"]
        return [item["metric"] for item in found]

    for labels in eventually(series, bool, within=90):
        assert labels.keys() == {"__name__", "namespace", scope}
