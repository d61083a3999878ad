"""Does Prometheus itself evaluate an object's numbers? The proof, from one look at Prometheus.

Two things must hold. The rules that Prometheus has loaded for the object are those that this
generation renders, healthy and evaluated. And the number in force
(``stocks:alert_threshold:effective``) is the object's number for every instance of the signal that
it governs; where the signal has no instance yet, the threshold series stands in. The same for its
recover number. A Shadow governs nothing: its series and the rule that reads them are all there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from threshold_operator.evidence.observation import (
    Blind,
    LoadedRule,
    Observation,
    Sample,
    normal_form,
)
from threshold_operator.evidence.selectors import Selection
from threshold_operator.model.catalogue import Entry
from threshold_operator.model.condition import (
    EXPIRED,
    NOT_SELECTED,
    PREVIEW,
    PROPAGATING,
    PROVEN,
    REJECTED,
    UNKNOWN,
    Verdict,
)
from threshold_operator.model.governors import Overrides
from threshold_operator.model.threshold import AlertThreshold, Mode, Severity, Tier, duration
from threshold_operator.promql.rules import threshold_group
from threshold_operator.promql.series import (
    EFFECTIVE,
    OWN_RULE,
    RECOVER,
    RECOVER_EFFECTIVE,
    SHADOW,
    THRESHOLD,
    number,
)

#: A rule reaches a Prometheus of prometheus-operator within 2 to 3 minutes (ConfigMap, kubelet
#: sync, reload). A group that is still unknown after that isn't on its way.
SELECTED_WITHIN = timedelta(minutes=3)
#: Before that the stations on the way (loaded, evaluated, read) interest nobody: each would be a
#: write of the status.
SAID_AFTER = timedelta(seconds=30)


def judge(
    threshold: AlertThreshold,
    entry: Entry,
    seen: Observation | Blind,
    overrides: Overrides,
    *,
    applied: datetime,
    now: datetime,
    rejected: str = "",
) -> Verdict:
    """The first thing that stands in the way of the proof, or the proof.

    :param rejected: why prometheus-operator doesn't hand the rule to Prometheus, if it says so.
    """
    if threshold.expired(now):
        until = f"{threshold.spec.expiresAt:%Y-%m-%dT%H:%M:%SZ}"
        return Verdict("False", EXPIRED, f"expired at {until}: its numbers no longer hold")
    if threshold.spec.mode is Mode.PREVIEW:
        return Verdict("False", PREVIEW, "a Preview puts nothing in force: see status.preview")
    if rejected:
        return Verdict("False", REJECTED, rejected)
    if isinstance(seen, Blind):
        return Verdict("Unknown", seen.reason, seen.message)
    for doubt in _doubts(threshold, entry, seen, overrides):
        return _patient(doubt, seen.selection, now - applied)
    return Verdict("True", PROVEN, f"Prometheus evaluates {_numbers(threshold, entry)}")


def alert_state(
    threshold: AlertThreshold, entry: Entry, seen: Observation | Blind, overrides: Overrides
) -> str:
    """The alert where the object governs it: firing if any instance is, else pending, inactive."""
    if isinstance(seen, Blind):
        return UNKNOWN
    states = {
        sample.labels.get("alertstate", "")
        for severity in threshold.spec.tiers
        for sample in _alerts(seen, threshold, severity)
        if overrides.govern(threshold, severity, entry.scope, sample.labels)
    }
    return next((state for state in ("firing", "pending") if state in states), "inactive")


def _alerts(seen: Observation, threshold: AlertThreshold, severity: Severity) -> Iterable[Sample]:
    if threshold.spec.mode is not Mode.SHADOW:
        return seen.alerts.get((threshold.spec.alert, str(severity)), ())
    shadows = seen.alerts.get((threshold.spec.alert, "none"), ())
    return (sample for sample in shadows if sample.labels.get(SHADOW) == severity)


def _patient(doubt: Verdict, selection: Selection | None, age: timedelta) -> Verdict:
    """What Prometheus doesn't evaluate is on its way at first, unless its selectors refuse it."""
    if doubt.reason == NOT_SELECTED and selection is not None and selection.refusal:
        return doubt
    if doubt.reason in (PROPAGATING, NOT_SELECTED) and age < SAID_AFTER:
        return Verdict("False", PROPAGATING, "on its way to Prometheus")
    if doubt.reason == NOT_SELECTED and age < SELECTED_WITHIN:
        return Verdict("False", PROPAGATING, "Prometheus hasn't loaded the rule yet")
    return doubt


def _doubts(
    threshold: AlertThreshold, entry: Entry, seen: Observation, overrides: Overrides
) -> Iterator[Verdict]:
    yield from _rule_doubts(threshold, entry, seen)
    if threshold.spec.mode is Mode.ENFORCE:
        for severity, tier in threshold.spec.tiers.items():
            for record in _layers(tier):
                yield from _layer_doubts(record, entry, severity, threshold.namespace, seen)
    for wanted in _wanted_numbers(threshold, entry):
        yield from _number_doubts(wanted, threshold, entry, seen, overrides)


def _rule_doubts(threshold: AlertThreshold, entry: Entry, seen: Observation) -> Iterator[Verdict]:
    group = threshold_group(threshold, entry)
    loaded = seen.groups.get(group["name"], ())
    if not loaded:
        yield _not_selected(f"threshold-{threshold.name}", seen.selection)
    yield from _health_doubts(loaded)
    if {_identity(rule) for rule in loaded} != {_wanted(rule) for rule in group["rules"]}:
        yield Verdict(
            "False", PROPAGATING, "Prometheus still evaluates another version of the rule"
        )


