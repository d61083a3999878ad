"""What becomes of AlertThresholds in a real API server, with exactly the chart's rights."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.operator.apiserver import rendered
from tests.integration.operator.conftest import ALERT, SOON, Desk, Operator, threshold
from tests.integration.operator.webhook import BORN, CALLS, annotating
from tests.waiting import eventually

Start = Callable[..., Operator]

PNL = "StocksPnlMoveUnusual"
WIDEST = 120  # characters of a terminal


def wait_written(desk: Desk, name: str) -> Any:
    """The object's rule, once its status is written too."""
    desk.wait_condition(name, "Accepted", "True", "Accepted")
    return desk.rule(name)


def test_an_object_gets_a_rule_that_it_owns(desk: Desk, start: Start) -> None:
    start()
    desk.apply("tight", warning={"threshold": 0.02}, critical={"threshold": 0.05})
    rule = wait_written(desk, "tight")
    owner = desk.object("tight")
    assert rule["metadata"]["labels"] == {
        "release": "kube-prometheus-stack",
        "app.kubernetes.io/managed-by": "threshold-operator",
    }
    (reference,) = rule["metadata"]["ownerReferences"]
    assert (reference["uid"], reference["controller"]) == (owner["metadata"]["uid"], True)
    assert desk.exprs("tight") == ["vector(0.02)", "vector(0.05)"]
    assert owner["status"]["tiers"] == {
        "warning": {"threshold": 0.02, "default": 0.1},
        "critical": {"threshold": 0.05, "default": 0.2},
    }
    assert desk.condition("tight", "Effective")["reason"] == "PrometheusNotConfigured"


def test_the_list_is_what_the_design_shows(desk: Desk, start: Start) -> None:
    start()
    desk.apply("tsla", PNL, match={"symbol": "TSLA"}, critical={"threshold": 0.03})
    wait_written(desk, "tsla")
    head, row = desk.kubectl("get", "at").splitlines()
    columns = "NAME ALERT SCOPE WARNING CRITICAL STATUS STATE AGE"
    assert head.split() == columns.split()
    said = ["tsla", PNL, "symbol=TSLA", "0.03", "PrometheusNotConfigured", "unknown"]
    assert row.split()[:6] == said
    assert len(head) <= WIDEST
    wide = desk.kubectl("get", "at", "-o", "wide").splitlines()
    assert wide[0].split() == [*head.split(), "SINCE", "MODE", "RULE", "MESSAGE"]
    assert "threshold-tsla" in wide[1]


def test_the_list_says_why_an_edit_was_refused(desk: Desk, start: Start) -> None:
    start()
    desk.apply("tsla", PNL, match={"symbol": "TSLA"}, critical={"threshold": 0.03})
    wait_written(desk, "tsla")
    desk.apply("tsla", PNL, match={"symbol": "TSLA"}, critical={"threshold": 77})
    desk.wait_condition("tsla", "Accepted", "False", "OutOfBounds")
    head, row = desk.kubectl("get", "at").splitlines()
    assert row.split()[:5] == ["tsla", PNL, "symbol=TSLA", "0.03", "OutOfBounds"]
    assert len(head) <= WIDEST
    told = desk.kubectl("get", "at", "-o", "wide").splitlines()[1]
    assert "is 77, must lie between" in told
    assert "generation 1 stays in force" in told


def test_a_beaten_object_names_the_one_that_governs(desk: Desk, start: Start) -> None:
    start()
    desk.apply("a-first", critical={"threshold": 0.15})
    wait_written(desk, "a-first")
    desk.apply("b-second", critical={"threshold": 0.16})
    desk.wait_condition("b-second", "Accepted", "False", "Conflict")
    assert desk.object("b-second")["status"]["governedBy"] == "a-first"


