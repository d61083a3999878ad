"""Renders rules: the chart's four layers from the catalogue, and what an object adds to them.

Pure functions from a catalogue entry or an object to the rule groups of Prometheus. One renderer
makes the chart's rules and the operator's, so that what is tested with promtool is what runs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from threshold_operator.catalogue import NAMESPACE_TOKEN, Entry, Signal
from threshold_operator.model import (
    DEFAULT_SOURCE,
    AlertThreshold,
    Comparator,
    Mode,
    Severity,
    Tier,
)

Rule = dict[str, Any]
Group = dict[str, Any]

#: Fast enough that a number is in force within a minute, slow enough to cost nothing.
INTERVAL = "15s"

#: What the names of the objects' groups begin with.
THRESHOLD_GROUPS = "stocks.threshold."

THRESHOLD = "stocks:alert_threshold"
RECOVER = "stocks:alert_recover"
EFFECTIVE = f"{THRESHOLD}:effective"
RECOVER_EFFECTIVE = f"{RECOVER}:effective"
OWN_RULE = f"{THRESHOLD}:own_rule"

#: Label of an object's series that tells which rule of its own reads them, if one does.
RULE = "rule"
#: Own timing: the chart's rule passes over what the object governs.
OWN = "own"
#: Beside the numbers in force: no other rule knows of it, and nobody is notified.
SHADOW = "shadow"
_OVERRIDES = (f'source!="{DEFAULT_SOURCE}"', f'{RULE}!="{SHADOW}"')

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
        *(_record(series) for series in (*entry.helpers, entry.signal)),
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


def rule_file(groups: Iterable[Group]) -> str:
    """A Prometheus rule file, in YAML that a person can read."""
    return yaml.dump(
        {"groups": list(groups)},
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=1000,
    )


def number(value: float) -> str:
    """A number as PromQL writes it: ``0.03``, ``30``, ``+Inf``."""
    if math.isinf(value):
        return f"{value:+}".title()
    return repr(int(value)) if value == int(value) else repr(value)


def _record(series: Signal) -> Rule:
    return {"record": series.name, "expr": series.expr.strip()}


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
    yield {"record": THRESHOLD, "expr": _until(threshold, entry.limit(tier)), "labels": labels}
    if tier.recover is not None:
        yield {"record": RECOVER, "expr": _until(threshold, tier.recover), "labels": labels}


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
        EFFECTIVE: _governing(entry, THRESHOLD, which),
        RECOVER_EFFECTIVE: _governing(entry, f"{THRESHOLD}|{RECOVER}", which),
        OWN_RULE: _own_rules(entry, which),
    }
    return [{"record": record, "expr": expr, "labels": labels} for record, expr in layers.items()]


def _governing(entry: Entry, records: str, which: tuple[str, ...]) -> str:
    """The first of these that there is: scoped, else namespace-wide, else the chart's."""
    branches = [_branch(entry, records, (*which, f'source="{DEFAULT_SOURCE}"'))]
    if entry.scope is None:
        branches.insert(0, _branch(entry, records, (*which, *_OVERRIDES)))
    else:
        branches.insert(0, _branch(entry, records, (*which, *_OVERRIDES, f'{entry.scope}=""')))
        scoped = (*which, *_OVERRIDES, f'{entry.scope}!=""')
        branches.insert(0, _branch(entry, records, scoped, entry.labels))
    return "\nor\n".join(branches)


def _branch(
    entry: Entry, records: str, which: tuple[str, ...], on: tuple[str, ...] = ("namespace",)
) -> str:
    # Where two numbers meet the more sensitive wins: of two overrides in spite of the conflict
    # rules, and of a threshold and its recover number always.
    sensitive = "min" if entry.comparator is Comparator.ABOVE else "max"
    labels = ", ".join(on)
    numbers = f"{sensitive} by ({labels}) ({_of_release(records, *which)})"
    return f"{_instances(entry)}\n* on ({labels}) group_left ()\n{numbers}"


def _own_rules(entry: Entry, which: tuple[str, ...]) -> str:
    """The instances that are governed by an object with a rule of its own."""
    own, labels = (*which, f'{RULE}="{OWN}"'), ", ".join(entry.labels)
    if entry.scope is None:
        return f"{_instances(entry)}\nand on ({labels})\n{_of_release(THRESHOLD, *own)}"
    scoped, wide = f'{entry.scope}!=""', f'{entry.scope}=""'
    return (
        f"{_instances(entry)}\nand on ({labels})\n{_of_release(THRESHOLD, *own, scoped)}\nor\n"
        f"{_instances(entry)}\nand on (namespace)\n{_of_release(THRESHOLD, *own, wide)}\n"
        f"unless on ({labels})\n{_of_release(THRESHOLD, *which, *_OVERRIDES, scoped)}"
    )


