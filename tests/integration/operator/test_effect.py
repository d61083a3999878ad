"""Effective is Prometheus' own word: a real one's, whose rules come only when a test says so."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.operator.conftest import SOON, Desk, Operator
from tests.integration.operator.monitoring import Monitoring, running_prometheus
from tests.integration.operator.proxy import SLOW, running_proxy
from tests.integration.operator.wallclock import WallClock
from tests.ports import free_ports
from tests.waiting import eventually

from threshold_operator.promql.series import EFFECTIVE

Start = Callable[..., Operator]

ALERT = "StocksPnlMoveUnusual"


def deliver(desk: Desk, prometheus: Monitoring) -> None:
    """What prometheus-operator does: the rules that bear the label become rule files."""
    selector = ("-l", "release=kube-prometheus-stack")
    rules = json.loads(desk.kubectl("get", "prometheusrule", *selector, "-o", "json"))["items"]
    for rule in rules:
        prometheus.load(rule["metadata"]["name"], *rule["spec"]["groups"])


def wait_effective(desk: Desk, name: str) -> None:
    desk.wait_condition(name, "Effective", "True", "Effective")


def wait_message(desk: Desk, name: str, part: str) -> dict[str, Any]:
    """The condition Effective, once its message holds this."""
    return eventually(
        lambda: desk.condition(name, "Effective"),
        lambda found: part in found["message"],
        within=SOON,
    )


def in_force(prometheus: Monitoring) -> list[float]:
    """The critical number that governs TSLA."""
    labels = f'alert="{ALERT}",severity="critical",symbol="TSLA"'
    return [number for _, number in prometheus.query(f"{EFFECTIVE}{{{labels}}}")]


def test_a_number_is_effective_when_prometheus_evaluates_it_and_not_before(
    desk: Desk, start: Start, prometheus: Monitoring
) -> None:
    operator = start(prometheus.url)
    desk.apply("tsla", ALERT, match={"symbol": "TSLA"}, critical={"threshold": 0.03})
    desk.wait_condition("tsla", "Effective", "False", "Propagating")
    assert desk.condition("tsla", "Ready")["status"] == "False"
    deliver(desk, prometheus)
    wait_effective(desk, "tsla")
    assert desk.condition("tsla", "Ready")["status"] == "True"
    assert desk.object("tsla")["status"]["state"] == "inactive"
    assert operator.metric("threshold_propagation_seconds_count") == 1

    # The next generation has to be proven anew: the old number is no proof.
    desk.apply("tsla", ALERT, match={"symbol": "TSLA"}, critical={"threshold": 0.04})
    desk.wait_condition("tsla", "Effective", "False", "Propagating")
    eventually(lambda: in_force(prometheus), lambda numbers: numbers == [0.03], within=SOON)
    deliver(desk, prometheus)
    wait_effective(desk, "tsla")
    assert in_force(prometheus) == [0.04]


def test_a_wide_number_is_effective_beside_a_scoped_one(
    desk: Desk, start: Start, prometheus: Monitoring
) -> None:
    start(prometheus.url)
    desk.apply("wide", ALERT, critical={"threshold": 0.06})
    desk.apply("tsla", ALERT, match={"symbol": "TSLA"}, critical={"threshold": 0.03})
    desk.wait_condition("tsla", "Effective", "False", "Propagating")
    desk.wait_condition("wide", "Effective", "False", "Propagating")
    deliver(desk, prometheus)
    wait_effective(desk, "tsla")
    wait_effective(desk, "wide")


def test_where_nothing_is_measured_yet_the_threshold_series_is_the_proof(
    desk: Desk, start: Start, prometheus: Monitoring
) -> None:
    start(prometheus.url)
    desk.apply("other", ALERT, match={"symbol": "NOT-HELD"}, critical={"threshold": 0.03})
    desk.wait_condition("other", "Effective", "False", "Propagating")
    deliver(desk, prometheus)
    wait_effective(desk, "other")


def test_an_expired_number_says_so_and_the_default_is_back(
    desk: Desk, start: Start, prometheus: Monitoring
) -> None:
    start(prometheus.url)
    moment = datetime.now(UTC) + timedelta(seconds=30)
    soon = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    match = {"symbol": "TSLA"}
    desk.apply("tsla", ALERT, match=match, critical={"threshold": 0.03}, expiresAt=soon)
    desk.wait_condition("tsla", "Effective", "False", "Propagating")
    deliver(desk, prometheus)
    wait_effective(desk, "tsla")
    said = desk.wait_condition("tsla", "Effective", "False", "Expired")
    assert said["message"] == f"expired at {soon}: its numbers no longer hold"
    eventually(lambda: in_force(prometheus), lambda numbers: numbers == [0.05], within=SOON)


def test_a_clock_that_jumps_over_an_expiry_ends_it_and_one_that_is_set_back_revives_it(
    desk: Desk, start: Start, prometheus: Monitoring, tmp_path: Path
) -> None:
    clock = WallClock(tmp_path)
    start(prometheus.url, **clock.environment)
    later = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    match = {"symbol": "TSLA"}
    desk.apply("a-brief", ALERT, match=match, critical={"threshold": 0.03}, expiresAt=later)
    desk.wait_condition("a-brief", "Effective", "False", "Propagating")
    desk.apply("z-rival", ALERT, match=match, critical={"threshold": 0.04})
    desk.wait_condition("z-rival", "Accepted", "False", "Conflict")
    deliver(desk, prometheus)
    wait_effective(desk, "a-brief")
    clock.jump("+2h")
    desk.wait_condition("a-brief", "Effective", "False", "Expired")
    desk.wait_condition("z-rival", "Accepted", "True", "Accepted")
    clock.jump("+0")
    wait_effective(desk, "a-brief")
    desk.wait_condition("z-rival", "Accepted", "False", "Conflict")


def test_a_rule_that_prometheus_cannot_evaluate_is_rejected_in_its_own_words(
    desk: Desk, start: Start, prometheus: Monitoring
) -> None:
    start(prometheus.url)
    desk.apply("tsla", ALERT, match={"symbol": "TSLA"}, critical={"threshold": 0.03})
    desk.wait_condition("tsla", "Effective", "False", "Propagating")
    (group,) = desk.rule("tsla")["spec"]["groups"]
    (rule,) = group["rules"]
    pnl = "position_pnl_unrealized"
    broken = {**rule, "expr": f"{pnl} + on (namespace) {pnl}"}
    prometheus.load("threshold-tsla", {**group, "rules": [broken]})
    said = desk.wait_condition("tsla", "Effective", "False", "Rejected")
    assert "many-to-many matching not allowed" in said["message"]


def test_the_labels_that_prometheus_selects_are_named_where_a_rule_lacks_them(
    desk: Desk, start: Start, prometheus: Monitoring, select: Callable[..., None]
) -> None:
    select(prometheus, ruleSelector={"matchLabels": {"release": "other"}}, ruleNamespaceSelector={})
    start(prometheus.url)
    desk.apply("tsla", ALERT, match={"symbol": "TSLA"}, critical={"threshold": 0.03})
    said = desk.wait_condition("tsla", "Effective", "False", "NotSelected")
    assert said["message"] == (
        "Prometheus monitoring/kube-prometheus-stack-prometheus hasn't loaded the PrometheusRule"
        " threshold-tsla: its ruleSelector wants release=other, and the rule has"
        " release=kube-prometheus-stack; set monitoring.ruleLabels of the chart"
    )
    deliver(desk, prometheus)
    wait_effective(desk, "tsla")


def test_a_prometheus_that_is_gone_makes_it_unknown_and_its_return_mends_it(
    desk: Desk, start: Start, prometheus: Monitoring
) -> None:
    operator = start(prometheus.url)
    prometheus.stop()
    desk.apply("tsla", ALERT, match={"symbol": "TSLA"}, critical={"threshold": 0.03})
    said = desk.wait_condition("tsla", "Effective", "Unknown", "PrometheusUnreachable")
    assert "Prometheus can't be asked" in said["message"]
    assert desk.object("tsla")["status"]["state"] == "unknown"
    assert desk.exprs("tsla") == ["vector(0.03)"], "the rule needs no Prometheus"
    assert operator.get("/healthz").status_code == 200

    prometheus.start()
    deliver(desk, prometheus)
    wait_effective(desk, "tsla")


def test_a_prometheus_that_answers_late_holds_up_no_rule_and_is_asked_patiently(
    desk: Desk, start: Start, prometheus: Monitoring
) -> None:
    with running_proxy(prometheus.url) as proxy:
        operator = start(proxy.url)
        proxy.fault = lambda _: SLOW
        began = time.monotonic()
        desk.apply("tsla", ALERT, match={"symbol": "TSLA"}, critical={"threshold": 0.03})
        said = desk.wait_condition("tsla", "Effective", "Unknown", "PrometheusUnreachable")
        assert said["message"] == "Prometheus can't be asked: no answer within 5 s"
        desk.apply("aapl", ALERT, match={"symbol": "AAPL"}, critical={"threshold": 0.04})
        desk.wait_condition("aapl", "Effective", "Unknown", "PrometheusUnreachable")
        assert desk.exprs("tsla") == ["vector(0.03)"]
        assert desk.exprs("aapl") == ["vector(0.04)"]
        # Three questions to a look, which is given up after 5 s and never hurried.
        assert len(proxy.requests) <= 3 * (1 + (time.monotonic() - began) / 5)
        assert operator.get("/healthz").text == "ok"
        proxy.well()
        deliver(desk, prometheus)
        wait_effective(desk, "tsla")
        wait_effective(desk, "aapl")


def test_the_state_of_the_alert_is_shown(desk: Desk, start: Start, prometheus: Monitoring) -> None:
    start(prometheus.url)
    desk.apply("tsla", ALERT, match={"symbol": "TSLA"}, critical={"threshold": 0.03})
    desk.wait_condition("tsla", "Effective", "False", "Propagating")
    deliver(desk, prometheus)
    wait_effective(desk, "tsla")
    # AAPL moves by more than its limit: no concern of an object that matches TSLA.
    prometheus.move('symbol="AAPL"', by=9000)
    prometheus.wait_for('ALERTS{symbol="AAPL"}')
    prometheus.move('symbol="TSLA"', by=4000)
    eventually(lambda: state(desk, "tsla"), lambda s: s == "firing", within=120)
    assert prometheus.query('ALERTS{symbol="TSLA",alertstate="firing"}')


def test_an_object_with_a_rule_of_its_own_is_proven_and_governs_alone(
    desk: Desk, start: Start, prometheus: Monitoring
) -> None:
    start(prometheus.url)
    tier = {"threshold": 0.02, "recover": 0.01, "for": "0s", "keepFiringFor": "1h"}
    desk.apply("tsla", ALERT, match={"symbol": "TSLA"}, critical=tier)
    desk.wait_condition("tsla", "Effective", "False", "Propagating")
    deliver(desk, prometheus)
    wait_effective(desk, "tsla")

    # The next generation differs by a duration alone, and has to be proven all the same.
    desk.apply("tsla", ALERT, match={"symbol": "TSLA"}, critical={**tier, "for": "6s"})
    desk.wait_condition("tsla", "Effective", "False", "Propagating")
    deliver(desk, prometheus)
    wait_effective(desk, "tsla")
    prometheus.move('symbol="TSLA"', by=4000)
    eventually(lambda: state(desk, "tsla"), lambda s: s == "firing", within=120)
    which = f'ALERTS{{alertname="{ALERT}",severity="critical",alertstate="firing"}}'
    assert [labels["symbol"] for labels, _ in prometheus.query(which)] == ["TSLA"]


def test_a_shadow_is_proven_and_fires_for_nobody(
    desk: Desk, start: Start, prometheus: Monitoring
) -> None:
    start(prometheus.url)
    shadow = {"threshold": 0.03, "for": "0s"}
    desk.apply("tsla", ALERT, match={"symbol": "TSLA"}, mode="Shadow", critical=shadow)
    desk.wait_condition("tsla", "Effective", "False", "Propagating")
    deliver(desk, prometheus)
    wait_effective(desk, "tsla")
    prometheus.move('symbol="TSLA"', by=4000)  # beyond the Shadow's 3 %, not the default's 5 %
    eventually(lambda: state(desk, "tsla"), lambda s: s == "firing", within=120)
    found = prometheus.query(f'ALERTS{{alertname="{ALERT}"}}')
    severities = {labels["severity"] for labels, _ in found}
    assert severities == {"none", "warning"}
    assert in_force(prometheus) == [0.05]


def test_a_silenced_tier_is_proven_and_a_preview_never_heard_of(
    desk: Desk, start: Start, prometheus: Monitoring
) -> None:
    start(prometheus.url)
    desk.apply("tsla", ALERT, match={"symbol": "TSLA"}, critical={"enabled": False})
    desk.apply("tried", ALERT, critical={"threshold": 0.001}, mode="Preview")
    desk.wait_condition("tried", "Effective", "False", "Preview")
    assert desk.rule("tried") is None
    desk.wait_condition("tsla", "Effective", "False", "Propagating")
    deliver(desk, prometheus)
    wait_effective(desk, "tsla")
    assert in_force(prometheus) == [float("inf")]
    assert desk.object("tsla")["status"]["tiers"]["critical"] == {"silenced": True, "default": 0.05}

    # In place: what was in force goes with an edit, and its rule object stays.
    desk.apply(
        "tsla", ALERT, match={"symbol": "TSLA"}, critical={"threshold": 0.03}, mode="Preview"
    )
    desk.wait_condition("tsla", "Effective", "False", "Preview")
    assert desk.exprs("tsla") == []
    assert desk.rule("tsla") is not None


def state(desk: Desk, name: str) -> str:
    """Of the alert, as the status has it."""
    return str(desk.object(name)["status"].get("state"))


@pytest.mark.timeout(400)  # a proof outlives Prometheus by a minute
def test_prometheus_that_comes_late_is_found_without_a_restart(
    desk: Desk, start: Start, tmp_path: Path
) -> None:
    """Until then the object says so; the operator's process stays the same one."""
    port = free_ports(1)[0]
    operator = start(f"http://127.0.0.1:{port}")
    desk.apply("tsla", ALERT, match={"symbol": "TSLA"}, critical={"threshold": 0.03})
    said = desk.wait_condition("tsla", "Effective", "Unknown", "PrometheusUnreachable")
    assert f"127.0.0.1:{port}" in said["message"]
    with running_prometheus(tmp_path, desk.namespace, port) as prometheus:
        deliver(desk, prometheus)
        wait_effective(desk, "tsla")
        assert operator.process.poll() is None
        prometheus.stop()
        desk.wait_condition("tsla", "Effective", "Unknown", "PrometheusUnreachable", within=150)
        prometheus.start()
        wait_effective(desk, "tsla")
    assert operator.process.poll() is None
    assert operator.get("/healthz").status_code == 200