def test_row_o_tiers_out_of_order_with_the_charts_default_are_said_once(
    desk: Desk, start: Start
) -> None:
    start()
    desk.apply("tight", critical={"threshold": 0.05})  # the chart's warning is 0.1
    desk.wait_condition("tight", "OutOfOrder", "True", "CriticalBeforeWarning")
    assert desk.condition("tight", "Accepted")["status"] == "True"
    desk.apply("tight", critical={"threshold": 0.05}, warning={"threshold": 0.02})
    desk.wait_condition("tight", "Accepted", "True", "Accepted")
    eventually(lambda: desk.condition("tight", "OutOfOrder"), lambda c: not c, within=30)
    events = desk.server.items(desk.namespace, "event")
    assert [e["type"] for e in events if e["reason"] == "CriticalBeforeWarning"] == ["Warning"]


def test_nothing_is_ever_noted_on_the_object_itself(desk: Desk, start: Start) -> None:
    start()
    desk.apply("tight", critical={"threshold": 0.05})
    wait_written(desk, "tight")
    meta = json.loads(desk.kubectl("get", "at", "tight", "-o", "json", "--show-managed-fields"))[
        "metadata"
    ]
    assert "annotations" not in meta
    assert "finalizers" not in meta
    writers = {(entry["manager"], entry.get("subresource", "")) for entry in meta["managedFields"]}
    assert writers == {("kubectl", ""), ("threshold-operator", "status")}


def test_a_restart_over_unchanged_objects_writes_nothing(desk: Desk, start: Start) -> None:
    names = [f"at-{number}" for number in range(40)]
    objects = [
        threshold(name, PNL, match={"symbol": name}, critical={"threshold": 0.03}) for name in names
    ]
    first = start()
    desk.server.apply(desk.namespace, *objects)
    done = 'jsonpath={.status.conditions[?(@.type=="Accepted")].status}=True'
    desk.kubectl("wait", f"--for={done}", "at", "--all", f"--timeout={SOON}s")
    assert first.stop() == 0
    before = desk.versions()

    second = start()
    looked = ("thresholds_reconciles_total", {"result": "unchanged"})
    eventually(lambda: second.metric(looked[0], **looked[1]), lambda n: n >= 40, within=SOON)
    assert second.writes == 0
    assert second.metric("thresholds_reconciles_total") == 40
    assert desk.versions() == before


def test_what_was_edited_while_the_operator_was_down_is_made_up_for(
    desk: Desk, start: Start
) -> None:
    desk.apply("tight", critical={"threshold": 0.05})
    operator = start()
    wait_written(desk, "tight")
    operator.stop()
    for number in (0.06, 0.07, 0.08):
        desk.apply("tight", critical={"threshold": number})
    desk.apply("second", PNL, critical={"threshold": 0.1})
    operator = start()
    desk.wait_condition("tight", "Accepted", "True", "Accepted")
    wait_written(desk, "second")
    assert desk.exprs("tight") == ["vector(0.08)"]
    assert operator.metric("thresholds_writes_total", kind="rule") == 2


def test_sigterm_ends_it_cleanly_and_soon(start: Start) -> None:
    operator = start()
    assert operator.stop() == 0
    assert "Traceback" not in operator.log.read_text()


EXPR = "/spec/groups/0/rules/0/expr"
DRIFT = {
    "a number edited": f'[{{"op":"replace","path":"{EXPR}","value":"vector(9)"}}]',
    "the rules taken out": '[{"op":"replace","path":"/spec/groups","value":[]}]',
    "the release label changed": '[{"op":"replace","path":"/metadata/labels/release","value":"x"}]',
    "all labels taken away": '[{"op":"remove","path":"/metadata/labels"}]',
    "the owner taken away": '[{"op":"remove","path":"/metadata/ownerReferences"}]',
}


@pytest.mark.parametrize("patch", DRIFT.values(), ids=DRIFT)
def test_a_rule_edited_by_hand_is_restored(desk: Desk, start: Start, patch: str) -> None:
    start()
    desk.apply("tight", critical={"threshold": 0.05})
    before = wait_written(desk, "tight")
    desk.kubectl("patch", "prometheusrule", "threshold-tight", "--type=json", "-p", patch)
    restored = eventually(lambda: desk.rule("tight"), lambda rule: _same(rule, before), within=30)
    assert restored["metadata"]["uid"] == before["metadata"]["uid"], "patched in place"


