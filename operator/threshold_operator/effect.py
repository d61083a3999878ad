"""Does Prometheus itself evaluate an object's numbers? The proof, from one look at Prometheus.

Two things must hold. The rules that Prometheus has loaded for the object are those that this
generation renders, healthy and evaluated. And the number in force
(``stocks:alert_threshold:effective``) is the object's number for every instance of the signal that
it governs; where the signal has no instance yet, the threshold series stands in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import promql_parser

from threshold_operator.catalogue import Entry
from threshold_operator.model import AlertThreshold, Severity
from threshold_operator.precedence import Decision
from threshold_operator.render import number, threshold_group

#: A rule reaches a Prometheus of prometheus-operator within 2 to 3 minutes (ConfigMap, kubelet
#: sync, reload). A group that is still unknown after that isn't on its way.
SELECTED_WITHIN = timedelta(minutes=3)
#: Before that the stations on the way (loaded, evaluated, read) interest nobody: each would be a
#: write of the status.
SAID_AFTER = timedelta(seconds=30)

PROPAGATING = "Propagating"
NOT_SELECTED = "NotSelected"
REJECTED = "Rejected"
EXPIRED = "Expired"
UNREACHABLE = "PrometheusUnreachable"
NOT_CONFIGURED = "PrometheusNotConfigured"
PROVEN = "Effective"

#: State of an alert of which Prometheus told nothing.
UNKNOWN = "unknown"

#: These may be over in a moment (a restart of Prometheus, a replica that lags behind): an object
#: that was proven stays so for a while.
PASSING = {PROPAGATING, NOT_SELECTED, UNREACHABLE}


@dataclass(frozen=True)
class Verdict:
    """What the condition Effective says: status is True, False or Unknown."""

    status: str
    reason: str
    message: str


@dataclass(frozen=True)
class LoadedRule:
    """A recording rule as Prometheus has it; ``expr`` in normal form."""

    record: str
    expr: str
    labels: Mapping[str, str]
    health: str
    error: str
    evaluated: bool


@dataclass(frozen=True)
class Sample:
    """One series at the moment of the look."""

    labels: Mapping[str, str]
    value: float


#: Series by the values of some labels.
Samples = Mapping[tuple[str, ...], tuple[Sample, ...]]


@dataclass(frozen=True)
class Observation:
    """One look at Prometheus, of one namespace.

    ``groups`` holds the rules of each object's group, ``effective_rules`` the chart's rules that
    compute the numbers in force; ``thresholds`` go by source, ``effective`` and ``alerts`` by alert
    and severity.
    """

    groups: Mapping[str, tuple[LoadedRule, ...]] = field(default_factory=dict)
    effective_rules: tuple[LoadedRule, ...] = ()
    thresholds: Samples = field(default_factory=dict)
    effective: Samples = field(default_factory=dict)
    alerts: Samples = field(default_factory=dict)


@dataclass(frozen=True)
class Blind:
    """No look at Prometheus: reason is UNREACHABLE or NOT_CONFIGURED."""

    reason: str
    message: str


class Overrides:
    """Which values of an alert's scope label are governed by objects of their own."""

    def __init__(self, decisions: Iterable[Decision], now: datetime) -> None:
        self._scoped: dict[tuple[str, Severity], set[str]] = {}
        for decision in decisions:
            threshold = decision.in_force
            if threshold is not None and threshold.spec.match and not threshold.expired(now):
                for severity in threshold.spec.tiers:
                    values = self._scoped.setdefault((threshold.spec.alert, severity), set())
                    values.update(threshold.spec.match.values())

    def govern(
        self,
        threshold: AlertThreshold,
        severity: Severity,
        scope: str | None,
        labels: Mapping[str, str],
    ) -> bool:
        """Whether ``threshold`` is the object that governs the instance with these labels."""
        if threshold.spec.match:
            return all(labels.get(key) == value for key, value in threshold.spec.match.items())
        others = self._scoped.get((threshold.spec.alert, severity), set())
        return scope is None or labels.get(scope) not in others


def normal_form(expr: str) -> str:
    """PromQL written one way: Prometheus answers ``4.1e+09`` where we wrote ``4100000000``."""
    try:
        return str(promql_parser.parse(expr))
    except ValueError:
        return expr


def judge(
    threshold: AlertThreshold,
    entry: Entry,
    seen: Observation | Blind,
    overrides: Overrides,
    *,
    applied: datetime,
    now: datetime,
) -> Verdict:
    """The first thing that stands in the way of the proof, or the proof."""
    if threshold.expired(now):
        until = f"{threshold.spec.expiresAt:%Y-%m-%dT%H:%M:%SZ}"
        return Verdict("False", EXPIRED, f"expired at {until}: its numbers no longer hold")
    if isinstance(seen, Blind):
        return Verdict("Unknown", seen.reason, seen.message)
    for doubt in _doubts(threshold, entry, seen, overrides):
        return _patient(doubt, applied, now)
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
        for sample in _governed(seen.alerts, threshold, severity, entry, overrides)
    }
    return next((state for state in ("firing", "pending") if state in states), "inactive")


