"""Does Prometheus itself evaluate an object's numbers? The proof, from one look at Prometheus.

Two things must hold. The rules that Prometheus has loaded for the object are those that this
generation renders, healthy and evaluated. And the number in force
(``stocks:alert_threshold:effective``) is the object's number for every instance of the signal that
it governs; where the signal has no instance yet, the threshold series stands in. The same for its
recover number. A Shadow governs nothing: its series and the rule that reads them are all there is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from threshold_operator.evidence.observation import (
    Blind,
    LoadedRule,
    Look,
    Observation,
    Sample,
    narrows,
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
    RULE,
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
ON_ITS_WAY = "on its way to Prometheus"
#: Values of the scope label that a message has room for.
MOST_VALUES = 10


def judge(
    threshold: AlertThreshold,
    entry: Entry,
    look: Look,
    overrides: Overrides,
    *,
    applied: datetime,
    now: datetime,
    rejected: str = "",
) -> Verdict:
    """The first thing that stands in the way of the proof, or the proof: all replicas agree.

    :param rejected: why prometheus-operator doesn't hand the rule to Prometheus, if it says so.
    """
    if threshold.expired(now):
        until = f"{threshold.spec.expiresAt:%Y-%m-%dT%H:%M:%SZ}"
        return Verdict("False", EXPIRED, f"expired at {until}: its numbers no longer hold")
    if threshold.spec.mode is Mode.PREVIEW:
        return Verdict("False", PREVIEW, "a Preview puts nothing in force: see status.preview")
    if rejected:
        return Verdict("False", REJECTED, rejected)
    doubts = {
        name: _patient(doubt, look.selection, now - applied)
        for name, seen in look.replicas.items()
        for doubt in [_first_doubt(threshold, entry, seen, look.selection, overrides)]
        if doubt is not None
    }
    numbers = _numbers(threshold, entry)
    if doubts:
        return _disagreement(doubts, len(look.replicas), numbers)
    hints = [_no_instance(threshold, entry, look), look.caveat]
    text = f"{_evaluate(len(look.replicas), len(look.replicas))} {numbers}"
    return Verdict("True", PROVEN, "; ".join(filter(None, [text, *hints])))


def alert_state(threshold: AlertThreshold, entry: Entry, look: Look, overrides: Overrides) -> str:
    """The alert where the object governs it: firing if any instance is, else pending, inactive."""
    if not look.answered:
        return UNKNOWN
    states = {
        sample.labels.get("alertstate", "")
        for seen in _observations(look)
        for severity in threshold.spec.tiers
        for sample in _alerts(seen, threshold, severity)
        if overrides.govern(threshold, severity, entry.scope, sample.labels)
    }
    return next((state for state in ("firing", "pending") if state in states), "inactive")


def _observations(look: Look) -> Iterator[Observation]:
    return (seen for seen in look.replicas.values() if isinstance(seen, Observation))


def _first_doubt(
    threshold: AlertThreshold,
    entry: Entry,
    seen: Observation | Blind,
    selection: Selection | None,
    overrides: Overrides,
) -> Verdict | None:
    """What keeps one replica from proving the numbers."""
    if isinstance(seen, Blind):
        return Verdict("Unknown", seen.reason, seen.message)
    doubts = _doubts(threshold, entry, seen, overrides)
    doubt = next(doubts, None)
    if doubt is not None and doubt.reason == NOT_SELECTED:
        return Verdict(doubt.status, doubt.reason, _not_selected(doubt.message, selection))
    return doubt


#: Which of several replicas' doubts is told: the one that waiting doesn't cure first.
_GRAVEST = (REJECTED, NOT_SELECTED, PROPAGATING)


def _disagreement(doubts: Mapping[str, Verdict], replicas: int, numbers: str) -> Verdict:
    """The gravest doubt, with the replica's name where there are several."""
    name, doubt = min(doubts.items(), key=lambda item: (_gravity(item[1]), item[0]))
    lagging = tuple(n for n, d in doubts.items() if d.reason in (PROPAGATING, NOT_SELECTED))
    text = doubt.message
    if replicas > 1 and text != ON_ITS_WAY:
        evaluate = _evaluate(replicas - len(doubts), replicas)
        text = f"{evaluate} {numbers}; {name}: {text}"
    return Verdict(doubt.status, doubt.reason, text, lagging)


def _gravity(doubt: Verdict) -> int:
    return _GRAVEST.index(doubt.reason) if doubt.reason in _GRAVEST else len(_GRAVEST)


def _evaluate(agreeing: int, replicas: int) -> str:
    if replicas == 1:
        return "Prometheus evaluates"
    return f"{agreeing} of {replicas} replicas {'evaluates' if agreeing == 1 else 'evaluate'}"


def _no_instance(threshold: AlertThreshold, entry: Entry, look: Look) -> str:
    """A hint where the number is in force, and there is nothing that it governs."""
    if not threshold.spec.match or entry.scope is None:
        return ""
    values = {
        sample.labels.get(entry.scope, "")
        for seen in _observations(look)
        for (_, alert, _), samples in seen.in_force.items()
        if alert == entry.name
        for sample in samples
    } - {""}
    if threshold.spec.match[entry.scope] in values:
        return ""
    known = ", ".join(sorted(values)[:MOST_VALUES]) or "none yet"
    more = ", ..." if len(values) > MOST_VALUES else ""
    return f"no instance of the signal matches {threshold.scope} (there are: {known}{more})"


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
        return Verdict("False", PROPAGATING, ON_ITS_WAY)
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


def _not_selected(which: str, selection: Selection | None) -> str:
    who, why = "Prometheus", _PROBABLY
    if selection is not None:
        who, why = f"Prometheus {selection.prometheus}", selection.refusal or _TAKEN
    return f"{who} hasn't loaded the PrometheusRule {which}: {why}"
