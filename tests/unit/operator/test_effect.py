"""The verdict on effect, for every way in which Prometheus can look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tests.unit.operator.objects import CATALOGUE, NAMESPACE, NOW, PNL, threshold

from threshold_operator.evidence.effect import alert_state, judge
from threshold_operator.evidence.observation import (
    Blind,
    LoadedRule,
    Look,
    Observation,
    Sample,
    Samples,
    narrows,
    normal_form,
)
from threshold_operator.evidence.selectors import Selection
from threshold_operator.model.condition import Verdict
from threshold_operator.model.governors import Governors
from threshold_operator.model.precedence import Decision
from threshold_operator.model.threshold import AlertThreshold, Mode, Severity
from threshold_operator.model.times import duration
from threshold_operator.promql.rules import alert_group, threshold_group
from threshold_operator.promql.series import (
    EFFECTIVE,
    OWN_RULE,
    RECOVER,
    RECOVER_EFFECTIVE,
    THRESHOLD,
)

ENTRY = CATALOGUE[PNL]
TSLA = threshold("tsla", PNL, match={"symbol": "TSLA"}, critical={"threshold": 0.03})
WIDE = threshold("wide", PNL, warning={"threshold": 0.01}, critical={"threshold": 0.04})

CRITICAL = (PNL, "critical")


def loaded(rule: dict[str, object]) -> LoadedRule:
    labels = {str(key): str(value) for key, value in dict(rule["labels"]).items()}  # type: ignore[call-overload]
    expr = normal_form(str(rule["expr"]))
    name = str(rule.get("record") or rule["alert"])
    waits, lasts = (
        duration(str(rule.get(time, "0s"))).total_seconds() for time in ("for", "keep_firing_for")
    )
    return LoadedRule(name, expr, labels, "ok", "", evaluated=True, waits=waits, lasts=lasts)


def sample(value: float, **labels: str) -> Sample:
    return Sample({"namespace": NAMESPACE, "alert": PNL, **labels}, value)


def perfect(*thresholds: AlertThreshold) -> Observation:
    """Prometheus as it should look: two symbols measured, AAPL and TSLA."""
    numbers = {
        (record, severity): {"AAPL": default, "TSLA": default}
        for severity, default in (("warning", 0.02), ("critical", 0.05))
        for record in (EFFECTIVE, RECOVER_EFFECTIVE)
    }
    for each in sorted(thresholds, key=lambda t: len(t.spec.match)):
        for severity, tier in each.spec.tiers.items():
            governs = each.spec.mode is Mode.ENFORCE
            for symbol in ("AAPL", "TSLA"):
                if governs and each.spec.match.get("symbol", symbol) == symbol:
                    limit = ENTRY.limit(tier)
                    numbers[EFFECTIVE, str(severity)][symbol] = limit
                    numbers[RECOVER_EFFECTIVE, str(severity)][symbol] = tier.recover or limit
    layers = [
        loaded(rule)
        for rule in alert_group(ENTRY, NAMESPACE)["rules"]
        if rule.get("record") in (EFFECTIVE, RECOVER_EFFECTIVE, OWN_RULE)
    ]
    return Observation(
        groups={
            group["name"]: tuple(map(loaded, group["rules"]))
            for group in (threshold_group(each, ENTRY) for each in thresholds)
        },
        layers=tuple(layers),
        numbers={
            (record, each.name): tuple(
                sample(value, severity=severity, source=each.name, **each.spec.match)
                for severity, tier in each.spec.tiers.items()
                if (value := ENTRY.limit(tier) if record == THRESHOLD else tier.recover) is not None
            )
            for each in thresholds
            for record in (THRESHOLD, RECOVER)
        },
        in_force={
            (record, PNL, severity): tuple(
                sample(value, severity=severity, symbol=symbol) for symbol, value in found.items()
            )
            for (record, severity), found in numbers.items()
        },
    )


def known(*objects: AlertThreshold, now: datetime = NOW) -> Governors:
    governors = Governors()
    for each in objects:
        governors.note(each.name, in_force(each), now)
    return governors


def alone(seen: Observation | Blind, selection: Selection | None = None) -> Look:
    """A Prometheus of one replica."""
    return Look({"prometheus-0": seen}, selection)


def verdict(
    which: AlertThreshold,
    seen: Observation | Blind | Look,
    *others: AlertThreshold,
    applied: timedelta = timedelta(seconds=60),
    later: timedelta = timedelta(),
) -> Verdict:
    now = NOW + later
    governors = known(which, *others, now=now)
    look = seen if isinstance(seen, Look) else alone(seen)
    return judge(which, ENTRY, look, governors, applied=NOW - applied, now=now)


Change = Callable[[Observation], Observation]


def in_force(which: AlertThreshold) -> Decision:
    return Decision(which.name, which.uid, which.generation, which, None)


CRITICAL_TIER = {"threshold": 0.03, "recover": 0.02, "for": "1m", "keepFiringFor": "5m"}
OWN = threshold("tsla", PNL, match={"symbol": "TSLA"}, critical=CRITICAL_TIER)
HELD = threshold(
    "tsla", PNL, match={"symbol": "TSLA"}, critical={"threshold": 0.03, "recover": 0.02}
)
SHADOWED = threshold("tsla", PNL, match={"symbol": "TSLA"}, critical=CRITICAL_TIER, mode="Shadow")
SILENCED = threshold("tsla", PNL, match={"symbol": "TSLA"}, critical={"enabled": False})

KINDS = {
    "own timing": (OWN, "critical 0.03"),
    "hysteresis": (HELD, "critical 0.03"),
    "a shadow": (
        SHADOWED,
        "critical 0.03 in Shadow: no other rule reads them, and they notify no one",
    ),
    "silence": (SILENCED, "critical +Inf"),
}


@pytest.mark.parametrize(("which", "text"), KINDS.values(), ids=KINDS)
def test_there_is_a_proof_of(which: AlertThreshold, text: str) -> None:
    said = verdict(which, perfect(which, WIDE), WIDE)
    assert said == Verdict("True", "Effective", f"Prometheus evaluates {text}")


def without(record: str) -> Change:
    return lambda seen: replace(seen, layers=tuple(r for r in seen.layers if r.name != record))


def with_alert(**changes: object) -> Change:
    def change(seen: Observation) -> Observation:
        *series, alert = seen.groups["at.tsla"]
        changed = replace(alert, **changes)  # type: ignore[arg-type]
        return replace(seen, groups={"at.tsla": (*series, changed)})

    return change


OTHER_VERSION = "Prometheus still evaluates another version of the rule"
NOT_LOADED = "Prometheus hasn't loaded the rule yet"

UNPROVEN: dict[str, tuple[AlertThreshold, Change, str, str]] = {
    "the old for": (OWN, with_alert(waits=30.0), "Propagating", OTHER_VERSION),
    "the old keepFiringFor": (OWN, with_alert(lasts=0.0), "Propagating", OTHER_VERSION),
    "the alert that notifies": (
        *(SHADOWED, with_alert(labels={"severity": "critical"})),
        *("Propagating", OTHER_VERSION),
    ),
    "an alert that fails": (
        *(SHADOWED, with_alert(health="err", error="many-to-many")),
        *("Rejected", f"Prometheus can't evaluate {PNL}: many-to-many"),
    ),
    "a chart that doesn't know of own rules": (OWN, without(OWN_RULE), "Propagating", NOT_LOADED),
    "a chart without hysteresis": (HELD, without(RECOVER_EFFECTIVE), "Propagating", NOT_LOADED),
    "the old recover number in force": (
        HELD,
        lambda seen: replace(
            seen,
            in_force={
                **seen.in_force,
                (RECOVER_EFFECTIVE, *CRITICAL): (sample(0.01, symbol="TSLA"),),
            },
        ),
        "Propagating",
        "Prometheus still has 0.01 for critical for symbol=TSLA, not 0.02",
    ),
    "a shadow without its series": (
        *(SHADOWED, lambda seen: replace(seen, numbers={})),
        *("Propagating", "Prometheus has no number for critical yet, 0.03 is on its way"),
    ),
}


@pytest.mark.parametrize(("which", "change", "reason", "text"), UNPROVEN.values(), ids=UNPROVEN)
def test_it_is_no_proof_to_see(
    which: AlertThreshold, change: Change, reason: str, text: str
) -> None:
    assert verdict(which, change(perfect(which))) == Verdict("False", reason, text)


def test_a_shadow_needs_nothing_of_the_chart() -> None:
    bare = replace(perfect(SHADOWED), layers=(), in_force={})
    assert verdict(SHADOWED, bare).status == "True"


def test_a_shadow_is_in_nobody_s_way() -> None:
    """What it would govern is still the wide object's."""
    said = verdict(WIDE, perfect(WIDE), SHADOWED)
    assert said.status == "True"
    wrong = with_critical(sample(0.05, severity="critical", symbol="TSLA"))(perfect(WIDE))
    assert verdict(WIDE, wrong, SHADOWED).reason == "Propagating"