def _same(rule: Any, before: Any) -> bool:
    fields = ("labels", "annotations", "ownerReferences")
    return rule["spec"] == before["spec"] and all(
        rule["metadata"].get(field) == before["metadata"][field] for field in fields
    )


def test_a_rule_deleted_by_hand_comes_back(desk: Desk, start: Start) -> None:
    start()
    desk.apply("tight", critical={"threshold": 0.05})
    wait_written(desk, "tight")
    desk.delete("prometheusrule", "threshold-tight")
    eventually(lambda: desk.exprs("tight"), lambda e: e == ["vector(0.05)"], within=30)


def test_what_others_note_on_a_rule_stays_and_starts_no_loop(desk: Desk, start: Start) -> None:
    operator = start()
    desk.apply("tight", critical={"threshold": 0.05})
    wait_written(desk, "tight")
    writes = operator.writes
    desk.kubectl("label", "prometheusrule", "threshold-tight", "team=desk")
    note = "prometheus-operator-validated=true"
    desk.kubectl("annotate", "prometheusrule", "threshold-tight", note)
    # A drift after it: once that is repaired, the operator has seen the labels as well.
    patch = DRIFT["a number edited"]
    desk.kubectl("patch", "prometheusrule", "threshold-tight", "--type=json", "-p", patch)
    eventually(lambda: desk.exprs("tight"), lambda e: e == ["vector(0.05)"], within=30)
    assert operator.writes == writes + 1
    meta = desk.rule("tight")["metadata"]
    assert meta["labels"]["team"] == "desk"
    assert meta["annotations"]["prometheus-operator-validated"] == "true"


def test_a_webhook_that_annotates_each_write_starts_no_loop(
    desk: Desk, start: Start, tmp_path: Path
) -> None:
    operator = start()
    with annotating(desk.server, desk.namespace, tmp_path) as operations:
        desk.apply("tight", critical={"threshold": 0.05})
        wait_noted(desk, "tight", "1")
        desk.apply("tight", critical={"threshold": 0.06})
        wait_noted(desk, "tight", "2")
        # Once a later object is done, the operator has heard of all that was noted before.
        desk.apply("second", PNL, critical={"threshold": 0.03})
        wait_noted(desk, "second", "3")
        wait_written(desk, "second")
        settled = desk.versions()
        assert operator.stop() == 0
        again = start()
        looked = lambda: again.metric("thresholds_reconciles_total", result="unchanged")  # noqa: E731
        eventually(looked, lambda n: n >= 2, within=SOON)
        assert again.writes == 0
        assert desk.versions() == settled
        assert operations == ["CREATE", "UPDATE", "CREATE"]
    assert desk.exprs("tight") == ["vector(0.06)"]
    assert desk.rule("tight")["metadata"]["labels"][BORN] == "true", "a later write takes nothing"


def wait_noted(desk: Desk, name: str, calls: str) -> None:
    """Until the webhook has seen so many writes, of which this rule's was the last."""

    def noted() -> object:
        return ((desk.rule(name) or {}).get("metadata") or {}).get("annotations", {}).get(CALLS)

    eventually(noted, lambda found: found == calls, within=SOON, every=0.3)


BAD_EDITS: dict[str, tuple[dict[str, Any], str, str]] = {
    "out of bounds": (
        {"critical": {"threshold": 7}},
        "OutOfBounds",
        "spec.critical.threshold: is 7, must lie between 0.001 and 1 ratio",
    ),
    "warning beyond critical": (
        {"warning": {"threshold": 0.3}, "critical": {"threshold": 0.1}},
        "OutOfBounds",
        "spec.critical.threshold: is 0.1, must lie above warning.threshold (0.3)",
    ),
    "a scope that the alert doesn't have": (
        {"match": {"symbol": "TSLA"}, "critical": {"threshold": 0.1}},
        "ScopeNotAllowed",
        f"spec.match: {ALERT} has no scope label; remove match",
    ),
}