def _layers(tier: Tier) -> Iterator[str]:
    """The chart's records that a tier needs: without them nothing reads it, whatever it says."""
    yield EFFECTIVE
    if tier.recover is not None:
        yield RECOVER_EFFECTIVE
    if tier.own_timing:
        yield OWN_RULE


def _layer_doubts(
    record: str, entry: Entry, severity: Severity, namespace: str, seen: Observation
) -> Iterator[Verdict]:
    wanted = {"alert": entry.name, "severity": str(severity)}
    own = seen.layers_of(namespace)
    rules = [rule for rule in own if (rule.name, rule.labels) == (record, wanted)]
    if not rules:
        yield _not_selected(f"of the chart with {entry.name}", seen.selection)
    yield from _health_doubts(rules)


def _health_doubts(rules: Iterable[LoadedRule]) -> Iterator[Verdict]:
    for rule in rules:
        if rule.health == "err":
            yield Verdict("False", REJECTED, f"Prometheus can't evaluate {rule.name}: {rule.error}")
        elif rule.health != "ok" or not rule.evaluated:
            text = f"Prometheus has loaded {rule.name}, but not evaluated it yet"
            yield Verdict("False", PROPAGATING, text)


@dataclass(frozen=True)
class _Number:
    """What is to be proven: a number, the object's series of it, and the series in force."""

    severity: Severity
    value: float
    own: str
    in_force: str


def _wanted_numbers(threshold: AlertThreshold, entry: Entry) -> Iterator[_Number]:
    for severity, tier in threshold.spec.tiers.items():
        yield _Number(severity, entry.limit(tier), THRESHOLD, EFFECTIVE)
        if tier.recover is not None:
            yield _Number(severity, tier.recover, RECOVER, RECOVER_EFFECTIVE)


def _number_doubts(
    wanted: _Number,
    threshold: AlertThreshold,
    entry: Entry,
    seen: Observation,
    overrides: Overrides,
) -> Iterator[Verdict]:
    samples = _governed(wanted, threshold, entry, seen, overrides)
    samples = samples or _own_series(wanted, threshold, seen)
    wrong = [sample for sample in samples if sample.value != wanted.value]
    if wrong or not samples:
        yield Verdict("False", PROPAGATING, _still(wanted, wrong, entry.scope))


def _governed(
    wanted: _Number,
    threshold: AlertThreshold,
    entry: Entry,
    seen: Observation,
    overrides: Overrides,
) -> list[Sample]:
    """The number in force for each instance that the object governs; a Shadow governs none."""
    if threshold.spec.mode is Mode.SHADOW:
        return []
    return [
        sample
        for sample in seen.in_force.get((wanted.in_force, entry.name, str(wanted.severity)), ())
        if overrides.govern(threshold, wanted.severity, entry.scope, sample.labels)
    ]


def _own_series(wanted: _Number, threshold: AlertThreshold, seen: Observation) -> list[Sample]:
    """The series that the object's own rule records."""
    labels = {
        "alert": threshold.spec.alert,
        "severity": str(wanted.severity),
        **threshold.spec.match,
    }
    samples = seen.numbers.get((wanted.own, threshold.name), ())
    return [s for s in samples if all(s.labels.get(k) == v for k, v in labels.items())]


_Identity = tuple[str, str, frozenset[tuple[str, str]], float, float]


def _identity(rule: LoadedRule) -> _Identity:
    return rule.name, rule.expr, frozenset(rule.labels.items()), rule.waits, rule.lasts


def _wanted(rule: Mapping[str, Any]) -> _Identity:
    name = rule.get("record") or rule["alert"]
    waits, lasts = (
        duration(rule.get(time, "0s")).total_seconds() for time in ("for", "keep_firing_for")
    )
    return name, normal_form(rule["expr"]), frozenset(rule["labels"].items()), waits, lasts


def _still(wanted: _Number, wrong: list[Sample], scope: str | None) -> str:
    severity, value = wanted.severity, number(wanted.value)
    if not wrong:
        return f"Prometheus has no number for {severity} yet, {value} is on its way"
    where = f" for {scope}={wrong[0].labels.get(scope, '')}" if scope else ""
    return f"Prometheus still has {wrong[0].value:g} for {severity}{where}, not {value}"


def _numbers(threshold: AlertThreshold, entry: Entry) -> str:
    tiers = threshold.spec.tiers.items()
    numbers = ", ".join(f"{severity} {number(entry.limit(tier))}" for severity, tier in tiers)
    if threshold.spec.mode is Mode.SHADOW:
        return f"{numbers} beside the numbers in force, and notifies nobody"
    return numbers


_PROBABLY = (
    "its ruleSelector probably wants other labels, usually release=<name of the monitoring stack>."
    " Compare `kubectl get prometheus -A -o jsonpath='{.items[*].spec.ruleSelector}'` with the"
    " rule's labels, which are monitoring.ruleLabels of the chart"
)
_TAKEN = (
    "its selectors take it; look into the log of prometheus-operator,"
    " and whether operator.prometheusUrl is this Prometheus"
)


def _not_selected(which: str, selection: Selection | None) -> Verdict:
    who, why = "Prometheus", _PROBABLY
    if selection is not None:
        who, why = f"Prometheus {selection.prometheus}", selection.refusal or _TAKEN
    text = f"{who} hasn't loaded the PrometheusRule {which}: {why}"
    return Verdict("False", NOT_SELECTED, text)