def test_a_preview_is_never_in_force() -> None:
    tried = threshold("tried", PNL, mode="Preview")
    said = verdict(tried, perfect(tried))
    assert said == Verdict(
        "False", "Preview", "a Preview puts nothing in force: see status.preview"
    )


def test_what_prometheus_operator_rejects_is_rejected_whatever_prometheus_says() -> None:
    governors = known(TSLA)
    said = judge(
        TSLA, ENTRY, alone(perfect(TSLA)), governors, applied=NOW, now=NOW, rejected="bad expr"
    )
    assert said == Verdict("False", "Rejected", "bad expr")


def test_rules_and_numbers_as_they_should_be_are_the_proof() -> None:
    assert verdict(TSLA, perfect(TSLA)) == Verdict(
        "True", "Effective", "Prometheus evaluates critical 0.03"
    )


def test_a_wide_number_needn_t_hold_where_a_scoped_object_governs() -> None:
    seen = perfect(WIDE, TSLA)
    assert verdict(WIDE, seen, TSLA).status == "True"
    assert verdict(TSLA, seen, WIDE).status == "True"


def test_a_wide_number_must_hold_again_where_the_scoped_object_expired() -> None:
    expired = threshold(
        "tsla",
        PNL,
        match={"symbol": "TSLA"},
        critical={"threshold": 0.03},
        expiresAt="2026-11-23T11:00:00Z",
    )
    said = verdict(WIDE, perfect(WIDE, TSLA), expired)
    assert said.message == "Prometheus still has 0.03 for critical for symbol=TSLA, not 0.04"


