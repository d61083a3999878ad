"""What an expression reads and asks for, from its syntax tree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import promql_parser as promql

_FUNCTIONS_THAT_WRITE_LABELS = {"label_replace", "label_join"}


@dataclass
class Reading:
    """Metrics with the labels matched, and the labels that are grouped or joined by, or written."""

    metrics: dict[str, set[str]] = field(default_factory=dict)
    grouped: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)

    def visit(self, node: Any) -> bool:
        """Take note of one node; for :func:`promql_parser.walk`."""
        if isinstance(node, promql.VectorSelector):
            matchers = {matcher.name for matcher in node.matchers.matchers}
            self.metrics.setdefault(str(node.name), set()).update(matchers)
        elif isinstance(node, promql.AggregateExpr) and node.modifier:
            self.grouped.update(node.modifier.labels)
        elif isinstance(node, promql.BinaryExpr) and node.modifier:
            self.grouped.update(node.modifier.group_labels or [])
            if node.modifier.matching:
                self.grouped.update(node.modifier.matching.labels)
        elif isinstance(node, promql.Call) and node.func.name in _FUNCTIONS_THAT_WRITE_LABELS:
            self.written.add(node.args[1].val)
        return True


def reading(expr: str) -> Reading:
    """Parse and look; an expression that does not type-check raises ValueError."""
    found = Reading()
    promql.walk(promql.parse(expr), found.visit)
    return found
