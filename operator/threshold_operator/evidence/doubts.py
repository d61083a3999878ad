"""Does one replica of Prometheus evaluate an object's numbers? What stands in the way, if anything.

Two things must hold. The rules that it has loaded for the object are those that this generation
renders, healthy and evaluated. And the number in force (``stocks:alert_threshold:effective``) is
the object's number for every instance of the signal that it governs; where the signal has no
instance yet, the threshold series stands in. The same holds for its recover number. A Shadow
governs nothing: its series and the rule that reads them are all there is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from threshold_operator.evidence.observation import (
    LoadedRule,
    Observation,
    Sample,
    narrows,
)
from threshold_operator.model.catalogue import Entry
from threshold_operator.model.condition import (
    NOT_SELECTED,
    PROPAGATING,
    REJECTED,
    Verdict,
)
from threshold_operator.model.governors import Governors
from threshold_operator.model.threshold import (
    AlertThreshold,
    Mode,
    Severity,
    Tier,
)
from threshold_operator.model.times import duration
from threshold_operator.promql.rules import threshold_group
from threshold_operator.promql.series import (
    EFFECTIVE,
    OWN_RULE,
    RECOVER,
    RECOVER_EFFECTIVE,
    RULE,
    SHADOW,
    THRESHOLD,
    number,
)


def doubts(
    threshold: AlertThreshold, entry: Entry, seen: Observation, governors: Governors
) -> Iterator[Verdict]:
    """What stands in the way of the proof at one replica, the first thing first.

    The message of NOT_SELECTED is only the name of what is missing.
    """
    yield from _rule_doubts(threshold, entry, seen)
    if threshold.spec.mode is Mode.ENFORCE:
        for severity, tier in threshold.spec.tiers.items():
            for record in _layers(tier):
                yield from _layer_doubts(record, entry, severity, threshold.namespace, seen)
    for wanted in _wanted_numbers(threshold, entry):
        yield from _number_doubts(wanted, threshold, entry, seen, governors)


def _rule_doubts(threshold: AlertThreshold, entry: Entry, seen: Observation) -> Iterator[Verdict]:
    group = threshold_group(threshold, entry)
    loaded = seen.groups.get(group["name"], ())
    if not loaded:
        yield Verdict("False", NOT_SELECTED, f"threshold-{threshold.name}")
    yield from _health_doubts(loaded)
    if not _same_rules(loaded, group["rules"], {*_OURS, entry.scope or ""}):
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
    rules = [rule for rule in own if rule.name == record and wanted.items() <= rule.labels.items()]
    if not rules:
        yield Verdict("False", NOT_SELECTED, f"of the chart with {entry.name}")
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
    governors: Governors,
) -> Iterator[Verdict]:
    samples = _governed(wanted, threshold, entry, seen, governors)
    samples = samples or _own_series(wanted, threshold, seen)
    wrong = [sample for sample in samples if sample.value != wanted.value]
    if wrong or not samples:
        yield Verdict("False", PROPAGATING, _still(wanted, wrong, entry.scope))


def _governed(
    wanted: _Number,
    threshold: AlertThreshold,
    entry: Entry,
    seen: Observation,
    governors: Governors,
) -> list[Sample]:
    """The number in force for each instance that the object governs; a Shadow governs none."""
    if threshold.spec.mode is Mode.SHADOW:
        return []
    return [
        sample
        for sample in seen.in_force.get((wanted.in_force, entry.name, str(wanted.severity)), ())
        if governors.governs(threshold, wanted.severity, entry.scope, sample.labels)
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


def _same_rules(
    loaded: Iterable[LoadedRule], wanted: Iterable[Mapping[str, Any]], own: Collection[str]
) -> bool:
    """Whether what is loaded is what we wrote; what others added to it is theirs.

    ``enforcedNamespaceLabel`` and the like add a label, and a matcher to each selector.
    """
    rules, wishes = list(loaded), list(wanted)
    return all(any(_fulfils(rule, wish, own) for rule in rules) for wish in wishes) and all(
        any(_fulfils(rule, wish, own) for wish in wishes) for rule in rules
    )


def _fulfils(rule: LoadedRule, wanted: Mapping[str, Any], own: Collection[str]) -> bool:
    waits, lasts = (
        duration(wanted.get(time, "0s")).total_seconds() for time in ("for", "keep_firing_for")
    )
    labels = {name: value for name, value in rule.labels.items() if name in own}
    return (
        rule.name == (wanted.get("record") or wanted["alert"])
        and (rule.waits, rule.lasts) == (waits, lasts)
        and labels == wanted["labels"]
        and narrows(rule.expr, wanted["expr"], own)
    )


#: Labels of our own series and matchers; others say which replica or cluster a sample is of.
_OURS = frozenset(
    (
        "__name__",
        "alert",
        "alertname",
        "alertstate",
        "namespace",
        "severity",
        "source",
        RULE,
        SHADOW,
    )
)


def _still(wanted: _Number, wrong: list[Sample], scope: str | None) -> str:
    severity, value = wanted.severity, number(wanted.value)
    if not wrong:
        return f"Prometheus has no number for {severity} yet, {value} is on its way"
    where = f" for {scope}={wrong[0].labels.get(scope, '')}" if scope else ""
    if added := {k: v for k, v in wrong[0].labels.items() if k not in {*_OURS, scope}}:
        where += f" ({', '.join(f'{key}={value}' for key, value in sorted(added.items()))})"
    return f"Prometheus still has {wrong[0].value:g} for {severity}{where}, not {value}"
