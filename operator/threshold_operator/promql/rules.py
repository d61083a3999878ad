"""Renders rules: the chart's four layers from the catalogue, and what an object adds to them.

Pure functions from a catalogue entry or an object to the rule groups of Prometheus. One renderer
makes the chart's rules and the operator's, so that what is tested with promtool is what runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from textwrap import indent
from typing import Any

from threshold_operator.model.catalogue import Entry
from threshold_operator.model.signal import NAMESPACE_TOKEN
from threshold_operator.model.threshold import (
    DEFAULT_SOURCE,
    AlertThreshold,
    Mode,
    Severity,
    Tier,
)
from threshold_operator.model.times import duration
from threshold_operator.promql.expressions import (
    chart_condition,
    governing,
    own_condition,
    own_rules,
    until,
)
from threshold_operator.promql.series import (
    EFFECTIVE,
    INTERVAL,
    OWN,
    OWN_RULE,
    RECOVER,
    RECOVER_EFFECTIVE,
    RULE,
    SHADOW,
    THRESHOLD,
    THRESHOLD_GROUPS,
    number,
)

Rule = dict[str, Any]
Group = dict[str, Any]

RUNBOOKS = "https://github.com/stocks-fastapi/stocks-fastapi/blob/main/docs/runbooks"

_HUMANIZE = {
    "seconds": "humanizeDuration",
    "ratio": "humanizePercentage",
    "count": "humanize",
    "per_minute": "humanize",
}


def alert_group(entry: Entry, namespace: str = NAMESPACE_TOKEN) -> Group:
    """The four layers of one alert, in the order in which one evaluation must see them."""
    rules = [
        *(_record(helper.name, helper.expr.strip()) for helper in entry.helpers),
        _signal(entry),
        *(rule for severity in Severity for rule in _defaults(entry, severity)),
        *(rule for severity in Severity for rule in _in_force(entry, severity)),
        *(_alert(entry, severity) for severity in Severity),
    ]
    group = {"name": f"stocks.{entry.name}", "interval": INTERVAL, "rules": rules}
    filled: Group = _in_namespace(group, namespace)
    return filled


def threshold_group(threshold: AlertThreshold, entry: Entry) -> Group:
    """What an object adds: its numbers as series, and a rule of its own where it needs one.

    A Preview adds no rule.
    """
    rules: list[Rule] = []
    if threshold.spec.mode is not Mode.PREVIEW:
        tiers = threshold.spec.tiers.items()
        rules += (rule for tier in tiers for rule in _numbers(threshold, entry, *tier))
        rules += (
            _own_alert(threshold, entry, *tier) for tier in tiers if _rule(threshold, tier[1])
        )
    return silent_group(threshold.name) | {"rules": rules}


def silent_group(name: str) -> Group:
    """What an object called ``name`` leaves where it has no say."""
    return {"name": THRESHOLD_GROUPS + name, "interval": INTERVAL, "rules": []}


def _record(name: str, expr: str) -> Rule:
    """Whatever the expression keeps, it is a series of the release's own namespace."""
    return {"record": name, "expr": expr, "labels": {"namespace": NAMESPACE_TOKEN}}


def _signal(entry: Entry) -> Rule:
    """One series for each instance of the alert: two would end its rules in "many-to-one matching".

    An expression that keeps one label too many works with one pod, and fails with two.
    """
    by = f" by ({entry.scope})" if entry.scope else ""
    expr = indent(entry.signal.expr.strip(), "  ")
    return _record(entry.signal.name, f"{entry.aggregates}{by} (\n{expr}\n)")


def _defaults(entry: Entry, severity: Severity) -> Iterator[Rule]:
    tier = entry.tiers[severity]
    labels = _labels(NAMESPACE_TOKEN, entry.name, severity, DEFAULT_SOURCE)
    for record, value in ((THRESHOLD, tier.threshold), (RECOVER, tier.recover)):
        if value is not None:
            yield {"record": record, "expr": f"vector({number(value)})", "labels": labels}


def _numbers(
    threshold: AlertThreshold, entry: Entry, severity: Severity, tier: Tier
) -> Iterator[Rule]:
    labels = _labels(threshold.namespace, entry.name, severity, threshold.name)
    if rule := _rule(threshold, tier):
        labels[RULE] = rule
    labels |= threshold.spec.match
    yield {"record": THRESHOLD, "expr": until(threshold, entry.limit(tier)), "labels": labels}
    if tier.recover is not None:
        yield {"record": RECOVER, "expr": until(threshold, tier.recover), "labels": labels}


def _labels(namespace: str, alert: str, severity: Severity, source: str) -> dict[str, str]:
    return {"namespace": namespace, "alert": alert, "severity": str(severity), "source": source}


