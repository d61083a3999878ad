"""The signal of an alert: which PromQL may be recorded, and under which names.

What users write here runs in their Prometheus, so an expression that Prometheus would refuse, that
reads another namespace, or that is recorded over a series of ours is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Self

import promql_parser
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

#: Stands for the release's namespace in generated files; the chart fills it in.
NAMESPACE_TOKEN = "__NAMESPACE__"  # noqa: S105 - not a password

#: Labels that the rules set or match themselves. As a scope label they would be overwritten, or
#: would make one tier's number another's.
RESERVED_LABELS = frozenset(
    {
        "__name__",
        "alert",
        "alertname",
        "alertstate",
        "namespace",
        "rule",
        "severity",
        "shadow",
        "source",
    }
)
#: Beginnings of the names of series that the rules record themselves.
RESERVED_SERIES = ("stocks:alert_threshold:", "stocks:alert_recover:", "stocks:gateway_mode:")
#: Series of nodes, which belong to no namespace.
_OF_NODES = ("node_", "kube_node_")


class Strict(BaseModel):
    """Part of a catalogue entry: it knows its fields, and no others."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Aggregation(StrEnum):
    """What becomes of several instances of the signal that differ in other labels."""

    MAX = "max"
    MIN = "min"
    SUM = "sum"


def _is_free_label(label: str) -> str:
    if label in RESERVED_LABELS:
        taken = ", ".join(sorted(RESERVED_LABELS))
        raise ValueError(f"{label} is a label of the rules themselves, as are {taken}")
    return label


def _is_free_name(name: str) -> str:
    if name.startswith(RESERVED_SERIES):
        raise ValueError(f"{name} is a series of the rules themselves; choose another name")
    return name


def _is_instant_vector(expr: str) -> str:
    """One that isn't would make Prometheus refuse every rule in the same file."""
    try:
        promql_parser.parse(expr)
    except ValueError as error:
        raise ValueError(f"isn't PromQL: {error}") from error
    try:
        promql_parser.parse(f"max({expr}\n)")
    except ValueError as error:
        raise ValueError(f"must be an instant vector: {error}") from error
    return expr


ScopeLabel = Annotated[str, Field(pattern=r"^[a-z_]+$"), AfterValidator(_is_free_label)]
SeriesName = Annotated[
    str, Field(pattern=r"^stocks:[a-z0-9_]+:[a-z0-9_]+$"), AfterValidator(_is_free_name)
]


class Signal(Strict):
    """A recorded series: one per namespace, and per value of the scope label."""

    name: SeriesName
    expr: Annotated[str, AfterValidator(_is_instant_vector)]

    @model_validator(mode="after")
    def _reads_the_release(self) -> Self:
        wanted = f'namespace="{NAMESPACE_TOKEN}"'
        if NAMESPACE_TOKEN not in self.expr:
            raise ValueError(f"expr must select {wanted}")
        for selector in _selectors(self.expr):
            if not _is_of_release(selector):
                text = f"expr reads {selector.prettify()}; each selector must have {wanted}"
                raise ValueError(text)
        return self


def _selectors(expr: str) -> Iterator[promql_parser.VectorSelector]:
    found: list[promql_parser.VectorSelector] = []

    def note(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(promql_parser.parse(expr), note)
    return iter(found)


def _is_of_release(selector: promql_parser.VectorSelector) -> bool:
    if (selector.name or "").startswith(_OF_NODES):
        return True
    return any(
        (matcher.name, matcher.op, matcher.value)
        == ("namespace", promql_parser.MatchOp.Equal, NAMESPACE_TOKEN)
        for matcher in selector.matchers.matchers
    )