def test_row_1_effective_waits_for_every_replica_and_names_the_one_that_lags(
    desk: Desk,
    start: Start,
    prometheus: Monitoring,
    select: Callable[..., None],
    tmp_path: Path,
) -> None:
    """As where the config reloader of one replica has stopped; in turn of each."""
    (tmp_path / "second").mkdir()
    with running_prometheus(tmp_path / "second", desk.namespace) as second:
        select(prometheus, second, ruleSelector={}, ruleNamespaceSelector={})
        start(prometheus.url)
        for number, (quick, stale) in enumerate([(prometheus, second), (second, prometheus)]):
            wanted = 0.03 + number / 100
            desk.apply("tsla", ALERT, match={"symbol": "TSLA"}, critical={"threshold": wanted})
            desk.wait_condition("tsla", "Effective", "False", "Propagating")
            deliver(desk, quick)
            lagging = f"prometheus-{(stale is second):d}"
            said = wait_message(desk, "tsla", lagging)
            assert (said["status"], said["reason"]) == ("False", "Propagating")
            assert said["message"].startswith(f"1 of 2 replicas evaluates critical {wanted};")
            deliver(desk, stale)
            wait_effective(desk, "tsla")
            said = desk.condition("tsla", "Effective")
            assert said["message"] == f"2 of 2 replicas evaluate critical {wanted}"


def test_a_pod_of_prometheus_is_touched_while_a_rule_is_on_its_way_and_not_afterwards(
    desk: Desk, start: Start, prometheus: Monitoring, select: Callable[..., None]
) -> None:
    select(prometheus, ruleSelector={}, ruleNamespaceSelector={})
    start(prometheus.url, THRESHOLDS_TOUCH_PODS="true")

    def pod() -> dict[str, Any]:
        meta: dict[str, Any] = desk.server.get("monitoring", "pod", "prometheus-0")["metadata"]
        return meta

    def touched() -> str:
        return str(pod().get("annotations", {}).get("stocks-fastapi.io/rules-awaited"))

    assert touched() == "None"
    desk.apply("tsla", ALERT, match={"symbol": "TSLA"}, critical={"threshold": 0.03})
    eventually(touched, lambda value: value != "None", within=SOON)
    deliver(desk, prometheus)
    wait_effective(desk, "tsla")
    before = pod()
    desk.apply("aapl", ALERT, match={"symbol": "AAPL"}, mode="Preview", critical={"threshold": 1})
    desk.wait_condition("aapl", "Accepted", "True", "Accepted")
    assert pod() == before