def _rule(threshold: AlertThreshold, tier: Tier) -> str:
    """Which rule of its own evaluates a tier of an object; empty where the chart's does."""
    if threshold.spec.mode is Mode.SHADOW:
        return SHADOW
    return OWN if tier.own_timing else ""


def _in_force(entry: Entry, severity: Severity) -> list[Rule]:
    """For each instance of the signal the numbers that govern it, and whose rule reads them.

    A threshold without a recover number is its own, never that of a number which it replaces.
    """
    labels = {"alert": entry.name, "severity": str(severity)}
    which = (f'alert="{entry.name}"', f'severity="{severity}"')
    layers = {
        EFFECTIVE: governing(entry, THRESHOLD, which),
        RECOVER_EFFECTIVE: governing(entry, f"{THRESHOLD}|{RECOVER}", which),
        OWN_RULE: own_rules(entry, which),
    }
    return [{"record": record, "expr": expr, "labels": labels} for record, expr in layers.items()]


def _alert(entry: Entry, severity: Severity) -> Rule:
    """The chart's rule reads the numbers in force, and passes over what has a rule of its own."""
    which = (f'alert="{entry.name}"', f'severity="{severity}"')
    labels = {"severity": str(severity)}
    condition = chart_condition(entry, which, labels)
    limit = _limit(entry, EFFECTIVE, which, entry.labels)
    tier = entry.tiers[severity]
    return {
        **_timed(entry, condition, tier.for_, tier.keep_firing_for),
        "labels": labels,
        "annotations": _annotations(entry, limit),
    }


def _own_alert(threshold: AlertThreshold, entry: Entry, severity: Severity, tier: Tier) -> Rule:
    """The same for one object: it reads its numbers alone, and leaves out what others govern."""
    which = (f'alert="{entry.name}"', f'severity="{severity}"')
    rule, default = _rule(threshold, tier), entry.tiers[severity]
    labels = {"severity": str(severity)}
    if rule == SHADOW:
        labels = {"severity": "none", SHADOW: str(severity)}
    own = (*which, f'source="{threshold.name}"', f'{RULE}="{rule}"')
    alert = {
        **_timed(
            entry,
            own_condition(threshold, entry, tier, which, own, labels),
            tier.for_ or default.for_,
            tier.keep_firing_for or default.keep_firing_for,
        ),
        "labels": labels,
        "annotations": _annotations(entry, _limit(entry, THRESHOLD, own, ("namespace",))),
    }
    filled: Rule = _in_namespace(alert, threshold.namespace)
    return filled


def pending_for(for_: str) -> str:
    """How long an alert waits before it fires: its ``for``, but at least one interval.

    Groups are evaluated one after another. At Prometheus' first evaluation a namespace-wide rule
    may run before the group of a scoped object has recorded the number that governs an instance.
    One interval later each group has been evaluated.
    """
    return max(for_, INTERVAL, key=duration)


def _timed(entry: Entry, expr: str, for_: str, keep_firing_for: str | None) -> Rule:
    rule: Rule = {"alert": entry.name, "expr": expr, "for": pending_for(for_)}
    if keep_firing_for:
        rule["keep_firing_for"] = keep_firing_for
    return rule


def _annotations(entry: Entry, limit: str) -> dict[str, str]:
    return {
        "summary": entry.summary,
        "description": _description(entry, limit),
        "runbook_url": entry.runbook or f"{RUNBOOKS}/{entry.name}.md",
    }


def _description(entry: Entry, limit: str) -> str:
    """Fill ``{value}``, ``{limit}`` and the scope label with Prometheus' own templates."""
    fields = {"value": f"{{{{ $value | {_HUMANIZE[entry.unit]} }}}}", "limit": limit}
    if entry.scope:
        fields[entry.scope] = f"{{{{ $labels.{entry.scope} }}}}"
    return re.sub(r"\{(\w+)\}", lambda match: fields[match[1]], entry.description)


def _limit(entry: Entry, record: str, which: tuple[str, ...], labels: tuple[str, ...]) -> str:
    """Asks for the number when the alert is sent: as a label it would end the alert at a change."""
    query = f"{record}{{{','.join([*which, *(f'{label}=%q' for label in labels)])}}}"
    values = " ".join(f"$labels.{label}" for label in labels)
    return (
        f"{{{{ with printf `{query}` {values} | query }}}}"
        f"{{{{ . | first | value | {_HUMANIZE[entry.unit]} }}}}{{{{ end }}}}"
    )


def _in_namespace(value: Any, namespace: str) -> Any:
    if isinstance(value, str):
        return value.replace(NAMESPACE_TOKEN, namespace)
    if isinstance(value, dict):
        return {key: _in_namespace(item, namespace) for key, item in value.items()}
    if isinstance(value, list):
        return [_in_namespace(item, namespace) for item in value]
    return value
