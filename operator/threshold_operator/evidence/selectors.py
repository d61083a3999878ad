"""Does a Prometheus object take our rules? Its selectors, read as prometheus-operator reads them.

``ruleSelector`` looks at the labels of a PrometheusRule: one that isn't set takes none, an empty
one all. ``ruleNamespaceSelector`` looks at those of its namespace: one that isn't set takes the
Prometheus object's own namespace alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from threshold_operator.model.body import Body

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Selection:
    """What the Prometheus object ``prometheus`` (namespace/name) makes of our rules.

    ``refusal`` says what its selectors want instead; empty where they take the rules.
    """

    prometheus: str
    refusal: str = ""


@dataclass(frozen=True)
class Requirement:
    """One of a label selector; ``operator`` as in ``matchExpressions``."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def met(self, labels: Labels) -> bool:
        """By labels; one that a later Kubernetes brings isn't for us to judge."""
        verdicts = {
            "In": labels.get(self.key) in self.values,
            "NotIn": labels.get(self.key) not in self.values,
            "Exists": self.key in labels,
            "DoesNotExist": self.key not in labels,
        }
        return verdicts.get(self.operator, True)

    def __str__(self) -> str:
        """As kubectl writes it."""
        listed = ", ".join(self.values)
        forms = {
            "In": f"{self.key} in ({listed})" if len(self.values) > 1 else f"{self.key}={listed}",
            "NotIn": f"{self.key} notin ({listed})",
            "DoesNotExist": f"!{self.key}",
        }
        return forms.get(self.operator, self.key)


def selection(prometheus: Body, rule: Labels, namespace: str, labels: Labels | None) -> Selection:
    """The verdict on rules that bear the labels ``rule``, in ``namespace``.

    :param labels: of the namespace; None where they aren't known, so that they refuse nothing.
    """
    meta, spec = prometheus["metadata"], prometheus.get("spec") or {}
    refusal = _rule_refusal(spec.get("ruleSelector"), rule) or _namespace_refusal(
        spec.get("ruleNamespaceSelector"), meta["namespace"], namespace, labels
    )
    return Selection(f"{meta['namespace']}/{meta['name']}", refusal)


def looks_at_namespaces(prometheus: Body) -> bool:
    """Whether the labels of a namespace decide."""
    return any(_requirements((prometheus.get("spec") or {}).get("ruleNamespaceSelector") or {}))


def _rule_refusal(selector: Body | None, labels: Labels) -> str:
    if selector is None:
        return "its ruleSelector isn't set, so it takes no rules at all"
    unmet = [each for each in _requirements(selector) if not each.met(labels)]
    if not unmet:
        return ""
    return (
        f"its ruleSelector wants {_wanted(unmet)}, and the rule has {_present(unmet, labels)};"
        " set monitoring.ruleLabels of the chart"
    )


def _namespace_refusal(
    selector: Body | None, own: str, namespace: str, labels: Labels | None
) -> str:
    if selector is None:
        alone = f"its ruleNamespaceSelector isn't set, so it takes rules of {own} alone"
        return "" if namespace == own else alone
    known = labels or {}
    unmet = [each for each in _requirements(selector) if not each.met(known)]
    if labels is None or not unmet:
        return ""
    return (
        f"its ruleNamespaceSelector wants {_wanted(unmet)},"
        f" and the namespace {namespace} has {_present(unmet, known)}; label it"
    )


def _requirements(selector: Body) -> Iterator[Requirement]:
    for key, value in (selector.get("matchLabels") or {}).items():
        yield Requirement(key, "In", (value,))
    for each in selector.get("matchExpressions") or []:
        yield Requirement(each["key"], each["operator"], tuple(each.get("values") or ()))


def _wanted(unmet: list[Requirement]) -> str:
    return ", ".join(map(str, unmet))


def _present(unmet: list[Requirement], labels: Labels) -> str:
    keys = dict.fromkeys(each.key for each in unmet)
    return ", ".join(f"{key}={labels[key]}" if key in labels else f"no {key}" for key in keys)
