"""Row i: of two operators that would write the same objects one does, the other names it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import httpx
from tests.integration.operator.conftest import SOON, Desk, Operator, new_desk, operators
from tests.integration.operator.test_objects import Start, wait_written
from tests.integration.operator.test_rbac import cluster_wide
from tests.integration.operator.test_replicas import TAKEN_OVER, wait_leads
from tests.waiting import eventually


def said(operator: Operator) -> str:
    """What it says when asked whether it is ready; empty where it doesn't listen yet."""
    try:
        return operator.get("/readyz").text
    except httpx.TransportError:
        return ""


def test_a_second_release_in_the_namespace_is_not_ready_and_names_the_first(
    desk: Desk, start: Start
) -> None:
    first = start(THRESHOLDS_RELEASE="stocks")
    wait_leads(first)
    second = start(THRESHOLDS_RELEASE="4444412", ready=False)
    refused = eventually(lambda: said(second), lambda text: "stocks" in text, within=SOON)
    assert "of the release stocks serves this namespace; set operator.enabled=false" in refused
    desk.apply("tight", critical={"threshold": 0.05})
    wait_written(desk, "tight")
    assert second.writes == 0
    assert second.get("/healthz").status_code == 200, "a restart wouldn't help"
    assert first.stop() == 0
    eventually(lambda: said(second), lambda text: text == "ok", within=TAKEN_OVER)
    wait_leads(second)


def test_one_for_all_namespaces_leaves_one_to_its_own_operator(
    desk: Desk, start: Start, tmp_path: Path
) -> None:
    other_desk = new_desk(desk.server, f"{desk.namespace}-other")
    cluster_wide(desk)
    wide = start(served="*", THRESHOLDS_RELEASE="wide", THRESHOLDS_RULE_LABELS="by=wide")
    for each in (desk, other_desk):
        each.apply("tight", critical={"threshold": 0.05})
        eventually(partial(by, each), lambda b: b == "wide", within=SOON)
    with operators(other_desk, tmp_path) as begin:
        own = begin(THRESHOLDS_RELEASE="own", THRESHOLDS_RULE_LABELS="by=own")
        left = f"{other_desk.namespace}: served by "
        eventually(wide.log.read_text, lambda t: left in t, within=SOON)
        eventually(lambda: by(other_desk), lambda b: b == "own", within=SOON)
        before = writes(wide)
        other_desk.apply("tight", critical={"threshold": 0.06})
        eventually(lambda: other_desk.exprs("tight"), lambda e: e == ["vector(0.06)"], within=SOON)
        assert by(other_desk) == "own"
        assert writes(wide) == before
        assert wide.metric("threshold_objects", namespace=other_desk.namespace) == 0
        assert own.stop() == 0
    eventually(lambda: by(other_desk), lambda b: b == "wide", within=TAKEN_OVER)
    assert by(desk) == "wide"


def by(desk: Desk) -> str:
    """Whose label the rule bears."""
    rule = desk.rule("tight") or {"metadata": {}}
    return str(rule["metadata"].get("labels", {}).get("by", ""))


def writes(operator: Operator) -> float:
    return operator.metric("thresholds_writes_total")
