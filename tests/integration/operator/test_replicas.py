"""Two replicas: one acts, the other knows everything and writes nothing, until it is its turn."""

from __future__ import annotations

from tests.integration.operator.conftest import Desk, Operator, Proxied
from tests.integration.operator.test_objects import Start, wait_written
from tests.waiting import eventually

#: A Lease of 15 s that nobody renews, on a busy machine.
TAKEN_OVER = 60


def leads(operator: Operator) -> bool:
    return operator.metric("threshold_operator_leader") == 1


def wait_leads(operator: Operator) -> None:
    eventually(lambda: leads(operator), bool, within=TAKEN_OVER, every=0.1)


def lease(desk: Desk) -> dict[str, object]:
    spec: dict[str, object] = desk.server.get(desk.namespace, "lease", "threshold-operator")["spec"]
    return spec


def test_one_acts_and_the_other_takes_over_within_moments_of_sigterm(
    desk: Desk, start: Start
) -> None:
    first = start()
    wait_leads(first)
    second = start()  # ready, though it follows
    desk.apply("tight", critical={"threshold": 0.05})
    wait_written(desk, "tight")
    assert not leads(second)
    assert second.writes == 0
    assert second.get("/healthz").status_code == 200
    before = desk.versions()

    holder = lease(desk)["holderIdentity"]
    assert first.stop() == 0
    # Given back on the way out: nobody has to wait until it runs out.
    assert lease(desk)["holderIdentity"] != holder
    wait_leads(second)
    assert desk.versions() == before, "what was right isn't written again"
    assert lease(desk)["leaseTransitions"] == 2
    desk.apply("tight", critical={"threshold": 0.06})
    wait_written(desk, "tight")
    assert desk.exprs("tight") == ["vector(0.06)"]


def test_one_that_is_killed_is_replaced_and_no_rule_is_lost(desk: Desk, start: Start) -> None:
    first = start()
    wait_leads(first)
    second = start()
    desk.apply("tight", critical={"threshold": 0.05})
    wait_written(desk, "tight")
    desk.apply("tight", critical={"threshold": 7})  # refused: only the rule remembers 0.05
    desk.wait_condition("tight", "Accepted", "False", "OutOfBounds")
    first.process.kill()
    first.process.wait()
    desk.delete("prometheusrule", "threshold-tight")
    wait_leads(second)
    eventually(lambda: desk.exprs("tight"), lambda e: e == ["vector(0.05)"], within=30, every=0.3)


def test_one_that_cannot_renew_the_lease_stops_before_the_other_begins(
    desk: Desk, proxied: Proxied, start: Start
) -> None:
    first = proxied.start()
    wait_leads(first)
    second = start()
    proxied.proxy.fault = lambda request: 500 if "/leases/" in request.path else None
    eventually(lambda: leads(first), lambda leading: not leading, within=TAKEN_OVER, every=0.05)
    assert not leads(second), "for some seconds nobody leads, rather than both"
    wait_leads(second)
    writes = first.writes
    desk.apply("tight", critical={"threshold": 0.05})
    wait_written(desk, "tight")
    assert first.writes == writes
    proxied.proxy.well()
    assert second.stop() == 0
    wait_leads(first)


def test_two_leaders_for_a_moment_agree(desk: Desk, start: Start) -> None:
    """A Lease that somebody deletes: both act, and neither undoes the other's work."""
    both = [start(), start()]
    eventually(lambda: sum(map(leads, both)), lambda n: n == 1, within=TAKEN_OVER, every=0.1)
    moments = 0
    for number in range(1, 12):
        desk.kubectl("delete", "lease", "threshold-operator", "--ignore-not-found")
        desk.apply("tight", critical={"threshold": number / 100})
        moments += sum(map(leads, both)) == 2
    wait_written(desk, "tight")
    eventually(lambda: desk.exprs("tight"), lambda e: e == ["vector(0.11)"], within=60, every=0.3)
    eventually(lambda: sum(map(leads, both)), lambda n: n == 1, within=TAKEN_OVER, every=0.1)
    settled = sum(operator.writes for operator in both)
    # Rule, status and Event of each edit, and once more where both wrote.
    assert settled <= 2 * 3 * 11, moments
    assert len(desk.server.items(desk.namespace, "prometheusrule")) == 1