def test_where_nothing_is_measured_the_threshold_series_is_the_proof() -> None:
    assert verdict(TSLA, replace(perfect(TSLA), in_force={})).status == "True"


def with_rule(**changes: object) -> Change:
    def change(seen: Observation) -> Observation:
        name = "at.tsla"
        rules = tuple(replace(rule, **changes) for rule in seen.groups[name])  # type: ignore[arg-type]
        return replace(seen, groups={name: rules})

    return change


def with_layer(**changes: object) -> Change:
    def change(seen: Observation) -> Observation:
        rules = tuple(replace(rule, **changes) for rule in seen.layers)  # type: ignore[arg-type]
        return replace(seen, layers=rules)

    return change


def with_critical(*samples: Sample) -> Change:
    return lambda seen: replace(seen, in_force={(EFFECTIVE, *CRITICAL): samples})


DOUBTS: dict[str, tuple[Change, str, str]] = {
    "the group isn't loaded": (
        lambda seen: replace(seen, groups={}),
        "Propagating",
        "Prometheus hasn't loaded the rule yet",
    ),
    "the rules have another number": (
        with_rule(expr="vector(0.04)"),
        "Propagating",
        "Prometheus still evaluates another version of the rule",
    ),
    "the rules have other labels": (
        with_rule(labels={"source": "tsla"}),
        "Propagating",
        "Prometheus still evaluates another version of the rule",
    ),
    "a rule fails": (
        with_rule(health="err", error="no such function"),
        "Rejected",
        "Prometheus can't evaluate stocks:alert_threshold: no such function",
    ),
    "a rule was never evaluated": (
        with_rule(health="unknown", evaluated=False),
        "Propagating",
        "Prometheus has loaded stocks:alert_threshold, but not evaluated it yet",
    ),
    "a rule counts as healthy before its first evaluation": (
        with_rule(evaluated=False),
        "Propagating",
        "Prometheus has loaded stocks:alert_threshold, but not evaluated it yet",
    ),
    "the chart's rule isn't loaded": (
        lambda seen: replace(seen, layers=()),
        "Propagating",
        "Prometheus hasn't loaded the rule yet",
    ),
    "only another namespace's rule of the chart is loaded": (
        with_layer(expr='min(stocks:alert_threshold{namespace="other"})'),
        "Propagating",
        "Prometheus hasn't loaded the rule yet",
    ),
    "the chart's rule fails": (
        with_layer(health="err", error="many-to-many"),
        "Rejected",
        "Prometheus can't evaluate stocks:alert_threshold:effective: many-to-many",
    ),
    "the number in force is another": (
        with_critical(sample(0.05, severity="critical", symbol="TSLA")),
        "Propagating",
        "Prometheus still has 0.05 for critical for symbol=TSLA, not 0.03",
    ),
    "the number in force is none": (
        with_critical(sample(float("nan"), severity="critical", symbol="TSLA")),
        "Propagating",
        "Prometheus still has nan for critical for symbol=TSLA, not 0.03",
    ),
    "there is no number at all": (
        lambda seen: replace(seen, in_force={}, numbers={}),
        "Propagating",
        "Prometheus has no number for critical yet, 0.03 is on its way",
    ),
}


