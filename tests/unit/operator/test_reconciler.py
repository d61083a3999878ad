"""Turns of the reconciler: what is written, what isn't, and when it is tried again."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operator.fakes import Bench, counted
from tests.unit.operator.objects import NAMESPACE, PNL, body, threshold
from tests.unit.operator.test_effect import perfect, sample

from threshold_operator.cluster.api import GoneError, KubeError
from threshold_operator.cluster.objects import ACCEPTED

TSLA: dict[str, Any] = {"match": {"symbol": "TSLA"}, "critical": {"threshold": 0.03}}


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def proven(bench: Bench) -> None:
    """One object, tsla, that Prometheus evaluates."""
    bench.cluster.create(body("tsla", PNL, **TSLA))
    await bench.turn()
    bench.prometheus.seen = perfect(threshold("tsla", PNL, **TSLA))
    await bench.turn(after=2)
    assert bench.cluster.condition("tsla") == ("True", "Effective")


async def test_an_object_costs_one_rule_one_status_and_one_more_when_it_arrives(
    bench: Bench,
) -> None:
    bench.cluster.create(body("tsla", PNL, **TSLA))
    await bench.turn()
    assert bench.cluster.condition("tsla") == ("False", "Propagating")
    assert bench.cluster.writes == {"rule": 1, "status": 1}
    bench.prometheus.seen = perfect(threshold("tsla", PNL, **TSLA))
    await bench.turn(after=2)
    assert bench.cluster.condition("tsla") == ("True", "Effective")
    assert bench.cluster.writes == {"rule": 1, "status": 2}
    assert bench.count("threshold_propagation_seconds_sum") == 2


async def test_the_state_follows_the_alert_and_not_what_was_known_before(bench: Bench) -> None:
    await proven(bench)
    assert bench.cluster.thresholds["tsla"]["status"]["state"] == "inactive"
    firing = sample(1, symbol="TSLA", alertstate="firing")
    calm = perfect(threshold("tsla", PNL, **TSLA))
    bench.prometheus.seen = replace(calm, alerts={(PNL, "critical"): (firing,)})
    await bench.relist()
    assert bench.cluster.thresholds["tsla"]["status"]["state"] == "firing"
    bench.prometheus.seen = calm
    await bench.relist()
    assert bench.cluster.thresholds["tsla"]["status"]["state"] == "inactive"


async def test_turns_over_unchanged_objects_write_nothing(bench: Bench) -> None:
    await proven(bench)
    before = dict(bench.cluster.writes)
    for _ in range(5):
        await bench.relist()
    assert bench.cluster.writes == before
    assert len(bench.cluster.events) == 1


@pytest.mark.parametrize("asked", [True, False], ids=["with Prometheus", "without Prometheus"])
async def test_a_restart_over_unchanged_objects_writes_nothing(asked: bool) -> None:
    bench = Bench(prometheus=asked)
    bench.cluster.create(
        body("tsla", PNL, **TSLA),
        body("a", created="2026-11-23T10:00:00Z"),
        body("b", created="2026-11-23T11:00:00Z"),
        body("bad", "StocksNothing"),
        body("over", PNL, match={"symbol": "A"}, expiresAt="2026-11-23T11:00:00Z"),
    )
    bench.prometheus.seen = perfect(threshold("tsla", PNL, **TSLA))
    await bench.turn()
    before = dict(bench.cluster.writes)
    bench.restart()
    await bench.turn()
    assert bench.cluster.writes == before
    assert bench.count("thresholds_reconciles_total", result="unchanged") == 5


async def test_a_restart_while_prometheus_is_down_writes_nothing(bench: Bench) -> None:
    await proven(bench)
    before = dict(bench.cluster.writes)
    bench.restart()
    bench.prometheus.seen = None
    await bench.turn()
    await bench.turn(after=30)
    assert bench.cluster.writes == before


async def test_a_proof_outlives_a_restart_of_prometheus_but_not_its_loss(bench: Bench) -> None:
    await proven(bench)
    bench.prometheus.seen = None
    await bench.turn(after=30)
    assert bench.cluster.condition("tsla") == ("True", "Effective")
    await bench.turn(after=35)
    assert bench.cluster.condition("tsla") == ("Unknown", "PrometheusUnreachable")
    assert bench.cluster.thresholds["tsla"]["status"]["state"] == "unknown"
    bench.prometheus.seen = perfect(threshold("tsla", PNL, **TSLA))
    await bench.turn(after=30)
    assert bench.cluster.condition("tsla") == ("True", "Effective")


async def test_the_proof_of_one_generation_is_none_of_the_next(bench: Bench) -> None:
    await proven(bench)
    bench.cluster.edit("tsla", match={"symbol": "TSLA"}, critical={"threshold": 0.04})
    await bench.relist()
    assert bench.cluster.exprs("tsla") == ["vector(0.04)"]
    assert bench.cluster.condition("tsla") == ("False", "Propagating")


async def test_a_proof_that_is_contradicted_by_a_failing_rule_ends_at_once(bench: Bench) -> None:
    await proven(bench)
    assert bench.prometheus.seen is not None
    name = "at.tsla"
    (rule,) = bench.prometheus.seen.groups[name]
    broken = {name: (replace(rule, health="err", error="out of memory"),)}
    bench.prometheus.seen = replace(bench.prometheus.seen, groups=broken)
    await bench.turn(after=30)
    assert bench.cluster.condition("tsla") == ("False", "Rejected")


async def test_what_prometheus_operator_rejects_is_said_in_its_words(bench: Bench) -> None:
    await proven(bench)
    rule = bench.cluster.edit_rule("threshold-tsla", generation=1)
    said = {"type": "Accepted", "status": "False", "message": "bad expr", "observedGeneration": 1}
    bindings = [{"namespace": "monitoring", "name": "k8s", "conditions": [said]}]
    bench.store.rules.put(rule | {"status": {"bindings": bindings}})
    await bench.turn()
    assert bench.cluster.condition("tsla") == ("False", "Rejected")
    assert "monitoring/k8s: bad expr" in str(bench.cluster.thresholds["tsla"]["status"])


async def test_an_expiry_is_noticed_without_any_event_and_without_prometheus() -> None:
    bench = Bench(prometheus=False)
    bench.cluster.create(body("brief", expiresAt="2026-11-23T12:00:10Z"))
    await bench.turn()
    assert bench.cluster.condition("brief") == ("Unknown", "PrometheusNotConfigured")
    await bench.turn(after=10)
    assert bench.cluster.condition("brief") == ("False", "Expired")


async def test_a_clock_that_jumps_over_an_expiry_and_back_is_followed() -> None:
    """A rest never lasts more than a minute of the clock that doesn't jump."""
    bench = Bench(prometheus=False)
    bench.cluster.create(
        body("older", expiresAt="2026-11-23T13:00:00Z"),
        body("newer", created="2026-11-23T11:00:00Z", critical={"threshold": 0.06}),
    )
    await bench.turn()
    bench.clock.jump = timedelta(hours=2)
    await bench.turn(after=1)
    assert bench.cluster.condition("older") == ("False", "Expired")
    assert bench.cluster.condition("newer", "Accepted") == ("True", "Accepted")
    bench.clock.jump = timedelta()
    await bench.turn(after=1)
    assert bench.cluster.condition("older") == ("Unknown", "PrometheusNotConfigured")
    assert bench.cluster.condition("newer", "Accepted") == ("False", "Conflict")
    assert bench.cluster.exprs("newer") == []