def _instances(entry: Entry) -> str:
    return f"group by ({', '.join(entry.labels)}) ({_of_release(entry.signal.name)})"


def _alert(entry: Entry, severity: Severity) -> Rule:
    """The chart's rule reads the numbers in force, and passes over what has a rule of its own."""
    which = (f'alert="{entry.name}"', f'severity="{severity}"')
    on, labels = ", ".join(entry.labels), {"severity": str(severity)}
    beyond = _beyond(entry, f"on ({on})", EFFECTIVE, which)
    held = _held(entry, f"on ({on})", RECOVER_EFFECTIVE, which, labels)
    own = f"unless on ({on})\n{_of_release(OWN_RULE, *which)}"
    limit = _limit(entry, EFFECTIVE, which, entry.labels)
    tier = entry.tiers[severity]
    return {
        **_timed(entry, f"({beyond}\nor\n{held})\n{own}", tier.for_, tier.keep_firing_for),
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
            _own_condition(threshold, entry, tier, which, own, labels),
            tier.for_ or default.for_,
            tier.keep_firing_for or default.keep_firing_for,
        ),
        "labels": labels,
        "annotations": _annotations(entry, _limit(entry, THRESHOLD, own, ("namespace",))),
    }
    filled: Rule = _in_namespace(alert, threshold.namespace)
    return filled


def _own_condition(
    threshold: AlertThreshold,
    entry: Entry,
    tier: Tier,
    which: tuple[str, ...],
    own: tuple[str, ...],
    labels: Mapping[str, str],
) -> str:
    on = f"on ({', '.join(entry.labels)})"
    wide = entry.scope is not None and not threshold.spec.match
    if entry.scope is not None:
        own = (*own, f'{entry.scope}{"=" if wide else "!="}""')
    matching = "on (namespace) group_left ()" if wide else on
    condition = _beyond(entry, matching, THRESHOLD, own)
    if tier.recover is not None:
        condition += f"\nor\n{_held(entry, matching, RECOVER, own, labels)}"
    if not wide:
        return condition
    shadow = threshold.spec.mode is Mode.SHADOW
    # A Shadow, were it in force, would stand below the scoped objects of both kinds.
    others = _OVERRIDES[:1] if shadow else _OVERRIDES
    scoped = _of_release(THRESHOLD, *which, *others, f'{entry.scope}!=""')
    return f"({condition})\nunless {on}\n{scoped}"


def _beyond(entry: Entry, matching: str, records: str, which: tuple[str, ...]) -> str:
    limit = _of_release(records, *which)
    return f"{_of_release(entry.signal.name)}\n{entry.comparator} {matching}\n{limit}"


def _held(
    entry: Entry,
    matching: str,
    records: str,
    which: tuple[str, ...],
    labels: Mapping[str, str],
) -> str:
    """Hysteresis: what fires already goes on until the signal is back beyond the recover number."""
    own = (f'{name}="{value}"' for name, value in labels.items())
    alerts = _of_release("ALERTS", f'alertname="{entry.name}"', *own, 'alertstate="firing"')
    on = ", ".join(entry.labels)
    return f"{_beyond(entry, matching, records, which)}\nand on ({on})\n{alerts}"


def _timed(entry: Entry, expr: str, for_: str, keep_firing_for: str | None) -> Rule:
    rule: Rule = {"alert": entry.name, "expr": expr, "for": for_}
    if keep_firing_for:
        rule["keep_firing_for"] = keep_firing_for
    return rule


def _annotations(entry: Entry, limit: str) -> dict[str, str]:
    return {
        "summary": entry.summary,
        "description": _description(entry, limit),
        "runbook_url": entry.runbook or f"{RUNBOOKS}/{entry.name}.md",
    }


def _of_release(records: str, *matchers: str) -> str:
    """A selector; ``records`` is the name of a series, or names joined by ``|``."""
    which = ",".join([f'namespace="{NAMESPACE_TOKEN}"', *matchers])
    if "|" in records:
        return f'{{__name__=~"{records}",{which}}}'
    return f"{records}{{{which}}}"


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


def _until(threshold: AlertThreshold, value: float) -> str:
    """A number until it expires: in the expression, so it reverts with the operator dead."""
    expires = threshold.spec.expiresAt
    if expires is None:
        return f"vector({number(value)})"
    return f"vector({number(value)}) and on () (vector(time()) < {number(expires.timestamp())})"


def _in_namespace(value: Any, namespace: str) -> Any:
    if isinstance(value, str):
        return value.replace(NAMESPACE_TOKEN, namespace)
    if isinstance(value, dict):
        return {key: _in_namespace(item, namespace) for key, item in value.items()}
    if isinstance(value, list):
        return [_in_namespace(item, namespace) for item in value]
    return value


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _represent_str(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = None
    if not text.isprintable():  # in double quotes whatever YAML would fold or drop is escaped
        style = "|" if text.replace("\n", "").isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_str)