@pytest.mark.parametrize(("change", "reason", "message"), DOUBTS.values(), ids=DOUBTS)
def test_there_is_no_proof_while(change: Change, reason: str, message: str) -> None:
    assert verdict(TSLA, change(perfect(TSLA))) == Verdict("False", reason, message)


@pytest.mark.parametrize(
    "change", [change for change, reason, _ in DOUBTS.values() if reason == "Propagating"]
)
def test_at_first_it_is_just_on_its_way_wherever_it_is(change: Change) -> None:
    said = verdict(TSLA, change(perfect(TSLA)), applied=timedelta(seconds=29))
    assert said == Verdict("False", "Propagating", "on its way to Prometheus")


@pytest.mark.parametrize("case", ["the group isn't loaded", "the chart's rule isn't loaded"])
def test_a_group_that_never_comes_was_not_selected(case: str) -> None:
    change, _, _ = DOUBTS[case]
    said = verdict(TSLA, change(perfect(TSLA)), applied=timedelta(minutes=3))
    assert (said.status, said.reason) == ("False", "NotSelected")
    assert "kubectl get prometheus -A" in said.message
    assert "monitoring.ruleLabels" in said.message


@pytest.mark.parametrize("case", ["the group isn't loaded", "the chart's rule isn't loaded"])
def test_what_the_selectors_refuse_is_said_at_once_in_their_words(case: str) -> None:
    change, _, _ = DOUBTS[case]
    refused = Selection("monitoring/main", "its ruleSelector wants release=other")
    seen = alone(change(perfect(TSLA)), refused)
    said = verdict(TSLA, seen, applied=timedelta())
    assert (said.status, said.reason) == ("False", "NotSelected")
    assert said.message.startswith("Prometheus monitoring/main hasn't loaded the PrometheusRule")
    assert said.message.endswith(": its ruleSelector wants release=other")


def test_what_the_selectors_take_is_awaited_and_then_sought_elsewhere() -> None:
    seen = alone(replace(perfect(TSLA), groups={}), Selection("monitoring/main"))
    assert verdict(TSLA, seen).reason == "Propagating"
    said = verdict(TSLA, seen, applied=timedelta(minutes=3))
    assert said.reason == "NotSelected"
    assert "its selectors take it; look into the log of prometheus-operator" in said.message


def test_the_number_of_another_instance_is_no_proof() -> None:
    seen = with_critical(sample(0.03, severity="critical", symbol="AAPL"))(perfect(TSLA))
    assert verdict(TSLA, replace(seen, numbers={})).reason == "Propagating"