async def test_a_newer_object_takes_over_when_the_older_expires(bench: Bench) -> None:
    bench.cluster.create(
        body("older", expiresAt="2026-11-23T12:00:10Z"),
        body("newer", created="2026-11-23T11:00:00Z", critical={"threshold": 0.06}),
    )
    await bench.turn()
    assert bench.cluster.condition("newer", "Accepted") == ("False", "Conflict")
    await bench.turn(after=10)
    assert bench.cluster.condition("newer", "Accepted") == ("True", "Accepted")
    assert bench.cluster.exprs("newer") == ["vector(0.06)"]


async def test_an_object_that_loses_its_claim_loses_its_groups_but_not_its_rule(
    bench: Bench,
) -> None:
    bench.cluster.create(
        body("older", PNL, match={"symbol": "AAPL"}),
        body("newer", PNL, created="2026-11-23T11:00:00Z", **TSLA),
    )
    await bench.turn()
    bench.cluster.edit("older", match={"symbol": "TSLA"}, critical={"threshold": 0.07})
    await bench.relist()
    assert bench.cluster.exprs("newer") == []
    bench.cluster.edit("older", match={"symbol": "MSFT"}, critical={"threshold": 0.07})
    await bench.relist()
    assert bench.cluster.exprs("newer") == ["vector(0.03)"]


