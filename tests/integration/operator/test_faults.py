"""The API server goes wrong, the operator dies or has company: it ends as the objects ask."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.bench.subjects import create
from tests.integration.operator import apiserver
from tests.integration.operator.apiserver import ApiServer, rendered
from tests.integration.operator.conftest import Desk, Proxied, behind_a_proxy, new_desk
from tests.integration.operator.proxy import BROKEN, DROP, GONE, HANG, SILENT, STALE, Request
from tests.integration.operator.test_objects import PNL, Start, wait_written
from tests.waiting import eventually

#: The longest wait between two tries is a minute, on each of the ways on which news may come.
HEALED = 100

#: Requests in a minute of trouble that still are none too many.
PATIENT = 60


def wait_exprs(desk: Desk, name: str, *wanted: str) -> None:
    eventually(lambda: desk.exprs(name), lambda e: e == list(wanted), within=HEALED, every=0.5)


def of_our_kinds(request: Request) -> bool:
    return "/alertthresholds" in request.path or "/prometheusrules" in request.path


class Victim:
    """An operator with a namespace of its own, to which the API server does this."""

    def __init__(self, desk: Desk, proxied: Proxied, fault: int | str) -> None:
        self._desk, self._proxied, self.fault = desk, proxied, fault
        self._operator = proxied.start()
        desk.apply("kept", critical={"threshold": 0.05})
        wait_written(desk, "kept")

    def suffer(self) -> None:
        self._proxied.proxy.fault = lambda request: self.fault if of_our_kinds(request) else None
        self._proxied.proxy.hang_up()
        self._already = len(_asked(self._proxied))
        self._desk.apply("kept", critical={"threshold": 0.06})

    def recover(self) -> None:
        assert self._desk.exprs("kept") == ["vector(0.05)"], self.fault
        asked = len(_asked(self._proxied)) - self._already
        assert 0 < asked < PATIENT, f"{self.fault}: {asked} requests"
        self._proxied.proxy.well()

    def assert_recovered(self) -> None:
        wait_exprs(self._desk, "kept", "vector(0.06)")
        self._desk.wait_condition("kept", "Accepted", "True", "Accepted", within=HEALED)
        assert self._operator.process.poll() is None, self.fault


@pytest.mark.timeout(400)
def test_an_api_server_in_trouble_for_a_minute_is_asked_patiently_and_made_up_for(
    desk: Desk, tmp_path: Path
) -> None:
    """All in the same minute: each fault has an operator and a namespace of its own."""
    with ExitStack() as stack:
        victims = []
        for fault in (429, 500, HANG):
            own = new_desk(desk.server, f"{desk.namespace}-{fault}")
            proxied = stack.enter_context(behind_a_proxy(own, tmp_path))
            victims.append(Victim(own, proxied, fault))
        for victim in victims:
            victim.suffer()
        well_again = time.monotonic() + 60
        eventually(time.monotonic, lambda now: now > well_again, within=90)
        for victim in victims:
            victim.recover()
        for victim in victims:
            victim.assert_recovered()


def test_a_watch_that_fell_silent_is_made_up_for(desk: Desk, proxied: Proxied) -> None:
    operator = proxied.start()
    desk.apply("tight", critical={"threshold": 0.05})
    wait_written(desk, "tight")
    proxied.proxy.fault = lambda request: SILENT if request.watch else None
    desk.apply("tight", critical={"threshold": 0.06})
    wait_exprs(desk, "tight", "vector(0.06)")
    assert operator.metric("thresholds_missed_changes_total") >= 1


@pytest.mark.parametrize("fault", [GONE, BROKEN], ids=["expired", "with another error"])
def test_a_watch_that_ends_starts_anew_and_not_in_a_loop(
    desk: Desk, proxied: Proxied, fault: str
) -> None:
    operator = proxied.start()
    desk.apply("tight", critical={"threshold": 0.05})
    wait_written(desk, "tight")
    proxied.proxy.fault = lambda request: fault if request.watch else None
    proxied.proxy.hang_up()
    began, asked = time.monotonic(), len(proxied.proxy.requests)
    eventually(lambda: len(proxied.proxy.requests), lambda n: n > asked + 12, within=HEALED)
    assert time.monotonic() - began > 2, "a list and a watch of each kind, once a second"
    proxied.proxy.well()
    desk.apply("tight", critical={"threshold": 0.06})
    wait_exprs(desk, "tight", "vector(0.06)")
    assert operator.process.poll() is None


@pytest.mark.timeout(400)
def test_one_dead_watch_is_named_by_liveness_though_lists_succeed(
    desk: Desk, proxied: Proxied
) -> None:
    operator = proxied.start()
    desk.apply("tight", critical={"threshold": 0.05})
    wait_written(desk, "tight")
    proxied.proxy.fault = lambda r: SILENT if r.watch and "/alertthresholds" in r.path else None
    proxied.proxy.hang_up()
    desk.apply("tight", critical={"threshold": 0.06})
    wait_exprs(desk, "tight", "vector(0.06)")  # by a list
    said = eventually(lambda: operator.get("/healthz").text, lambda t: t != "ok", within=200)
    assert said.startswith("the watch of alertthresholds missed a change 12"), said
    assert "; " not in said, "the other watch and the lists are well"
    assert operator.get("/healthz").status_code == 503
    proxied.proxy.well()
    desk.apply("tight", critical={"threshold": 0.07})
    eventually(lambda: operator.get("/healthz").text, lambda t: t == "ok", within=HEALED)


def test_edited_five_times_and_deleted_while_the_operator_is_down(desk: Desk, start: Start) -> None:
    operator = start()
    desk.apply("goes", critical={"threshold": 0.05})
    desk.apply("stays", PNL, critical={"threshold": 0.05})
    wait_written(desk, "goes")
    wait_written(desk, "stays")
    owner = desk.object("goes")["metadata"]["uid"]
    assert operator.stop() == 0
    for number in range(1, 6):
        desk.apply("goes", critical={"threshold": number / 10})
        desk.apply("stays", PNL, critical={"threshold": number / 10})
    desk.delete("at", "goes")
    operator = start()
    wait_written(desk, "stays")
    assert desk.exprs("stays") == ["vector(0.5)"]
    assert operator.metric("thresholds_writes_total", kind="rule") == 1
    # No orphan: no garbage collector runs here, but what one would take is as it must be.
    assert [ref["uid"] for ref in desk.rule("goes")["metadata"]["ownerReferences"]] == [owner]


@pytest.mark.timeout(300)
def test_conflicts_and_stale_lists_end_where_the_objects_ask(desk: Desk, proxied: Proxied) -> None:
    desk.apply("tight", critical={"threshold": 0.05})
    operator = proxied.start()  # its first lists are those that come back later
    wait_written(desk, "tight")
    conflicts: list[Request] = []

    def go_wrong(request: Request) -> int | str | None:
        if request.method == "PATCH" and of_our_kinds(request) and len(conflicts) < 3:
            conflicts.append(request)
            return 409
        return STALE if request.lists and of_our_kinds(request) else None

    proxied.proxy.fault = go_wrong
    desk.apply("tight", critical={"threshold": 0.06})
    wait_exprs(desk, "tight", "vector(0.06)")
    desk.wait_condition("tight", "Accepted", "True", "Accepted", within=HEALED)
    assert len(conflicts) == 3
    writes, heard = operator.writes, len(proxied.proxy.stale)
    eventually(lambda: len(proxied.proxy.stale), lambda n: n >= heard + 2, within=HEALED)
    desk.apply("second", PNL, critical={"threshold": 0.5})
    wait_written(desk, "second")  # so the stale lists have been looked at
    assert operator.writes <= writes + 4, "each object at most once more"
    assert desk.exprs("tight") == ["vector(0.06)"]


#: As the design has it; each is two writes.
THOUSANDS = 5000


@pytest.mark.timeout(900)
def test_thousands_created_at_once_cost_two_writes_each(desk: Desk, start: Start) -> None:
    operator = start()
    create(desk, [f"at-{number}" for number in range(THOUSANDS)])
    state = {"state": "PrometheusNotConfigured"}
    eventually(
        lambda: operator.metric("threshold_objects", **state),
        lambda n: n == THOUSANDS,
        within=800,
        every=2,
    )
    for kind in ("rule", "status"):
        assert operator.metric("thresholds_writes_total", kind=kind) == THOUSANDS
    assert operator.metric("thresholds_reconciles_total", result="error") == 0
    assert len(desk.server.items(desk.namespace, "prometheusrule")) == THOUSANDS
    assert operator.get("/healthz").text == "ok"


def test_an_answer_that_is_lost_is_no_second_rule(desk: Desk, proxied: Proxied) -> None:
    """The write was done, but nobody said so: what is tried again must come to the same."""
    proxied.start()
    lost: list[Request] = []

    def drop_the_first(request: Request) -> str | None:
        if request.method == "PATCH" and "/prometheusrules/" in request.path and not lost:
            lost.append(request)
            return DROP
        return None

    proxied.proxy.fault = drop_the_first
    desk.apply("tight", critical={"threshold": 0.05})
    wait_written(desk, "tight")
    assert lost
    assert desk.exprs("tight") == ["vector(0.05)"]
    assert len(desk.server.items(desk.namespace, "prometheusrule")) == 1


def test_killed_between_rule_and_status_the_next_one_finishes(desk: Desk, proxied: Proxied) -> None:
    first = proxied.start()
    proxied.proxy.fault = lambda request: HANG if request.path.endswith("/status") else None
    desk.apply("tight", critical={"threshold": 0.05})
    eventually(lambda: proxied.proxy.seen("PATCH", "alertthresholds"), bool, within=HEALED)
    assert desk.exprs("tight") == ["vector(0.05)"]
    ready = desk.condition("tight", "Ready")
    assert (ready["status"], ready["reason"]) == ("Unknown", "Pending")
    first.process.kill()
    first.process.wait()
    proxied.proxy.well()
    rule = desk.rule("tight")
    second = proxied.start()
    desk.wait_condition("tight", "Accepted", "True", "Accepted")
    assert desk.rule("tight") == rule, "it was right already"
    assert second.metric("thresholds_writes_total", kind="rule") == 0


#: Each write of an object that is new, and the path that it goes to.
WRITES = {"its rule": "/prometheusrules/", "its status": "/status"}


@pytest.mark.parametrize("path", WRITES.values(), ids=WRITES)
def test_deleted_in_the_moment_before_a_write_of(desk: Desk, proxied: Proxied, path: str) -> None:
    """No orphan: what is written has an owner, by whose absence it is collected."""
    operator = proxied.start()
    gone: list[str] = []

    def delete_first(request: Request) -> None:
        if request.method == "PATCH" and path in request.path and not gone:
            gone.append(desk.object("brief")["metadata"]["uid"])
            desk.delete("at", "brief")

    proxied.proxy.fault = delete_first
    desk.apply("brief", critical={"threshold": 0.05})
    eventually(lambda: gone, bool, within=HEALED, every=0.2)
    eventually(lambda: desk.rule("brief"), bool, within=HEALED, every=0.2)
    desk.apply("other", PNL, critical={"threshold": 0.05})
    wait_written(desk, "other")
    rule = desk.rule("brief")
    assert [owner["uid"] for owner in rule["metadata"]["ownerReferences"]] == gone
    assert operator.metric("thresholds_writes_total", kind="rule") == 2, "one of each"
    assert operator.metric("threshold_objects") == 1
    # No garbage collector runs here; where it is slow, the next of this name takes over.
    desk.apply("brief", critical={"threshold": 0.06})
    (owner,) = wait_written(desk, "brief")["metadata"]["ownerReferences"]
    assert owner["uid"] == desk.object("brief")["metadata"]["uid"]
    assert desk.rule("brief")["metadata"]["uid"] == rule["metadata"]["uid"]


@pytest.mark.timeout(400)
def test_rights_withdrawn_and_given_back(desk: Desk, proxied: Proxied) -> None:
    operator = proxied.start()
    desk.apply("tight", critical={"threshold": 0.05})
    wait_written(desk, "tight")
    desk.delete("rolebinding", "stocks-operator")
    desk.apply("tight", critical={"threshold": 0.06})
    already = len(_asked(proxied))
    proxied.proxy.hang_up()
    # Longer than kopf itself would bear it.
    longer = time.monotonic() + 75
    eventually(time.monotonic, lambda now: now > longer, within=90)
    assert len(_asked(proxied)) - already < 2 * PATIENT
    assert desk.exprs("tight") == ["vector(0.05)"], "no rule is lost"
    desk.server.apply(desk.namespace, *rendered(desk.namespace, "rolebinding"))
    wait_exprs(desk, "tight", "vector(0.06)")
    desk.wait_condition("tight", "Accepted", "True", "Accepted", within=HEALED)
    assert operator.process.poll() is None


def _asked(proxied: Proxied) -> list[Request]:
    """Without the renewals of the Lease, which come whatever happens."""
    return [request for request in proxied.proxy.requests if "/leases" not in request.path]


@contextmanager
def without_prometheus_operator(server: ApiServer) -> Iterator[Callable[[], None]]:
    """The cluster doesn't know PrometheusRule, until the caller, or the end, installs it."""
    server.kubectl("default", "delete", "crd", "prometheusrules.monitoring.coreos.com")
    try:
        yield lambda: apiserver.install_crds(server)
    finally:
        apiserver.install_crds(server)


