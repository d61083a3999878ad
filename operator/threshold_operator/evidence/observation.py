"""What one look at Prometheus shows of a namespace: its rules, the numbers and the alerts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import promql_parser

from threshold_operator.evidence.selectors import Selection


@dataclass(frozen=True)
class LoadedRule:
    """A rule as Prometheus has it; ``expr`` in normal form, the times of an alert in seconds."""

    name: str
    expr: str
    labels: Mapping[str, str]
    health: str
    error: str
    evaluated: bool
    waits: float = 0.0
    lasts: float = 0.0


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

    ``groups`` holds the rules of each object's group, ``layers`` the chart's rules that compute
    what is in force; ``numbers`` go by series and source, ``in_force`` by series, alert and
    severity, ``alerts`` by alert and severity. ``selection`` is known only where a rule is missing,
    and only to those who may ask.
    """

    groups: Mapping[str, tuple[LoadedRule, ...]] = field(default_factory=dict)
    layers: tuple[LoadedRule, ...] = ()
    numbers: Samples = field(default_factory=dict)
    in_force: Samples = field(default_factory=dict)
    alerts: Samples = field(default_factory=dict)
    selection: Selection | None = None

    def layers_of(self, namespace: str) -> list[LoadedRule]:
        """The chart's rules of one release: another's are loaded under the same names."""
        own = f'namespace="{namespace}"'
        return [layer for layer in self.layers if own in layer.expr]


@dataclass(frozen=True)
class Blind:
    """No look at Prometheus: reason is UNREACHABLE or NOT_CONFIGURED."""

    reason: str
    message: str


_MATCHER = r'\w+(?:=~|!~|!=|=)"(?:[^"\\]|\\.)*"'
_SELECTOR = re.compile(rf"{{{_MATCHER}(?:,{_MATCHER})*}}")


def normal_form(expr: str) -> str:
    """PromQL written one way: Prometheus answers ``4.1e+09`` where we wrote ``4100000000``.

    Some versions also sort the matchers of a selector.
    """
    try:
        return _SELECTOR.sub(_sorted, str(promql_parser.parse(expr)))
    except ValueError:
        return expr


def _sorted(selector: re.Match[str]) -> str:
    return f"{{{','.join(sorted(re.findall(_MATCHER, selector[0])))}}}"