async def test_a_bad_edit_keeps_the_rule_also_after_a_restart(bench: Bench) -> None:
    bench.cluster.create(body("tight"))
    await bench.turn()
    bench.cluster.edit("tight", critical={"threshold": 7})
    await bench.relist()
    bench.restart()
    await bench.relist()
    assert bench.cluster.exprs("tight") == ["vector(0.05)"]
    assert bench.cluster.writes["rule"] == 1
    assert bench.cluster.thresholds["tight"]["status"]["acceptedGeneration"] == 1


async def test_killed_between_rule_and_status_it_makes_up_for_the_status(bench: Bench) -> None:
    bench.cluster.create(body("tight"))
    bench.cluster.failures["status"] = KubeError("connection reset")
    await bench.turn()
    assert bench.cluster.writes == {"rule": 1}
    del bench.cluster.failures["status"]
    bench.restart()
    await bench.turn()
    assert bench.cluster.writes == {"rule": 1, "status": 1}


@pytest.mark.parametrize("write", ["rule", "status"])
async def test_what_fails_is_tried_again_ever_more_slowly(bench: Bench, write: str) -> None:
    bench.cluster.create(body("tight"))
    bench.cluster.failures[write] = KubeError("HTTP 500", 500)
    tries = []
    for second in range(40):
        before = bench.count("thresholds_reconciles_total", result="error")
        await bench.turn(after=1)
        if bench.count("thresholds_reconciles_total", result="error") > before:
            tries.append(second)
    assert tries == [0, 2, 6, 14, 30]
    del bench.cluster.failures[write]
    await bench.turn(after=40)
    assert bench.cluster.exprs("tight") == ["vector(0.05)"]
    assert bench.cluster.condition("tight", "Accepted") == ("True", "Accepted")


async def test_one_object_that_fails_holds_up_no_other(bench: Bench) -> None:
    bench.cluster.create(body("a", "StocksNothing"), body("b"))
    bench.cluster.failures["rule"] = KubeError("HTTP 500", 500)
    await bench.turn()
    assert bench.cluster.condition("a", "Accepted") == ("False", "UnknownAlert")


REFUSALS = {
    "a rule that a webhook refuses": (KubeError("webhook denied", 422), "webhook denied"),
    "a missing right": (KubeError("forbidden", 403), "forbidden"),
    "a missing CRD": (GoneError("not found", 404), "install prometheus-operator"),
}


@pytest.mark.parametrize(("error", "words"), REFUSALS.values(), ids=REFUSALS)
async def test_what_a_person_can_mend_is_in_the_status(
    bench: Bench, error: KubeError, words: str
) -> None:
    bench.cluster.create(body("tight"))
    bench.cluster.failures["rule"] = error
    await bench.turn()
    assert bench.cluster.condition("tight") == ("False", "Rejected")
    assert words in bench.cluster.thresholds["tight"]["status"]["conditions"][1]["message"]
    del bench.cluster.failures["rule"]
    await bench.turn(after=2)
    assert bench.cluster.exprs("tight") == ["vector(0.05)"]


async def test_without_prometheus_operator_the_objects_are_served_all_the_same(
    bench: Bench,
) -> None:
    bench.cluster.create(body("bad", "StocksNothing"))
    bench.cluster.failures["list_rules"] = GoneError("no such resource", 404)
    await bench.turn()
    assert bench.cluster.condition("bad", "Accepted") == ("False", "UnknownAlert")


async def test_nothing_is_decided_before_everything_was_listed(bench: Bench) -> None:
    bench.cluster.create(body("older"), body("newer", created="2026-11-23T11:00:00Z"))
    bench.cluster.failures["list"] = KubeError("HTTP 503", 503)
    bench.store.thresholds.put(bench.cluster.thresholds["newer"])
    await bench.turn()
    assert not bench.cluster.writes
    assert not bench.health.synced
    del bench.cluster.failures["list"]
    await bench.turn(after=2)
    assert bench.cluster.condition("newer", "Accepted") == ("False", "Conflict")
    assert bench.health.synced


async def test_lists_come_ever_more_rarely_after_the_start(bench: Bench) -> None:
    pauses = [await bench.resync.turn() for _ in range(7)]
    assert pauses == [5, 10, 20, 40, 60, 60, 60]


