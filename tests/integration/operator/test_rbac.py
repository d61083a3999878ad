"""The chart's rights are exactly what the operator uses: nothing is missing, nothing is spare."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from tests.integration.operator.apiserver import rendered
from tests.integration.operator.conftest import SOON, Desk, Proxied
from tests.integration.operator.monitoring import Monitoring
from tests.integration.operator.proxy import Request
from tests.integration.operator.test_objects import PNL, Start, wait_written
from tests.waiting import eventually

#: What is namespaced in the one case, and reaches over all namespaces in the other.
SERVED: dict[str, str] = {"one namespace": "", "all namespaces": "*"}


@pytest.mark.parametrize("served", SERVED.values(), ids=SERVED)
def test_every_right_is_used_and_none_is_missing(
    desk: Desk,
    proxied: Proxied,
    prometheus: Monitoring,
    select: Callable[..., None],
    served: str,
) -> None:
    if served:
        cluster_wide(desk)
    select(prometheus, ruleSelector={}, ruleNamespaceSelector={})
    operator = proxied.start(
        served, prometheus.url, THRESHOLDS_TOUCH_PODS="true", THRESHOLDS_ORPHAN_SECONDS="1"
    )
    desk.apply("hurried", PNL, critical={"threshold": 0.05})
    touch = ("pods/status", "patch")
    eventually(lambda: rights_used(proxied.proxy.requests), lambda used: touch in used, within=SOON)
    select(prometheus, ruleSelector={}, ruleNamespaceSelector={"matchLabels": {"team": "desk"}})
    live_a_life(desk)
    used = eventually(
        lambda: rights_used(proxied.proxy.requests),
        lambda u: u == granted(desk, served),
        within=SOON,
    )
    assert used == granted(desk, served)
    assert [r for r in proxied.proxy.requests if r.status in (401, 403)] == []
    assert operator.stop() == 0


def cluster_wide(desk: Desk) -> None:
    """The chart's rights with the other choice, in the place of the namespaced ones."""
    desk.delete("rolebinding", "stocks-operator")
    desk.server.apply(desk.namespace, *rendered(desk.namespace, *RIGHTS, **CLUSTER_WIDE))


RIGHTS = ("role", "rolebinding")
CLUSTER_WIDE = {"operator.clusterWide": "true"}


def test_an_object_never_touches_another_namespace(
    desk: Desk, other_desk: Desk, start: Start
) -> None:
    """The same names, alerts and scopes, an older one and a rival: each for itself."""
    cluster_wide(desk)
    operator = start(served="*")
    desk.apply("tight", critical={"threshold": 0.05})
    wait_written(desk, "tight")
    before = desk.versions()
    other_desk.apply("tight", critical={"threshold": 0.06})
    other_desk.apply("z-rival", critical={"threshold": 0.07})
    wait_written(other_desk, "tight")
    other_desk.wait_condition("z-rival", "Accepted", "False", "Conflict")
    assert other_desk.exprs("tight") == ["vector(0.06)"]
    for body in other_desk.rule("tight")["spec"]["groups"]:
        assert {r["labels"]["namespace"] for r in body["rules"]} == {other_desk.namespace}
    other_desk.delete("at", "tight")
    other_desk.wait_condition("z-rival", "Accepted", "True", "Accepted")
    assert desk.versions() == before, "another namespace's objects were none of its business"
    assert operator.metric("threshold_objects") >= 2


def live_a_life(desk: Desk) -> None:
    """All that an object can go through, so that every request is made that ever is."""
    desk.apply("tight", critical={"threshold": 0.05})
    wait_written(desk, "tight")
    desk.apply("tight", critical={"threshold": 0.06})
    desk.wait_condition("tight", "Accepted", "True", "Accepted")
    said = desk.wait_condition("tight", "Effective", "False", "NotSelected")
    labels = f"wants team=desk, and the namespace {desk.namespace} has no team; label it"
    assert said["message"].endswith(f"its ruleNamespaceSelector {labels}")
    desk.delete("prometheusrule", "threshold-tight")
    eventually(lambda: desk.exprs("tight"), lambda e: e == ["vector(0.06)"], within=SOON)
    desk.apply("wrong", PNL, critical={"threshold": 77})
    desk.wait_condition("wrong", "Accepted", "False", "OutOfBounds")
    desk.delete("alertthreshold", "tight")


def granted(desk: Desk, served: str) -> set[tuple[str, str]]:
    choice = CLUSTER_WIDE if served else {}
    return {
        (resource, verb)
        for role in rendered(desk.namespace, "role", **choice)
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def rights_used(requests: Iterable[Request]) -> set[tuple[str, str]]:
    """Each resource and verb that the API server let the operator use."""
    allowed = [r for r in requests if r.of_objects and r.status in (200, 201, 404)]
    used = {r.verb for r in allowed}
    # It asks for the right to create when an apply finds nothing to patch.
    return used | {
        (r.verb[0], "create") for r in allowed if r.verb[1] == "patch" and r.status == 201
    }
