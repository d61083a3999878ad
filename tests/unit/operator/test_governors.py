"""Who governs what: the number in force for a scope, and whether the tiers are in order there."""

from __future__ import annotations

import pytest
from tests.unit.operator.objects import CATALOGUE, NOW, PNL, RATE, threshold

from threshold_operator.model.governors import Governors, Limit
from threshold_operator.model.threshold import AlertThreshold, Severity

TSLA = {"symbol": "TSLA"}


def pnl(name: str, **spec: object) -> AlertThreshold:
    return threshold(name, PNL, **spec)


# By default warning is 0.1 and critical 0.2 for the rejection rate; the operator's has no critical.
ALONE = {
    "critical below the chart's warning": ({"critical": {"threshold": 0.05}}, "0.1 (the chart's"),
    "critical that equals it": ({"critical": {"threshold": 0.1}}, "critical 0.1 (of it)"),
    "warning above the chart's critical": ({"warning": {"threshold": 0.5}}, "0.2 (the chart's"),
    "critical above the chart's warning": ({"critical": {"threshold": 0.15}}, ""),
    "warning below the chart's critical": ({"warning": {"threshold": 0.05}}, ""),
    "a silenced warning": ({"warning": {"enabled": False}}, ""),
    "a Shadow": ({"mode": "Shadow", "critical": {"threshold": 0.05}}, ""),
    "a Preview": ({"mode": "Preview", "critical": {"threshold": 0.05}}, ""),
}


@pytest.mark.parametrize(("spec", "said"), ALONE.values(), ids=ALONE)
def test_row_o_tiers_are_compared_with_the_charts_defaults(
    spec: dict[str, object], said: str
) -> None:
    it = threshold("it", RATE, **spec)
    found = Governors.of([it]).out_of_order(it, CATALOGUE[RATE])
    assert said in found
    assert bool(found) == bool(said)


def test_row_o_tiers_are_compared_with_those_of_other_objects() -> None:
    mild, severe = (
        threshold("mild", RATE, warning={"threshold": 0.08}),
        threshold("severe", RATE, critical={"threshold": 0.09}),
    )
    both = Governors.of([mild, severe])
    assert not both.out_of_order(severe, CATALOGUE[RATE]), "the chart's 0.1 doesn't hold here"
    assert "0.1 (the chart's default)" in Governors.of([severe]).out_of_order(
        severe, CATALOGUE[RATE]
    )


def test_row_o_a_scoped_tier_meets_the_wide_one_that_holds_there_too() -> None:
    wide, scoped = (
        pnl("wide", warning={"threshold": 0.5}, critical={"threshold": 0.6}),
        pnl("scoped", match=TSLA, critical={"threshold": 0.4}),
    )
    known, entry = Governors.of([wide, scoped]), CATALOGUE[PNL]
    assert known.out_of_order(scoped, entry) == (
        "critical 0.4 (of scoped) is reached no later than warning 0.5 (of wide);"
        " set both tiers in scoped, critical above warning"
    )
    assert not known.out_of_order(wide, entry), "within its own scope its tiers are in order"


def test_row_o_below_means_that_critical_is_the_lower_number() -> None:
    disk = CATALOGUE["StocksDiskSpaceLow"]
    warning = disk.default(Severity.WARNING)
    assert warning is not None
    it = threshold("it", disk.name, critical={"threshold": warning + 0.01})
    assert "critical below warning" in Governors.of([it]).out_of_order(it, disk)


def test_the_number_in_force_is_the_scoped_ones_the_wide_ones_or_the_charts() -> None:
    wide, scoped = (
        pnl("wide", critical={"threshold": 0.6}),
        pnl("scoped", match=TSLA, critical={"threshold": 0.4}),
    )
    known, entry = Governors.of([wide, scoped]), CATALOGUE[PNL]
    found = [
        known.limit(entry, Severity.CRITICAL, "symbol=TSLA"),
        known.limit(entry, Severity.CRITICAL, "symbol=AAPL"),
        known.limit(entry, Severity.WARNING, "symbol=TSLA"),
    ]
    assert found == [
        Limit(0.4, "scoped"),
        Limit(0.6, "wide"),
        Limit(entry.default(Severity.WARNING)),
    ]


def test_scopes_within_are_those_of_the_same_alert_and_tier() -> None:
    wide = pnl("wide", critical={"threshold": 0.6})
    others = [
        pnl("b", match=TSLA, critical={"threshold": 0.4}),
        pnl("a", match={"symbol": "AAPL"}, critical={"threshold": 0.4}),
        pnl("mild", match={"symbol": "MSFT"}, warning={"threshold": 0.01}),
        pnl("only-watches", match={"symbol": "IBM"}, mode="Shadow", critical={"threshold": 0.4}),
    ]
    known = Governors.of([wide, *others])
    assert known.scopes_within(wide) == ["symbol=AAPL", "symbol=TSLA"]
    assert known.scopes_within(others[0]) == []
    known.note("b", None, NOW)
    assert known.scopes_within(wide) == ["symbol=AAPL"]