def test_every_tier_has_to_be_proven() -> None:
    seen = perfect(WIDE)
    mild = (EFFECTIVE, PNL, "warning")
    wrong = sample(0.02, severity="warning", symbol="AAPL")
    assert verdict(WIDE, replace(seen, in_force={**seen.in_force, mild: (wrong,)})).message == (
        "Prometheus still has 0.02 for warning for symbol=AAPL, not 0.01"
    )


def test_the_rule_of_the_chart_must_be_there_for_every_tier() -> None:
    seen = perfect(WIDE)
    critical = tuple(r for r in seen.layers if r.labels["severity"] == "critical")
    assert verdict(WIDE, replace(seen, layers=critical)).reason == "Propagating"


def test_after_its_time_an_object_is_expired_whatever_prometheus_says() -> None:
    brief = threshold("brief", PNL, expiresAt="2026-11-23T12:00:30Z")
    assert verdict(brief, perfect(brief)).status == "True"
    said = verdict(brief, perfect(brief), later=timedelta(seconds=30))
    assert said == Verdict(
        "False", "Expired", "expired at 2026-11-23T12:00:30Z: its numbers no longer hold"
    )


def test_who_can_t_be_asked_proves_nothing() -> None:
    assert verdict(TSLA, Blind("PrometheusUnreachable", "no answer within 5 s")) == Verdict(
        "Unknown", "PrometheusUnreachable", "no answer within 5 s"
    )


STATES = {
    "no alert": ((), "inactive"),
    "its own is pending": ((("TSLA", "pending"),), "pending"),
    "one is pending and one fires": ((("TSLA", "pending"), ("TSLA", "firing")), "firing"),
    "only another instance's fires": ((("AAPL", "firing"),), "inactive"),
}


@pytest.mark.parametrize(("alerts", "state"), STATES.values(), ids=STATES)
def test_the_state_is_that_of_the_instances_it_governs(
    alerts: tuple[tuple[str, str], ...], state: str
) -> None:
    samples = tuple(sample(1, symbol=symbol, alertstate=state) for symbol, state in alerts)
    seen = Observation(alerts={CRITICAL: samples})
    assert alert_state(TSLA, ENTRY, alone(seen), known(TSLA)) == state


def test_the_state_of_a_wide_object_leaves_out_what_a_scoped_one_governs() -> None:
    firing = sample(1, symbol="TSLA", alertstate="firing")
    seen = Observation(alerts={CRITICAL: (firing,)})
    only = known(WIDE)
    both = known(WIDE, TSLA)
    assert alert_state(WIDE, ENTRY, alone(seen), only) == "firing"
    assert alert_state(WIDE, ENTRY, alone(seen), both) == "inactive"


def test_a_scoped_object_that_went_or_expired_governs_nothing() -> None:
    firing = sample(1, symbol="TSLA", alertstate="firing")
    seen = Observation(alerts={CRITICAL: (firing,)})
    governors = known(WIDE, TSLA)
    governors.note(TSLA.name, in_force(TSLA), NOW)
    assert alert_state(WIDE, ENTRY, alone(seen), governors) == "inactive"
    governors.note(TSLA.name, None, NOW)
    assert alert_state(WIDE, ENTRY, alone(seen), governors) == "firing"


def test_the_state_of_a_shadow_is_that_of_its_own_alert() -> None:
    def told(symbol: str, shadow: str) -> Sample:
        return sample(1, symbol=symbol, severity="none", shadow=shadow, alertstate="firing")

    wide = threshold("wide", PNL, mode="Shadow", critical={"threshold": 0.01})
    governors = known(wide, SHADOWED)

    def state(which: AlertThreshold, *alerts: Sample) -> str:
        loud = sample(1, symbol="AAPL", alertstate="firing")
        seen = Observation(alerts={CRITICAL: (loud,), (PNL, "none"): alerts})
        return alert_state(which, ENTRY, alone(seen), governors)

    assert state(wide) == "inactive"
    assert state(wide, told("AAPL", "warning")) == "inactive"
    assert state(wide, told("TSLA", "critical")) == "inactive"
    assert state(SHADOWED, told("TSLA", "critical")) == "firing"
    assert state(wide, told("AAPL", "critical")) == "firing"


