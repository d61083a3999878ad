"""The chart's Role is exactly what the operator uses: nothing is missing, nothing is spare."""

from __future__ import annotations

from collections.abc import Iterable

from tests.integration.operator.apiserver import rendered
from tests.integration.operator.conftest import SOON, Desk, Proxied
from tests.integration.operator.proxy import Request
from tests.integration.operator.test_objects import PNL, wait_written
from tests.waiting import eventually


def test_every_right_of_the_role_is_used_and_none_is_missing(desk: Desk, proxied: Proxied) -> None:
    operator = proxied.start()
    live_a_life(desk)
    used = eventually(
        lambda: rights_used(proxied.proxy.requests), lambda u: u == granted(desk), within=SOON
    )
    assert used == granted(desk)
    assert [r for r in proxied.proxy.requests if r.status in (401, 403)] == []
    assert operator.stop() == 0


def live_a_life(desk: Desk) -> None:
    """All that an object can go through, so that every request is made that ever is."""
    desk.apply("tight", critical={"threshold": 0.05})
    wait_written(desk, "tight")
    desk.apply("tight", critical={"threshold": 0.06})
    desk.wait_condition("tight", "Accepted", "True", "Accepted")
    desk.delete("prometheusrule", "threshold-tight")
    eventually(lambda: desk.exprs("tight"), lambda e: e == ["vector(0.06)"], within=SOON)
    desk.apply("wrong", PNL, critical={"threshold": 77})
    desk.wait_condition("wrong", "Accepted", "False", "OutOfBounds")
    desk.delete("alertthreshold", "tight")


def granted(desk: Desk) -> set[tuple[str, str]]:
    return {
        (resource, verb)
        for role in rendered(desk.namespace, "role")
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def rights_used(requests: Iterable[Request]) -> set[tuple[str, str]]:
    """Each resource and verb that the API server let the operator use."""
    allowed = [r for r in requests if "/namespaces/" in r.path and r.status in (200, 201, 404)]
    used = {r.verb for r in allowed}
    # It asks for the right to create when an apply finds nothing to patch.
    return used | {
        (r.verb[0], "create") for r in allowed if r.verb[1] == "patch" and r.status == 201
    }