def test_prometheus_operator_may_come_later(desk: Desk, start: Start) -> None:
    with without_prometheus_operator(desk.server) as install:
        operator = start()
        desk.apply("tight", critical={"threshold": 0.05})
        said = desk.wait_condition("tight", "Effective", "False", "Rejected")
        assert "install prometheus-operator" in said["message"]
        install()
        wait_exprs(desk, "tight", "vector(0.05)")
        desk.wait_condition("tight", "Effective", "Unknown", "PrometheusNotConfigured")
        # From here on its rules are watched: drift isn't left to the next list.
        missed = operator.metric("thresholds_missed_changes_total")
        eventually(lambda: restored(desk), lambda seconds: seconds < 5, within=HEALED)
        assert operator.metric("thresholds_missed_changes_total") <= missed + 1
        assert operator.stop() == 0


def restored(desk: Desk) -> float:
    """Seconds until a rule that was deleted is back."""
    desk.delete("prometheusrule", "threshold-tight")
    began = time.monotonic()
    wait_exprs(desk, "tight", "vector(0.05)")
    return time.monotonic() - began


def test_sigterm_ends_it_also_while_there_is_nothing_to_watch(desk: Desk, start: Start) -> None:
    with without_prometheus_operator(desk.server):
        assert start().stop() == 0


def test_a_status_that_is_refused_is_tried_ever_less_often(desk: Desk, proxied: Proxied) -> None:
    proxied.start()
    proxied.proxy.fault = lambda request: 403 if request.path.endswith("/status") else None
    desk.apply("tight", critical={"threshold": 0.05})
    began = time.monotonic()
    tries = lambda: len(proxied.proxy.seen("PATCH", "alertthresholds"))  # noqa: E731
    eventually(tries, lambda n: n >= 4, within=HEALED)
    assert time.monotonic() - began > 2 + 4 + 8 - 1
    proxied.proxy.well()
    desk.wait_condition("tight", "Accepted", "True", "Accepted", within=HEALED)