async def test_a_lost_event_is_made_up_for_by_the_next_list(bench: Bench) -> None:
    bench.cluster.create(body("tight"))
    await bench.turn()
    for pause in (5, 10, 20, 40):  # the lists for what kopf's own comes too late
        await bench.turn(after=pause)
    bench.cluster.edit_rule("threshold-tight", labels={"app.kubernetes.io/managed-by": "x"})
    bench.cluster.create(body("late", PNL))
    await bench.turn(after=59)
    assert "threshold-late" not in bench.cluster.rules
    await bench.turn(after=1)
    assert bench.cluster.exprs("late") == ["vector(0.05)"]
    assert bench.count("thresholds_missed_changes_total") == 2


async def test_labels_that_others_add_to_a_rule_start_no_writes(bench: Bench) -> None:
    bench.cluster.create(body("tight"))
    await bench.turn()
    labels = bench.cluster.rules["threshold-tight"]["metadata"]["labels"] | {"team": "desk"}
    bench.store.rules.put(bench.cluster.edit_rule("threshold-tight", labels=labels))
    await bench.turn()
    assert bench.cluster.writes["rule"] == 1


async def test_an_api_server_that_changes_what_we_write_is_not_fought(bench: Bench) -> None:
    """A mutating webhook: we write, it changes, and that is the end of it."""
    apply_rule = bench.cluster.apply_rule

    async def mutated(manifest: dict[str, Any]) -> dict[str, Any]:
        await apply_rule(manifest)
        name = manifest["metadata"]["name"]
        bench.cluster.rules[name]["spec"]["groups"][0]["interval"] = "1m"
        return bench.cluster.edit_rule(name)

    bench.cluster.apply_rule = mutated  # type: ignore[method-assign]
    bench.cluster.create(body("tight"))
    for _ in range(3):
        await bench.relist()
    assert bench.cluster.writes["rule"] == 1


async def test_a_rule_of_somebody_else_is_left_alone(bench: Bench) -> None:
    bench.cluster.create(body("tight"))
    foreign: dict[str, Any] = {
        "metadata": {
            "name": "threshold-tight",
            "namespace": NAMESPACE,
            "labels": {},
            "resourceVersion": "1",
        },
        "spec": {},
    }
    bench.cluster.rules["threshold-tight"] = foreign
    await bench.turn()
    assert bench.cluster.condition("tight") == ("False", "Rejected")
    assert bench.cluster.rules["threshold-tight"] is foreign


async def test_a_deleted_object_leaves_nothing_to_do(bench: Bench) -> None:
    bench.cluster.create(body("tight"))
    await bench.turn()
    gone = bench.cluster.thresholds.pop("tight")
    bench.store.thresholds.drop(gone)
    before = dict(bench.cluster.writes)
    await bench.relist()
    assert bench.cluster.writes == before


async def test_an_object_that_goes_between_list_and_write_is_forgotten(bench: Bench) -> None:
    bench.cluster.create(body("tight"))
    bench.store.thresholds.put(bench.cluster.thresholds["tight"])
    await bench.turn()
    bench.cluster.edit("tight", critical={"threshold": 0.06})
    bench.store.thresholds.put(bench.cluster.thresholds.pop("tight"))
    await bench.turn()
    assert "tight" not in bench.store.thresholds


async def test_an_edit_that_comes_while_the_status_is_written_is_not_lost(bench: Bench) -> None:
    """The answer to our write already holds it, so its event is no news any more."""
    apply_status = bench.cluster.apply_status

    async def edited_meanwhile(body: Any, status: Any) -> Any:
        bench.cluster.apply_status = apply_status  # type: ignore[method-assign]
        bench.cluster.edit("tight", critical={"threshold": 0.06})
        return await apply_status(body, status)

    bench.cluster.apply_status = edited_meanwhile  # type: ignore[method-assign]
    bench.cluster.create(body("tight"))
    await bench.turn()
    assert bench.store.changed.is_set()
    await bench.turn()
    assert bench.cluster.exprs("tight") == ["vector(0.06)"]
    assert bench.cluster.thresholds["tight"]["status"]["observedGeneration"] == 2


