"""What one look at Prometheus shows of a namespace: its rules, the numbers and the alerts."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
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
    severity, ``alerts`` by alert and severity.
    """

    groups: Mapping[str, tuple[LoadedRule, ...]] = field(default_factory=dict)
    layers: tuple[LoadedRule, ...] = ()
    numbers: Samples = field(default_factory=dict)
    in_force: Samples = field(default_factory=dict)
    alerts: Samples = field(default_factory=dict)

    def layers_of(self, namespace: str) -> list[LoadedRule]:
        """The chart's rules of one release: another's are loaded under the same names."""
        own = f'namespace="{namespace}"'
        return [layer for layer in self.layers if own in layer.expr]


@dataclass(frozen=True)
class Blind:
    """No look at Prometheus: reason is UNREACHABLE, UNAUTHORIZED or NOT_CONFIGURED."""

    reason: str
    message: str


@dataclass(frozen=True)
class Look:
    """One look at every replica and shard of Prometheus, by its name.

    ``selection`` is known only where a rule is missing and the Prometheus object may be read.
    ``caveat`` says why these may not be all replicas; empty where they are.
    """

    replicas: Mapping[str, Observation | Blind]
    selection: Selection | None = None
    caveat: str = ""

    @property
    def answered(self) -> bool:
        """Whether any replica answered."""
        return any(isinstance(seen, Observation) for seen in self.replicas.values())

    @classmethod
    def blind(cls, reason: str, message: str) -> Look:
        """A look that saw nothing."""
        return cls({"Prometheus": Blind(reason, message)})


_MATCHER = r'\w+(?:=~|!~|!=|=)"(?:[^"\\]|\\.)*"'
_SELECTOR = re.compile(rf"{{(?:{_MATCHER}(?:,{_MATCHER})*)?}}")


def normal_form(expr: str) -> str:
    """PromQL written one way: Prometheus answers ``4.1e+09`` where we wrote ``4100000000``."""
    try:
        return str(promql_parser.parse(expr))
    except ValueError:
        return expr


def narrows(loaded: str, wanted: str, own: Collection[str]) -> bool:
    """Whether an expression in normal form is ``wanted``, or that with more matchers.

    The order of matchers doesn't matter: some versions of Prometheus sort them.

    :param own: labels that only we match; another matcher of theirs makes another expression.
    """
    wanted = normal_form(wanted)
    if _SELECTOR.sub("{}", loaded) != _SELECTOR.sub("{}", wanted):
        return False
    pairs = zip(_SELECTOR.finditer(loaded), _SELECTOR.finditer(wanted), strict=True)
    return all(_adds(_matchers(found[0]), _matchers(ours[0]), own) for found, ours in pairs)


def _adds(found: set[str], wanted: set[str], own: Collection[str]) -> bool:
    added = (re.split("[=!]", matcher, maxsplit=1)[0] for matcher in found - wanted)
    return found >= wanted and not any(label in own for label in added)


def _matchers(selector: str) -> set[str]:
    return set(re.findall(_MATCHER, selector))