def test_a_tier_that_the_object_doesn_t_set_is_no_concern_of_its_state() -> None:
    seen = Observation(alerts={(PNL, "warning"): (sample(1, symbol="TSLA", alertstate="firing"),)})
    assert alert_state(TSLA, ENTRY, alone(seen), known()) == "inactive"


def test_no_state_is_known_of_a_prometheus_that_is_silent() -> None:
    blind = Blind("PrometheusUnreachable", "")
    assert alert_state(TSLA, ENTRY, alone(blind), known()) == "unknown"


SAME = {
    "an exponent": ("vector(4.1025204e+09)", "vector(4102520400)"),
    "spaces": ("a  and on() b", "a and on () b"),
    "matchers in another order": ('a{b="1,}",c!="x"} > 1', 'a{c!="x",b="1,}"} > 1'),
    "a short exponent": ("vector(1e-05)", "vector(0.00001)"),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_promql_is_the_same_written_with(one: str, other: str) -> None:
    assert narrows(normal_form(one), other, own=("b", "c"))


def test_what_isn_t_promql_stays_as_it_is() -> None:
    assert normal_form("vector(") == "vector("


def test_severity_labels_compare_as_text() -> None:
    assert (PNL, str(Severity.CRITICAL)) == CRITICAL


LAGGING = replace(
    perfect(TSLA), in_force={**perfect(TSLA).in_force, **perfect().in_force}, numbers={}
)
REPLICAS = {
    "all agree": (
        {"a": perfect(TSLA), "b": perfect(TSLA)},
        ("True", "Effective"),
        "2 of 2 replicas evaluate critical 0.03",
    ),
    "one has the old number": (
        {"a": perfect(TSLA), "b": LAGGING},
        ("False", "Propagating"),
        "1 of 2 replicas evaluates critical 0.03;"
        " b: Prometheus still has 0.05 for critical for symbol=TSLA, not 0.03",
    ),
    "the other has the old number": (
        {"a": LAGGING, "b": perfect(TSLA)},
        ("False", "Propagating"),
        "1 of 2 replicas evaluates critical 0.03;"
        " a: Prometheus still has 0.05 for critical for symbol=TSLA, not 0.03",
    ),
    "one can't be asked": (
        {"a": perfect(TSLA), "b": Blind("PrometheusUnreachable", "no answer within 5 s")},
        ("Unknown", "PrometheusUnreachable"),
        "1 of 2 replicas evaluates critical 0.03; b: no answer within 5 s",
    ),
    "one lags and one can't be asked: what is known to be wrong comes first": (
        {"a": LAGGING, "b": Blind("PrometheusUnreachable", "no answer within 5 s")},
        ("False", "Propagating"),
        "0 of 2 replicas evaluate critical 0.03;"
        " a: Prometheus still has 0.05 for critical for symbol=TSLA, not 0.03",
    ),
}


@pytest.mark.parametrize(("replicas", "said", "message"), REPLICAS.values(), ids=REPLICAS)
def test_row_1_effective_is_a_statement_about_every_replica(
    replicas: dict[str, Observation | Blind], said: tuple[str, str], message: str
) -> None:
    found = verdict(TSLA, Look(replicas), applied=timedelta(minutes=1))
    assert ((found.status, found.reason), found.message) == (said, message)


def test_the_replicas_that_lag_are_named() -> None:
    look = Look({"a": perfect(TSLA), "b": LAGGING, "c": Blind("PrometheusUnreachable", "")})
    assert verdict(TSLA, look).lagging == ("b",)


def test_a_proof_by_fewer_replicas_than_there_may_be_says_so() -> None:
    look = Look({"Prometheus": perfect(TSLA)}, caveat="only one was asked")
    assert verdict(TSLA, look).message == ("Prometheus evaluates critical 0.03; only one was asked")


def test_an_alert_fires_if_it_does_at_any_replica() -> None:
    firing = sample(1, symbol="TSLA", alertstate="firing")
    quiet, loud = Observation(), Observation(alerts={CRITICAL: (firing,)})
    look = Look({"a": quiet, "b": loud, "c": Blind("PrometheusUnreachable", "")})
    assert alert_state(TSLA, ENTRY, look, known(TSLA)) == "firing"


def relabelled(seen: Observation, **more: str) -> Observation:
    """As a querier, or a relabelling, shows it: each series and rule has more labels."""

    def samples(found: Samples) -> Samples:
        return {
            k: tuple(Sample({**s.labels, **more}, s.value) for s in v) for k, v in found.items()
        }

    return Observation(
        groups={
            name: tuple(replace(r, labels={**r.labels, **more}) for r in rules)
            for name, rules in seen.groups.items()
        },
        layers=tuple(replace(r, labels={**r.labels, **more}) for r in seen.layers),
        numbers=samples(seen.numbers),
        in_force=samples(seen.in_force),
        alerts=samples(seen.alerts),
    )


def enforced(seen: Observation) -> Observation:
    """As prometheus-operator's enforcedNamespaceLabel rewrites rules: each selector gets more."""

    def rewritten(rule: LoadedRule) -> LoadedRule:
        expr = rule.expr.replace("{", '{tenant="desk",')
        return replace(rule, expr=expr, labels={**rule.labels, "tenant": "desk"})

    groups = {name: tuple(map(rewritten, rules)) for name, rules in seen.groups.items()}
    return replace(seen, groups=groups, layers=tuple(map(rewritten, seen.layers)))


TIMED = threshold("tsla", PNL, match={"symbol": "TSLA"}, critical={"threshold": 0.03, "for": "1m"})


@pytest.mark.parametrize("which", [TSLA, TIMED, WIDE], ids=["scoped", "with its own rule", "wide"])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda seen: relabelled(seen, cluster="eu"), id="external labels"),
        pytest.param(lambda seen: relabelled(seen, tenant="desk"), id="relabelled rule series"),
        pytest.param(enforced, id="enforcedNamespaceLabel"),
    ],
)
def test_row_a_labels_that_others_add_defeat_no_proof(
    which: AlertThreshold, change: Change
) -> None:
    assert verdict(which, change(perfect(which))).status == "True"


