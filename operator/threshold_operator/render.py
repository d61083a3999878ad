"""Renders rules: the chart's four layers from the catalogue, and an object's threshold series.

Pure functions from a catalogue entry or an object to the rule groups of Prometheus. One renderer
makes the chart's rules and the operator's, so that what is tested with promtool is what runs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import yaml

from threshold_operator.catalogue import NAMESPACE_TOKEN, Entry, Signal
from threshold_operator.model import DEFAULT_SOURCE, AlertThreshold, Comparator, Severity

Rule = dict[str, Any]
Group = dict[str, Any]

#: Fast enough that a number is in force within a minute, slow enough to cost nothing.
INTERVAL = "15s"

THRESHOLD = "stocks:alert_threshold"
EFFECTIVE = "stocks:alert_threshold:effective"
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
        *(
            _default(entry, severity)
            for severity in Severity
            if entry.default(severity) is not None
        ),
        *(_effective(entry, severity) for severity in Severity),
        *(_alert(entry, severity) for severity in Severity),
    ]
    group = {"name": f"stocks.{entry.name}", "interval": INTERVAL, "rules": rules}
    filled: Group = _in_namespace(group, namespace)
    return filled


def threshold_group(threshold: AlertThreshold, entry: Entry) -> Group:
    """What an object adds: one threshold series for each tier that it sets."""
    rules = [
        {
            "record": THRESHOLD,
            "expr": _number(entry.limit(tier), threshold),
            "labels": {
                "namespace": threshold.namespace,
                "alert": threshold.spec.alert,
                "severity": str(severity),
                "source": threshold.name,
                **threshold.spec.match,
            },
        }
        for severity, tier in threshold.spec.tiers.items()
    ]
    return {"name": f"stocks.threshold.{threshold.name}", "interval": INTERVAL, "rules": rules}


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


def _default(entry: Entry, severity: Severity) -> Rule:
    value = entry.default(severity)
    assert value is not None  # noqa: S101 - the caller leaves silent tiers out
    labels = {
        "namespace": NAMESPACE_TOKEN,
        "alert": entry.name,
        "severity": str(severity),
        "source": DEFAULT_SOURCE,
    }
    return {"record": THRESHOLD, "expr": f"vector({number(value)})", "labels": labels}


def _effective(entry: Entry, severity: Severity) -> Rule:
    """For each instance of the signal the number that governs it: the first branch that has one."""
    overrides, default = f'source!="{DEFAULT_SOURCE}"', f'source="{DEFAULT_SOURCE}"'
    branches = [_branch(entry, severity, default)]
    if entry.scope is None:
        branches.insert(0, _branch(entry, severity, overrides))
    else:
        branches.insert(0, _branch(entry, severity, f'{overrides},{entry.scope}=""'))
        scoped = f'{overrides},{entry.scope}!=""'
        branches.insert(0, _branch(entry, severity, scoped, entry.labels))
    return {
        "record": EFFECTIVE,
        "expr": "\nor\n".join(branches),
        "labels": {"alert": entry.name, "severity": str(severity)},
    }


def _branch(
    entry: Entry, severity: Severity, which: str, on: tuple[str, ...] = ("namespace",)
) -> str:
    # Where two overrides meet in spite of the conflict rules the more sensitive one wins.
    sensitive = "min" if entry.comparator is Comparator.ABOVE else "max"
    instances = f"group by ({', '.join(entry.labels)}) ({_of_release(entry.signal.name)})"
    numbers = _of_release(THRESHOLD, f'alert="{entry.name}"', f'severity="{severity}"', which)
    labels = ", ".join(on)
    return f"{instances}\n* on ({labels}) group_left ()\n{sensitive} by ({labels}) ({numbers})"


def _alert(entry: Entry, severity: Severity) -> Rule:
    tier = entry.tiers[severity]
    rule: Rule = {"alert": entry.name, "expr": _condition(entry, severity), "for": tier.for_}
    if tier.keep_firing_for:
        rule["keep_firing_for"] = tier.keep_firing_for
    return rule | {
        "labels": {"severity": str(severity)},
        "annotations": {
            "summary": entry.summary,
            "description": _description(entry, severity),
            "runbook_url": f"{RUNBOOKS}/{entry.name}.md",
        },
    }


def _condition(entry: Entry, severity: Severity) -> str:
    limit = _of_release(EFFECTIVE, f'alert="{entry.name}",severity="{severity}"')
    on = ", ".join(entry.labels)
    return f"{_of_release(entry.signal.name)}\n{entry.comparator} on ({on})\n{limit}"


def _of_release(metric: str, *matchers: str) -> str:
    own = f'namespace="{NAMESPACE_TOKEN}"'
    return f"{metric}{{{','.join([own, *matchers])}}}"


def _description(entry: Entry, severity: Severity) -> str:
    """Fill ``{value}``, ``{limit}`` and the scope label with Prometheus' own templates."""
    humanize = _HUMANIZE[entry.unit]
    fields = {"value": f"{{{{ $value | {humanize} }}}}", "limit": _limit(entry, severity, humanize)}
    if entry.scope:
        fields[entry.scope] = f"{{{{ $labels.{entry.scope} }}}}"
    return re.sub(r"\{(\w+)\}", lambda match: fields[match[1]], entry.description)


def _limit(entry: Entry, severity: Severity, humanize: str) -> str:
    """Asks for the number when the alert is sent: as a label it would end the alert at a change."""
    matchers = [f'alert="{entry.name}"', f'severity="{severity}"']
    matchers += [f"{label}=%q" for label in entry.labels]
    values = " ".join(f"$labels.{label}" for label in entry.labels)
    query = f"{EFFECTIVE}{{{','.join(matchers)}}}"
    return (
        f"{{{{ with printf `{query}` {values} | query }}}}"
        f"{{{{ . | first | value | {humanize} }}}}{{{{ end }}}}"
    )


def _number(value: float, threshold: AlertThreshold) -> str:
    """The number, until it expires: in the expression, so it reverts with the operator dead."""
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