def _patient(doubt: Verdict, applied: datetime, now: datetime) -> Verdict:
    """What Prometheus doesn't evaluate is on its way at first."""
    if doubt.reason in (PROPAGATING, NOT_SELECTED) and now - applied < SAID_AFTER:
        return Verdict("False", PROPAGATING, "on its way to Prometheus")
    if doubt.reason == NOT_SELECTED and now - applied < SELECTED_WITHIN:
        return Verdict("False", PROPAGATING, "Prometheus hasn't loaded the rule yet")
    return doubt


def _doubts(
    threshold: AlertThreshold, entry: Entry, seen: Observation, overrides: Overrides
) -> Iterator[Verdict]:
    yield from _rule_doubts(threshold, entry, seen)
    for severity in threshold.spec.tiers:
        yield from _layer_doubts(entry, severity, threshold.namespace, seen)
    yield from _number_doubts(threshold, entry, seen, overrides)


def _rule_doubts(threshold: AlertThreshold, entry: Entry, seen: Observation) -> Iterator[Verdict]:
    group = threshold_group(threshold, entry)
    loaded = seen.groups.get(group["name"], ())
    if not loaded:
        yield Verdict("False", NOT_SELECTED, _not_selected(f"threshold-{threshold.name}"))
    yield from _health_doubts(loaded)
    if {_identity(rule) for rule in loaded} != {_wanted(rule) for rule in group["rules"]}:
        yield Verdict(
            "False", PROPAGATING, "Prometheus still evaluates another version of the rule"
        )


def _layer_doubts(
    entry: Entry, severity: Severity, namespace: str, seen: Observation
) -> Iterator[Verdict]:
    """Without the chart's rule nothing reads our series, whatever they say."""
    wanted = {"alert": entry.name, "severity": str(severity)}
    own = f'namespace="{namespace}"'
    rules = [r for r in seen.effective_rules if r.labels == wanted and own in r.expr]
    if not rules:
        yield Verdict("False", NOT_SELECTED, _not_selected(f"of the chart with {entry.name}"))
    yield from _health_doubts(rules)


def _health_doubts(rules: Iterable[LoadedRule]) -> Iterator[Verdict]:
    for rule in rules:
        if rule.health == "err":
            yield Verdict(
                "False", REJECTED, f"Prometheus can't evaluate {rule.record}: {rule.error}"
            )
        elif rule.health != "ok" or not rule.evaluated:
            text = f"Prometheus has loaded {rule.record}, but not evaluated it yet"
            yield Verdict("False", PROPAGATING, text)


def _number_doubts(
    threshold: AlertThreshold, entry: Entry, seen: Observation, overrides: Overrides
) -> Iterator[Verdict]:
    for severity, tier in threshold.spec.tiers.items():
        governed = _governed(seen.effective, threshold, severity, entry, overrides)
        samples = governed or _own_series(seen.thresholds, threshold, severity)
        wanted = entry.limit(tier)
        wrong = [sample for sample in samples if sample.value != wanted]
        if wrong or not samples:
            yield Verdict("False", PROPAGATING, _still(severity, wanted, wrong, entry.scope))


def _governed(
    samples: Samples,
    threshold: AlertThreshold,
    severity: Severity,
    entry: Entry,
    overrides: Overrides,
) -> list[Sample]:
    return [
        sample
        for sample in samples.get((entry.name, str(severity)), ())
        if overrides.govern(threshold, severity, entry.scope, sample.labels)
    ]


def _own_series(samples: Samples, threshold: AlertThreshold, severity: Severity) -> list[Sample]:
    """The threshold series of this object and tier."""
    wanted = {
        "alert": threshold.spec.alert,
        "severity": str(severity),
        **threshold.spec.match,
    }
    own = samples.get((threshold.name,), ())
    return [s for s in own if all(s.labels.get(k) == v for k, v in wanted.items())]


def _identity(rule: LoadedRule) -> tuple[str, str, frozenset[tuple[str, str]]]:
    return rule.record, rule.expr, frozenset(rule.labels.items())


def _wanted(rule: Mapping[str, Any]) -> tuple[str, str, frozenset[tuple[str, str]]]:
    return rule["record"], normal_form(rule["expr"]), frozenset(rule["labels"].items())


def _still(severity: Severity, wanted: float, wrong: list[Sample], scope: str | None) -> str:
    if not wrong:
        return f"Prometheus has no number for {severity} yet, {number(wanted)} is on its way"
    where = f" for {scope}={wrong[0].labels.get(scope, '')}" if scope else ""
    return f"Prometheus still has {wrong[0].value:g} for {severity}{where}, not {number(wanted)}"


def _numbers(threshold: AlertThreshold, entry: Entry) -> str:
    tiers = threshold.spec.tiers.items()
    return ", ".join(f"{severity} {number(entry.limit(tier))}" for severity, tier in tiers)


def _not_selected(which: str) -> str:
    return (
        f"Prometheus hasn't loaded the PrometheusRule {which}: its ruleSelector probably wants"
        " other labels, usually release=<name of the monitoring stack>. Compare"
        " `kubectl get prometheus -A -o jsonpath='{.items[*].spec.ruleSelector}'` with the rule's"
        " labels, which are monitoring.ruleLabels of the chart"
    )
