"""The catalogue checks itself, and objects against itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from threshold_operator.model.catalogue import Catalogue, CatalogueError, kebab
from threshold_operator.model.threshold import AlertThreshold

SHIPPED = Path(__file__).parents[3] / "charts" / "stocks-fastapi" / "files" / "catalogue.yaml"

ENTRY: dict[str, Any] = {
    "name": "StocksDiskSpaceLow",
    "summary": "Little space is left",
    "description": "{value} of {persistentvolumeclaim} is free, below {limit}.",
    "unit": "ratio",
    "comparator": "<",
    "signal": {"name": "stocks:disk_free:ratio", "expr": 'free{namespace="__NAMESPACE__"}'},
    "scope": "persistentvolumeclaim",
    "bounds": {"min": 0, "max": 1},
    "absent": {"means": "silent", "because": "No volume."},
    "tiers": {"warning": {"threshold": 0.2, "for": "5m"}, "critical": {"for": "5m"}},
}
OTHER = {"name": "stocks:other:ratio", "expr": 'other{namespace="__NAMESPACE__"}'}


def load(tmp_path: Path, *entries: dict[str, Any]) -> Catalogue:
    file = tmp_path / "catalogue.yaml"
    file.write_text(yaml.safe_dump({"alerts": list(entries)}))
    return Catalogue.load(file)


def threshold(alert: str = "StocksDiskSpaceLow", **spec: Any) -> AlertThreshold:
    return AlertThreshold.parse(
        {
            "apiVersion": "stocks-fastapi.io/v1alpha1",
            "kind": "AlertThreshold",
            "metadata": {"name": "mine", "namespace": "n"},
            "spec": {"alert": alert, **spec},
        }
    )


def test_the_shipped_catalogue_loads() -> None:
    assert {entry.name for entry in Catalogue.load(SHIPPED)} >= {
        "StocksGatewayConnectionLost",
        "StocksOrderRejectionRateHigh",
        "StocksApiLatencyHigh",
        "StocksPnlMoveUnusual",
    }


@pytest.mark.parametrize(
    "spec",
    [
        {"warning": {"threshold": 0.3}},
        {"critical": {"threshold": 0.05}},
        {"warning": {"threshold": 0.3}, "critical": {"threshold": 0.05}},
        {"warning": {"threshold": 0}},
        {"warning": {"threshold": 1}},
        {"warning": {"threshold": 0.3, "recover": 0.4}},
        {"warning": {"enabled": False}, "critical": {"threshold": 0.9}},
        {"warning": {"threshold": 0.3}, "match": {"persistentvolumeclaim": "data"}},
    ],
    ids=str,
)
def test_a_fitting_object_has_no_problem(tmp_path: Path, spec: dict[str, Any]) -> None:
    assert load(tmp_path, ENTRY).problems(threshold(**spec)) == []


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (
            {"warning": {"threshold": 1.5}},
            "spec.warning.threshold: is 1.5, must lie between 0 and 1 ratio",
        ),
        (
            {"critical": {"threshold": -0.1}},
            "spec.critical.threshold: is -0.1, must lie between 0 and 1 ratio",
        ),
        (
            {"warning": {"threshold": 0.1}, "critical": {"threshold": 0.2}},
            "spec.critical.threshold: is 0.2, must lie below warning.threshold (0.1)",
        ),
        (
            {"warning": {"threshold": 0.1}, "critical": {"threshold": 0.1}},
            "spec.critical.threshold: is 0.1, must lie below warning.threshold (0.1)",
        ),
        (
            {"warning": {"threshold": 0.1, "recover": 0.1}},
            "spec.warning.recover: is 0.1, must lie above threshold (0.1)",
        ),
        (
            {"warning": {"threshold": 0.1, "recover": 1.1}},
            "spec.warning.recover: is 1.1, must lie between 0 and 1 ratio",
        ),
        (
            {"warning": {"threshold": 0.1}, "match": {"symbol": "TSLA"}},
            "spec.match.symbol: StocksDiskSpaceLow can only be matched by persistentvolumeclaim",
        ),
        (
            {"alert": "StocksNothing", "warning": {"threshold": 0.1}},
            "spec.alert: StocksNothing is not in the catalogue; known: StocksDiskSpaceLow",
        ),
    ],
    ids=lambda value: str(value)[:70],
)
def test_a_problem_names_field_limit_and_fix(
    tmp_path: Path, spec: dict[str, Any], problem: str
) -> None:
    found = load(tmp_path, ENTRY).problems(threshold(**spec))
    assert [str(each) for each in found] == [problem]


def test_an_alert_without_scope_takes_no_match(tmp_path: Path) -> None:
    entry = ENTRY | {"scope": None, "description": "{value} is free, below {limit}."}
    found = load(tmp_path, entry).problems(
        threshold(warning={"threshold": 0.1}, match={"symbol": "TSLA"})
    )
    text = "spec.match: StocksDiskSpaceLow has no scope label; remove match"
    assert [str(problem) for problem in found] == [text]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"name": "diskSpace"}, "name"),
        ({"unit": "furlongs"}, "unit"),
        ({"surprise": 1}, "surprise"),
        ({"absent": "No volume."}, "absent"),
        ({"absent": {"means": "covered", "because": "."}}, "by must name the alert"),
        ({"absent": {"means": "silent", "by": "X", "because": "."}}, "by must name the alert"),
        ({"absent": {"means": "covered", "by": "StocksX", "because": "."}}, "StocksX is no alert"),
        ({"needs": "luck"}, "needs"),
        ({"signal": {"name": "stocks:x:y", "expr": "free"}}, "must select namespace"),
        (
            {"signal": {"name": "stocks:x:y", "expr": 'sum(a{namespace="__NAMESPACE__"}'}},
            "isn't PromQL",
        ),
        ({"summary": "{value} is low"}, "summary must be a static sentence"),
        ({"description": "{value} is low"}, r"must show \{value\} and \{limit\}"),
        ({"description": "{value} of {limit} in {room}"}, r"can't fill in \{room\}"),
        ({"tiers": {"warning": {"for": "5m"}}}, "warning and critical"),
        ({"tiers": {"warning": {"for": "soon"}, "critical": {"for": "5m"}}}, "must be a duration"),
        (
            {
                "tiers": {
                    "warning": {"threshold": 0.2, "recover": 0.1, "for": "5m"},
                    "critical": {"for": "5m"},
                }
            },
            r"warning\.recover: is 0\.1, must lie above threshold",
        ),
        (
            {"tiers": {"warning": {"recover": 0.1, "for": "5m"}, "critical": {"for": "5m"}}},
            "belongs to a threshold",
        ),
        (
            {"tiers": {"warning": {"threshold": 7, "for": "5m"}, "critical": {"for": "5m"}}},
            "must lie between",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_wrong_entry_is_named_with_its_field(
    tmp_path: Path, change: dict[str, Any], text: str
) -> None:
    with pytest.raises(CatalogueError, match=text):
        load(tmp_path, ENTRY | change)


def test_an_alert_that_is_silent_itself_covers_nothing(tmp_path: Path) -> None:
    absent = {"means": "covered", "by": "StocksSilent", "because": "."}
    with pytest.raises(CatalogueError, match="StocksSilent is no alert that fires when absent"):
        load(
            tmp_path, ENTRY | {"absent": absent}, ENTRY | {"name": "StocksSilent", "signal": OTHER}
        )


def test_two_alerts_never_write_the_same_signal(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="signals named twice: stocks:disk_free:ratio"):
        load(tmp_path, ENTRY, ENTRY | {"name": "StocksOther"})


def test_an_alert_named_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"named twice: StocksDiskSpaceLow"):
        load(tmp_path, ENTRY, ENTRY)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"nowhere\.yaml"):
        Catalogue.load(tmp_path / "nowhere.yaml")


def test_kebab_is_for_names_of_files() -> None:
    assert kebab("StocksPnlMoveUnusual") == "stocks-pnl-move-unusual"