def pair(one: Observation, other: Observation) -> Observation:
    """Two replicas behind one querier that doesn't deduplicate."""
    first, second = relabelled(one, replica="a"), relabelled(other, replica="b")

    def both(left: Samples, right: Samples) -> Samples:
        return {k: (*left.get(k, ()), *right.get(k, ())) for k in {*left, *right}}

    return replace(
        first,
        groups={k: (*v, *second.groups[k]) for k, v in first.groups.items()},
        numbers=both(first.numbers, second.numbers),
        in_force=both(first.in_force, second.in_force),
    )


def test_row_a_a_pair_behind_a_querier_proves_where_both_agree() -> None:
    assert verdict(TSLA, pair(perfect(TSLA), perfect(TSLA))).status == "True"
    said = verdict(TSLA, pair(perfect(TSLA), LAGGING))
    assert (said.status, said.reason) == ("False", "Propagating")
    assert said.message == (
        "Prometheus still has 0.05 for critical for symbol=TSLA (replica=b), not 0.03"
    )


def test_an_older_generation_with_more_labels_of_ours_is_no_proof() -> None:
    """The scoped rule of before records the same number as the wide one of now."""
    before = threshold("it", PNL, match={"symbol": "TSLA"}, critical={"threshold": 0.03})
    now = threshold("it", PNL, critical={"threshold": 0.03})
    seen = replace(perfect(before), in_force={})
    assert verdict(now, seen).reason == "Propagating"


def test_row_h_a_number_that_governs_no_instance_is_effective_with_a_hint() -> None:
    nope = threshold("nope", PNL, match={"symbol": "NOPE"}, critical={"threshold": 0.03})
    said = verdict(nope, perfect(nope))
    assert (said.status, said.reason) == ("True", "Effective")
    assert said.message == (
        "Prometheus evaluates critical 0.03;"
        " no instance of the signal matches symbol=NOPE (there are: AAPL, TSLA)"
    )
    unmeasured = verdict(nope, replace(perfect(nope), in_force={}))
    assert unmeasured.message.endswith("(there are: none yet)")