async def test_an_object_deleted_in_the_middle_of_a_turn_is_left_alone(bench: Bench) -> None:
    apply_rule = bench.cluster.apply_rule

    async def b_goes(manifest: Any) -> Any:
        if "b" in bench.store.thresholds:
            bench.store.thresholds.drop(bench.cluster.thresholds.pop("b"))
        return await apply_rule(manifest)

    bench.cluster.apply_rule = b_goes  # type: ignore[method-assign]
    bench.cluster.create(body("a"), body("b", PNL))
    await bench.turn()
    assert bench.count("thresholds_reconciles_total", result="error") == 0
    assert bench.cluster.condition("a", "Accepted") == ("True", "Accepted")


async def test_the_last_success_stands_still_while_anything_fails(bench: Bench) -> None:
    bench.cluster.create(body("a", "StocksNothing"), body("b"))
    bench.cluster.failures["rule"] = KubeError("HTTP 500", 500)
    await bench.turn()
    last = bench.count("thresholds_last_success_timestamp_seconds")
    await bench.relist()
    assert bench.count("thresholds_last_success_timestamp_seconds") == last
    del bench.cluster.failures["rule"]
    await bench.turn(after=5)
    assert bench.count("thresholds_last_success_timestamp_seconds") > last


async def test_what_a_person_has_to_mend_is_not_waited_for(bench: Bench) -> None:
    bench.cluster.create(body("tight"))
    bench.cluster.failures["rule"] = KubeError("forbidden", 403)
    await looks(bench, 0)
    assert await looks(bench, 29) == 0


async def test_people_are_told_of_arrival_and_refusal_only(bench: Bench) -> None:
    await proven(bench)
    bench.cluster.edit("tsla", match={"symbol": "TSLA"}, critical={"threshold": 7})
    await bench.relist()
    assert [event["reason"] for event in bench.cluster.events] == ["Effective", "OutOfBounds"]
    assert bench.cluster.events[1]["involvedObject"]["uid"] == "uid-of-tsla"


async def test_an_event_that_cannot_be_written_holds_up_nothing(bench: Bench) -> None:
    bench.cluster.failures["event"] = KubeError("forbidden", 403)
    await proven(bench)


async def test_prometheus_is_asked_often_while_something_is_awaited_else_rarely(
    bench: Bench,
) -> None:
    bench.cluster.create(body("tsla", PNL, **TSLA))
    await looks(bench, 0)
    assert await looks(bench, 10) == 5
    bench.prometheus.seen = perfect(threshold("tsla", PNL, **TSLA))
    assert await looks(bench, 2) == 1
    assert await looks(bench, 60) == 2


async def test_a_prometheus_that_is_down_is_asked_ever_more_rarely(bench: Bench) -> None:
    bench.cluster.create(body("tsla", PNL, **TSLA))
    await looks(bench, 0)
    bench.prometheus.seen = None
    assert await looks(bench, 120) <= 7


async def test_nobody_is_asked_where_there_are_no_objects(bench: Bench) -> None:
    assert await looks(bench, 120) == 0


async def looks(bench: Bench, seconds: int) -> int:
    """How often Prometheus is asked in so many turns of one second."""
    before = bench.prometheus.looks
    for _ in range(seconds or 1):
        await bench.turn(after=1 if seconds else 0)
    return bench.prometheus.looks - before


async def test_the_objects_are_counted_by_what_holds_for_them(bench: Bench) -> None:
    await proven(bench)
    bench.cluster.create(body("bad", "StocksNothing"))
    await bench.relist()
    assert counted(bench.metrics) == {
        (NAMESPACE, PNL, "Ready"): 1,
        (NAMESPACE, "StocksNothing", "UnknownAlert"): 1,
    }


async def test_a_mistake_of_ours_with_one_object_ends_nothing(bench: Bench) -> None:
    apply_rule = bench.cluster.apply_rule

    async def mistaken(manifest: dict[str, Any]) -> dict[str, Any]:
        if manifest["metadata"]["name"] == "threshold-a":
            raise ZeroDivisionError
        return await apply_rule(manifest)

    bench.cluster.apply_rule = mistaken  # type: ignore[method-assign]
    bench.cluster.create(body("a"), body("b", PNL))
    await bench.turn()
    assert bench.cluster.exprs("b") == ["vector(0.05)"]
    assert bench.count("thresholds_reconciles_total", result="error") == 1


