"""Parsing: what a user wrote becomes a trusted object, or a problem for each wrong field."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from threshold_operator.model.threshold import (
    AlertThreshold,
    Comparator,
    InvalidThresholdError,
    Mode,
    Severity,
)
from threshold_operator.model.times import duration


def body(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "stocks-fastapi.io/v1alpha1",
        "kind": "AlertThreshold",
        "metadata": {
            "name": "tsla-pnl",
            "namespace": "trading",
            "uid": "u1",
            "generation": 3,
            "creationTimestamp": "2026-11-23T10:00:00Z",
        },
        "spec": {"alert": "StocksPnlMoveUnusual", "critical": {"threshold": 0.03}} | spec,
    }


def test_a_whole_object_is_read() -> None:
    threshold = AlertThreshold.parse(
        body(
            match={"symbol": "TSLA"}, warning={"threshold": 0.02}, expiresAt="2026-12-24T21:00:00Z"
        )
    )
    assert (threshold.namespace, threshold.name, threshold.generation) == ("trading", "tsla-pnl", 3)
    assert threshold.created == datetime(2026, 11, 23, 10, tzinfo=UTC)
    assert threshold.scope == "symbol=TSLA"
    assert {severity: tier.threshold for severity, tier in threshold.spec.tiers.items()} == {
        Severity.WARNING: 0.02,
        Severity.CRITICAL: 0.03,
    }


def test_every_field_is_read_as_it_was_written() -> None:
    threshold = AlertThreshold.parse(
        body(
            critical={"threshold": 0.03, "for": "1m30s", "keepFiringFor": "0s", "recover": 0.02},
            warning={"enabled": False},
            mode="Shadow",
            preview={"window": "2d"},
        )
    )
    spec = threshold.spec
    assert spec.critical is not None
    assert (spec.critical.for_, spec.critical.keep_firing_for) == ("1m30s", "0s")
    assert (spec.critical.recover, spec.critical.own_timing) == (0.02, True)
    assert spec.warning is not None
    assert (spec.warning.enabled, spec.warning.threshold, spec.warning.own_timing) == (
        *(False, None),
        False,
    )
    assert (spec.mode, spec.preview and spec.preview.window) == (Mode.SHADOW, "2d")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("90s", 90), ("1h30m", 5400), ("1d", 86400), ("1w1d1h1m1s", 694861)],
)
def test_a_duration_is_read_as_prometheus_reads_it(text: str, seconds: int) -> None:
    assert duration(text).total_seconds() == seconds


def test_an_object_expires_at_its_time_and_not_before() -> None:
    threshold = AlertThreshold.parse(body(expiresAt="2026-12-24T21:00:00Z"))
    assert not threshold.expired(datetime(2026, 12, 24, 20, 59, 59, tzinfo=UTC))
    assert threshold.expired(datetime(2026, 12, 24, 21, tzinfo=UTC))


def test_row_b_an_object_that_is_created_expired_is_valid() -> None:
    """Backups and GitOps apply old files."""
    old = body(expiresAt="2026-11-23T10:00:00Z")
    old["metadata"]["generation"] = 1
    assert AlertThreshold.parse(old).expired(datetime(2026, 11, 23, 10, tzinfo=UTC))


def test_a_file_without_metadata_of_a_cluster_counts_as_the_oldest() -> None:
    file = body() | {"metadata": {"name": "tsla-pnl"}}
    threshold = AlertThreshold.parse(file, namespace="stocks")
    assert (threshold.namespace, threshold.scope, threshold.generation) == ("stocks", "*", 1)
    assert threshold.created.year == 1


@pytest.mark.parametrize(
    ("spec", "field", "text"),
    [
        ({"critical": None}, "spec", "sets nothing"),
        ({"critical": {"threshold": "0.03"}}, "spec.critical.threshold", "valid number"),
        ({"critical": {"threshold": True}}, "spec.critical.threshold", "valid number"),
        ({"critical": {"threshold": float("nan")}}, "spec.critical.threshold", "finite"),
        ({"critical": {"threshold": float("inf")}}, "spec.critical.threshold", "finite"),
        ({"critical": {}}, "spec.critical", "sets no number; give threshold"),
        ({"critical": {"threshold": 1, "expr": "up"}}, "spec.critical.expr", "not a field"),
        ({"query": "up"}, "spec.query", "not a field"),
        ({"alert": 7}, "spec.alert", "valid string"),
        ({"critical": {"enabled": False, "threshold": 1}}, "spec.critical", "is silenced"),
        ({"critical": {"enabled": False, "for": "1m"}}, "spec.critical", "is silenced"),
        ({"critical": {"threshold": 1, "for": 5}}, "spec.critical.for", "valid string"),
        ({"critical": {"threshold": 1, "for": "5"}}, "spec.critical.for", "such as 30s"),
        ({"critical": {"threshold": 1, "for": ""}}, "spec.critical.for", "such as 30s"),
        ({"critical": {"threshold": 1, "for": "-1m"}}, "spec.critical.for", "such as 30s"),
        ({"critical": {"threshold": 1, "for": "1s1m"}}, "spec.critical.for", "such as 30s"),
        ({"critical": {"threshold": 1, "for": "1y"}}, "spec.critical.for", "such as 30s"),
        ({"critical": {"threshold": 1, "for": "8d"}}, "spec.critical.for", "at most 7d"),
        (
            {"critical": {"threshold": 1, "keepFiringFor": "169h"}},
            "spec.critical.keepFiringFor",
            "at most 7d",
        ),
        ({"critical": {"threshold": 1, "for_": "1m"}}, "spec.critical.for_", "not a field"),
        ({"critical": {"threshold": 1, "recover": "x"}}, "spec.critical.recover", "valid number"),
        ({"mode": "Loud"}, "spec.mode", "'Enforce', 'Shadow' or 'Preview'"),
        ({"preview": {"window": "59m"}}, "spec.preview.window", "between 1h and 30d"),
        ({"preview": {"window": "5w"}}, "spec.preview.window", "between 1h and 30d"),
        ({"preview": {"days": 7}}, "spec.preview.days", "not a field"),
        ({"expiresAt": "tomorrow"}, "spec.expiresAt", "RFC 3339"),
        ({"expiresAt": "2026-12-24T21:00:00"}, "spec.expiresAt", "RFC 3339"),
        ({"match": {"symbol": "A", "route": "B"}}, "spec.match", "at most 1"),
        ({"match": {"symbol": ""}}, "spec.match.symbol", "at least 1"),
        ({"match": {"symbol": "A" * 129}}, "spec.match.symbol", "at most 128"),
        ({"reason": "x" * 257}, "spec.reason", "at most 256"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_wrong_field_is_named(spec: dict[str, Any], field: str, text: str) -> None:
    with pytest.raises(InvalidThresholdError) as caught:
        AlertThreshold.parse(body(**spec))
    (problem,) = caught.value.problems
    assert problem.field == field
    assert text in problem.message


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"metadata": {"name": "default"}}, "metadata.name"),
        ({"metadata": {}}, "metadata.name"),
        ({"metadata": {"name": "../../etc/passwd"}}, "metadata.name"),
        ({"metadata": {"name": 7}}, "metadata.name"),
        ({"metadata": "tsla-pnl"}, "metadata.name"),
        ({"kind": "ConfigMap"}, "kind"),
        ({"spec": None}, "spec"),
        ({"spec": ["critical"]}, "spec"),
    ],
    ids=str,
)
def test_what_is_no_alertthreshold_is_refused(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidThresholdError) as caught:
        AlertThreshold.parse(body() | change)
    assert [problem.field for problem in caught.value.problems] == [field]


def test_all_problems_are_told_at_once() -> None:
    wrong = body(alert=7, reason=8) | {"kind": "Pod"}
    with pytest.raises(InvalidThresholdError) as caught:
        AlertThreshold.parse(wrong)
    assert [p.field for p in caught.value.problems] == ["kind", "spec.alert", "spec.reason"]


@pytest.mark.parametrize(
    ("comparator", "further"), [(Comparator.ABOVE, 2.0), (Comparator.BELOW, 1.0)]
)
def test_beyond_follows_the_direction_of_the_alert(comparator: Comparator, further: float) -> None:
    nearer = 3.0 - further
    assert comparator.beyond(further, nearer)
    assert not comparator.beyond(nearer, further)
    assert not comparator.beyond(further, further)