@pytest.mark.parametrize(("spec", "reason", "message"), BAD_EDITS.values(), ids=BAD_EDITS)
def test_a_bad_edit_never_takes_a_good_rule_away(
    desk: Desk, start: Start, spec: dict[str, Any], reason: str, message: str
) -> None:
    operator = start()
    desk.apply("tight", critical={"threshold": 0.05})
    before = wait_written(desk, "tight")

    desk.apply("tight", **spec)
    said = desk.wait_condition("tight", "Accepted", "False", reason)
    assert said["message"] == f"{message}; generation 1 stays in force"
    assert desk.condition("tight", "Effective")["reason"] == "NotAccepted"

    # Nor does a restart, nor somebody who deletes the rule at this moment.
    operator.stop()
    operator = start()
    assert desk.rule("tight") == before
    status = desk.object("tight")["status"]
    assert (status["acceptedGeneration"], status["observedGeneration"]) == (1, 2)
    desk.delete("prometheusrule", "threshold-tight")
    eventually(lambda: desk.exprs("tight"), lambda e: e == ["vector(0.05)"], within=30)

    desk.apply("tight", critical={"threshold": 0.06})
    desk.wait_condition("tight", "Accepted", "True", "Accepted")
    assert desk.exprs("tight") == ["vector(0.06)"]


def test_an_object_that_never_was_valid_gets_no_rule(desk: Desk, start: Start) -> None:
    start()
    desk.apply("wrong", "StocksNothing", critical={"threshold": 1})
    said = desk.wait_condition("wrong", "Accepted", "False", "UnknownAlert")
    assert "spec.alert: StocksNothing is not in the catalogue; known: Stocks" in said["message"]
    assert said["message"].endswith("; no number of this object is in force")
    assert desk.rule("wrong") is None


def test_the_older_object_wins_and_the_newer_takes_over_when_it_goes(
    desk: Desk, start: Start
) -> None:
    start()
    desk.apply("b-older", critical={"threshold": 0.05})
    wait_written(desk, "b-older")
    # Kubernetes notes the time of creation in whole seconds; within one the name decides.
    eventually(lambda: _age(desk, "b-older"), lambda age: age > 1, within=10, every=0.2)
    desk.apply("a-newer", critical={"threshold": 0.06})
    said = desk.wait_condition("a-newer", "Accepted", "False", "Conflict")
    assert said["message"].startswith(
        f"b-older is older and already sets critical of {ALERT} for *"
    )
    assert desk.rule("a-newer") is None

    desk.delete("at", "b-older")
    desk.wait_condition("a-newer", "Accepted", "True", "Accepted")
    assert desk.exprs("a-newer") == ["vector(0.06)"]


def test_a_renamed_object_takes_over_from_itself(desk: Desk, start: Start) -> None:
    """Deleted and created under another name, with the same scope, within a moment."""
    operator = start()
    desk.apply("before", critical={"threshold": 0.05})
    wait_written(desk, "before")
    desk.delete("at", "before")
    desk.apply("after", critical={"threshold": 0.05})
    wait_written(desk, "after")
    assert desk.exprs("after") == ["vector(0.05)"]
    assert operator.metric("thresholds_reconciles_total", result="error") == 0


def _age(desk: Desk, name: str) -> float:
    from datetime import UTC, datetime

    created = datetime.fromisoformat(desk.object(name)["metadata"]["creationTimestamp"])
    return (datetime.now(UTC) - created).total_seconds()


def test_a_foreign_rule_of_the_same_name_is_left_alone(desk: Desk, start: Start) -> None:
    start()
    foreign = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "threshold-tight"},
        "spec": {"groups": [{"name": "theirs", "rules": [{"record": "a", "expr": "vector(1)"}]}]},
    }
    desk.server.apply(desk.namespace, foreign)
    desk.apply("tight", critical={"threshold": 0.05})
    said = desk.wait_condition("tight", "Effective", "False", "Rejected")
    assert "a PrometheusRule threshold-tight exists that isn't ours" in said["message"]
    assert desk.exprs("tight") == ["vector(1)"]