async def test_row_l_an_accepted_preview_is_known_after_a_bad_edit_and_a_restart(
    bench: Bench,
) -> None:
    bench.cluster.create(body(mode="Preview"))
    await bench.turn()
    assert "rule" not in bench.cluster.thresholds["tight"]["status"], "there is no such rule"
    bench.cluster.edit("tight", mode="Preview", critical={"threshold": 77})
    bench.restart()
    await bench.turn()
    status = bench.cluster.thresholds["tight"]["status"]
    (accepted,) = (c for c in status["conditions"] if c["type"] == "Accepted")
    assert accepted["message"].endswith("generation 1 stays in force")
    assert (status["observedGeneration"], status["acceptedGeneration"]) == (2, 1)
    writes = bench.cluster.writes.copy()
    await bench.turn(after=60)
    assert bench.cluster.writes == writes


def orphaned(bench: Bench) -> None:
    """As `kubectl delete --cascade=orphan` leaves it: the rule has no owner."""
    del bench.cluster.thresholds["tight"]
    bench.cluster.edit_rule("threshold-tight", ownerReferences=[])


async def test_row_c_a_rule_without_an_object_is_reported_once_and_removed_later(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.cluster.create(body())
    await bench.turn()
    orphaned(bench)
    await bench.relist()
    assert bench.count("threshold_orphaned_rules", namespace=NAMESPACE) == 1
    assert "the AlertThreshold of threshold-tight is gone" in caplog.text
    await bench.turn(after=200)
    told = [e for e in bench.cluster.events if e["reason"] == "Orphaned"]
    assert [e["involvedObject"]["name"] for e in told] == ["threshold-tight"]
    assert "threshold-tight" in bench.cluster.rules, "its time has yet to come"
    await bench.turn(after=100)
    assert bench.cluster.rules == {}
    await bench.relist()
    assert bench.count("threshold_orphaned_rules", namespace=NAMESPACE) == 0


async def test_row_c_an_object_that_comes_back_takes_its_rule_over(bench: Bench) -> None:
    bench.cluster.create(body())
    await bench.turn()
    orphaned(bench)
    await bench.relist()
    again = body()
    again["metadata"] |= {"uid": "another", "resourceVersion": "500"}
    bench.cluster.create(again)
    await bench.relist()
    await bench.turn(after=600)
    (owner,) = bench.cluster.rules["threshold-tight"]["metadata"]["ownerReferences"]
    assert owner["uid"] == "another"


async def test_row_c_a_foreign_rule_is_never_removed(bench: Bench) -> None:
    bench.cluster.create(body())
    await bench.turn()
    orphaned(bench)
    bench.cluster.edit_rule("threshold-tight", labels={"release": "stack"})
    await bench.relist()
    await bench.turn(after=600)
    assert "threshold-tight" in bench.cluster.rules


async def test_row_c_where_removing_is_refused_it_is_tried_again_later(bench: Bench) -> None:
    bench.cluster.create(body())
    await bench.turn()
    orphaned(bench)
    await bench.relist()
    bench.cluster.failures["delete"] = KubeError("forbidden", 403)
    await bench.turn(after=300)
    del bench.cluster.failures["delete"]
    await bench.turn(after=100)
    assert "threshold-tight" in bench.cluster.rules
    await bench.turn(after=200)
    assert bench.cluster.rules == {}


async def test_an_event_says_old_and_new_numbers_and_who_changed_them(bench: Bench) -> None:
    await proven(bench)
    edited: dict[str, Any] = {"match": {"symbol": "TSLA"}, "critical": {"threshold": 0.04}}
    bench.cluster.edit("tsla", **edited)
    edit = {"manager": "argocd-controller", "time": "2026-11-23T12:00:00Z"}
    bench.cluster.thresholds["tsla"]["metadata"]["managedFields"] = [edit]
    await bench.relist()
    bench.prometheus.seen = perfect(threshold("tsla", PNL, **edited))
    await bench.turn(after=2)
    change = "critical 0.03 -> 0.04, changed by argocd-controller"
    told = [e["message"] for e in bench.cluster.events if e["reason"] == "Effective"]
    assert told == [
        "Prometheus evaluates critical 0.03",
        f"Prometheus evaluates critical 0.04 ({change})",
    ]
    assert bench.cluster.thresholds["tsla"]["status"]["lastChange"] == change


async def test_row_j_an_event_is_not_said_twice_where_the_status_was_not_written(
    bench: Bench,
) -> None:
    """The operator dies, or is refused, between the Event and the status."""
    bench.cluster.create(body(critical={"threshold": 77}))
    bench.cluster.failures["status"] = KubeError("away", 500)
    await bench.turn()
    del bench.cluster.failures["status"]
    bench.restart()
    await bench.turn(after=5)
    assert [e["reason"] for e in bench.cluster.events] == ["OutOfBounds"]
    assert bench.cluster.condition("tight", "Accepted") == ("False", "OutOfBounds")


async def test_row_j_an_event_that_fails_is_tried_once_more_before_the_status(
    bench: Bench,
) -> None:
    bench.cluster.create(body(critical={"threshold": 77}))
    bench.cluster.failures["event"] = KubeError("busy", 429)
    await bench.turn()
    assert bench.cluster.writes["status"] == 0, "else nothing would remember that it is unsaid"
    del bench.cluster.failures["event"]
    await bench.turn(after=5)
    assert [e["reason"] for e in bench.cluster.events] == ["OutOfBounds"]
    assert bench.cluster.condition("tight", "Accepted") == ("False", "OutOfBounds")


async def test_row_j_events_that_keep_failing_do_not_hold_up_the_status(bench: Bench) -> None:
    bench.cluster.create(body(critical={"threshold": 77}))
    bench.cluster.failures["event"] = KubeError("busy", 503)
    await bench.turn()
    await bench.turn(after=5)
    assert bench.cluster.condition("tight", "Accepted") == ("False", "OutOfBounds")


async def test_row_j_an_orphan_whose_event_failed_is_reported_when_it_is_removed(
    bench: Bench,
) -> None:
    bench.cluster.create(body())
    await bench.turn()
    orphaned(bench)
    bench.cluster.failures["event"] = KubeError("busy", 429)
    await bench.relist()
    del bench.cluster.failures["event"]
    await bench.turn(after=400)
    assert [e["reason"] for e in bench.cluster.events].count("Orphaned") == 1
    assert bench.cluster.rules == {}


async def edited_badly(bench: Bench) -> tuple[Any, Any, Any]:
    """Generation 2 is in force, 3 refused; returns objects, rules and all writes as of 1."""
    bench.cluster.create(body())
    await bench.turn()
    old = copy.deepcopy((bench.cluster.thresholds, bench.cluster.rules))
    bench.cluster.edit("tight", critical={"threshold": 0.06})
    await bench.relist()
    bench.cluster.edit("tight", critical={"threshold": 77})
    await bench.relist()
    bench.restart()
    return *old, bench.cluster.writes.copy()


@pytest.mark.parametrize("stale", ["thresholds", "rules"])
async def test_row_j_a_list_from_before_an_edit_costs_no_number(bench: Bench, stale: str) -> None:
    thresholds, rules, writes = await edited_badly(bench)
    old = {"thresholds": thresholds, "rules": rules}[stale]
    known = getattr(bench.cluster, stale)
    setattr(bench.cluster, stale, old)
    await bench.turn()
    setattr(bench.cluster, stale, known)
    await bench.turn(after=1)
    for seen in known.values():  # the watch brings it
        getattr(bench.store, stale).put(seen)
    await bench.turn(after=1)
    await bench.turn(after=5)
    assert bench.cluster.exprs("tight") == ["vector(0.06)"]
    assert bench.cluster.thresholds["tight"]["status"]["acceptedGeneration"] == 2
    assert bench.cluster.writes == writes


@pytest.mark.parametrize("generation", [0, 99])
async def test_row_j_a_forged_note_on_a_rule_holds_up_an_edit_but_once(
    bench: Bench, generation: int
) -> None:
    bench.cluster.create(body())
    await bench.turn()
    note = json.dumps({"generation": generation, "spec": {"critical": {"threshold": 0.07}}})
    bench.cluster.edit_rule("threshold-tight", annotations={ACCEPTED: note})
    await bench.relist()
    await bench.turn(after=5)
    restored = bench.cluster.rules["threshold-tight"]["metadata"]["annotations"][ACCEPTED]
    assert json.loads(restored)["generation"] == 1


async def test_row_j_what_is_deleted_before_kopf_lists_is_noticed_soon(bench: Bench) -> None:
    bench.cluster.create(body())
    await bench.turn()
    orphaned(bench)  # the watch begins after this, and never tells of it
    await bench.turn(after=5)
    assert bench.count("threshold_orphaned_rules", namespace=NAMESPACE) == 1
