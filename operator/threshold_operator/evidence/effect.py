"""The proof that an object's numbers are in force: every replica of Prometheus evaluates them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from threshold_operator.evidence.doubts import doubts
from threshold_operator.evidence.observation import (
    Blind,
    Look,
    Observation,
    Sample,
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
from threshold_operator.model.governors import Governors
from threshold_operator.model.threshold import AlertThreshold, Mode, Severity
from threshold_operator.promql.series import (
    SHADOW,
    number,
)

#: A rule reaches a Prometheus of prometheus-operator within 2 to 3 minutes (ConfigMap, kubelet
#: sync, reload). A group that is still unknown after that isn't on its way.
SELECTED_WITHIN = timedelta(minutes=3)
#: Intermediate states (loaded, evaluated, read) are not reported before: each would be one more
#: status write.
SAID_AFTER = timedelta(seconds=30)
ON_ITS_WAY = "on its way to Prometheus"
#: Values of the scope label that a message has room for.
MOST_VALUES = 10


def judge(
    threshold: AlertThreshold,
    entry: Entry,
    look: Look,
    governors: Governors,
    *,
    applied: datetime,
    now: datetime,
    rejected: str = "",
) -> Verdict:
    """The first thing that stands in the way of the proof, or the proof: all replicas agree.

    :param rejected: why prometheus-operator doesn't hand the rule to Prometheus, if it says so.
    """
    if (obvious := _obvious(threshold, now, rejected)) is not None:
        return obvious
    found = {
        name: _patient(doubt, look.selection, now - applied)
        for name, seen in look.replicas.items()
        for doubt in [_first_doubt(threshold, entry, seen, look.selection, governors)]
        if doubt is not None
    }
    numbers = _numbers(threshold, entry)
    if found:
        return _disagreement(found, len(look.replicas), numbers)
    hints = [_no_instance(threshold, entry, look), look.caveat]
    text = f"{_evaluate(len(look.replicas), len(look.replicas))} {numbers}"
    return Verdict("True", PROVEN, "; ".join(filter(None, [text, *hints])))


def _obvious(threshold: AlertThreshold, now: datetime, rejected: str) -> Verdict | None:
    """What is known without a look at Prometheus."""
    if threshold.expired(now):
        until = f"{threshold.spec.expiresAt:%Y-%m-%dT%H:%M:%SZ}"
        return Verdict("False", EXPIRED, f"expired at {until}: its numbers no longer hold")
    if threshold.spec.mode is Mode.PREVIEW:
        return Verdict("False", PREVIEW, "a Preview puts nothing in force: see status.preview")
    if rejected:
        return Verdict("False", REJECTED, rejected)
    return None


def alert_state(threshold: AlertThreshold, entry: Entry, look: Look, governors: Governors) -> str:
    """The alert where the object governs it: firing if any instance is, else pending, inactive."""
    if not look.answered:
        return UNKNOWN
    states = {
        sample.labels.get("alertstate", "")
        for seen in _observations(look)
        for severity in threshold.spec.tiers
        for sample in _alerts(seen, threshold, severity)
        if governors.governs(threshold, severity, entry.scope, sample.labels)
    }
    return next((state for state in ("firing", "pending") if state in states), "inactive")


def _observations(look: Look) -> Iterator[Observation]:
    return (seen for seen in look.replicas.values() if isinstance(seen, Observation))


def _first_doubt(
    threshold: AlertThreshold,
    entry: Entry,
    seen: Observation | Blind,
    selection: Selection | None,
    governors: Governors,
) -> Verdict | None:
    """What keeps one replica from proving the numbers."""
    if isinstance(seen, Blind):
        return Verdict("Unknown", seen.reason, seen.message)
    doubt = next(doubts(threshold, entry, seen, governors), None)
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


def _numbers(threshold: AlertThreshold, entry: Entry) -> str:
    tiers = threshold.spec.tiers.items()
    numbers = ", ".join(f"{severity} {number(entry.limit(tier))}" for severity, tier in tiers)
    if threshold.spec.mode is Mode.SHADOW:
        return f"{numbers} in Shadow: no other rule reads them, and they notify no one"
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