def test_people_are_told_once_of_each_transition(desk: Desk, start: Start) -> None:
    start()
    desk.apply("tight", critical={"threshold": 7})
    desk.wait_condition("tight", "Accepted", "False", "OutOfBounds")
    (event,) = eventually(
        lambda: desk.server.items(desk.namespace, "event"), bool, within=SOON, every=0.3
    )
    assert (event["reason"], event["type"]) == ("OutOfBounds", "Warning")
    assert event["involvedObject"]["name"] == "tight"


REFUSED_BY_SCHEMA: dict[str, tuple[dict[str, Any], str]] = {
    "no number at all": (threshold("x"), "sets nothing; give warning, critical or both"),
    "the name of the chart's own source": (
        threshold("default", critical={"threshold": 0.1}),
        "stands for the chart's own numbers",
    ),
    "a number that is a string": (
        threshold("x", critical={"threshold": "0.1"}),
        "expected numeric",
    ),
    "two scope labels": (
        threshold("x", match={"a": "b", "c": "d"}, critical={"threshold": 0.1}),
        "must have at most 1",
    ),
    "a mode that isn't there": (
        threshold("x", mode="Whatever", critical={"threshold": 0.1}),
        'supported values: "Enforce"',
    ),
    "a time that is none": (
        threshold("x", expiresAt="tomorrow", critical={"threshold": 0.1}),
        "must be a time such as 2026-12-24T21:00:00Z",
    ),
    "a tier without a number": (threshold("x", critical={}), "give threshold, or enabled: false"),
    "a name too long for a rule file": (
        threshold("x" * 64, critical={"threshold": 0.1}),
        "at most 63 characters",
    ),
    "a name as long as Kubernetes lets it be": (
        threshold("x" * 253, critical={"threshold": 0.1}),
        "at most 63 characters",
    ),
    "a name longer than that": (
        threshold("x" * 254, critical={"threshold": 0.1}),
        "must be no more than 253 characters",
    ),
}


@pytest.mark.parametrize(("body", "message"), REFUSED_BY_SCHEMA.values(), ids=REFUSED_BY_SCHEMA)
def test_the_schema_refuses_what_one_object_can_tell(
    desk: Desk, body: dict[str, Any], message: str
) -> None:
    assert message in refusal(desk, body)


def refusal(desk: Desk, body: dict[str, Any]) -> str:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        desk.server.apply(desk.namespace, body)
    return str(refused.value.output)


def test_the_alert_of_an_object_cannot_be_changed(desk: Desk) -> None:
    desk.apply("tight", critical={"threshold": 0.05})
    changed = threshold("tight", PNL, critical={"threshold": 0.05})
    said = refusal(desk, changed)
    assert "spec.alert: Invalid value" in said
    assert "can't be changed; make another object for another alert" in said
    assert desk.object("tight")["spec"]["alert"] == ALERT


def test_every_field_is_explained(desk: Desk) -> None:
    for field in (
        "spec",
        "spec.match",
        "spec.critical.threshold",
        "spec.expiresAt",
        "status.tiers",
    ):
        text = desk.kubectl("explain", f"at.{field}")
        assert "<empty>" not in text.split("FIELDS:")[0], field


def test_crd_and_model_know_the_same_fields() -> None:
    from threshold_operator.model.threshold import Spec

    (crd,) = rendered("default", "crd")
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    ours = Spec.model_json_schema()
    assert schema["properties"].keys() == ours["properties"].keys()
    assert schema["required"] == ours["required"]
    assert schema["properties"]["mode"]["enum"] == ours["$defs"]["Mode"]["enum"]


def test_row_b_an_object_that_is_created_expired_is_accepted_and_ready(
    desk: Desk, start: Start
) -> None:
    """As where a backup is restored, or GitOps applies an old file; with the chart's policy."""
    start()
    desk.apply("old", critical={"threshold": 0.05}, expiresAt="2020-01-01T00:00:00Z")
    desk.wait_condition("old", "Accepted", "True", "Accepted")
    desk.wait_condition("old", "Effective", "False", "Expired")
    desk.wait_condition("old", "Ready", "True", "Expired")
