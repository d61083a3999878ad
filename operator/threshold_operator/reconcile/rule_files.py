"""How much room the rules take: prometheus-operator puts them into ConfigMaps of 512 KiB.

Beyond a multiple of that one more ConfigMap is mounted, and for that Prometheus restarts: it is
blind for half a minute, and without a volume its history is gone. So it is said before.
"""

from __future__ import annotations

from collections.abc import Iterable

import yaml

from threshold_operator.cluster.events import Change
from threshold_operator.model.body import Body, version
from threshold_operator.telemetry import Metrics

LIMIT_BYTES = 512 * 1024
#: A warning comes when this share of a ConfigMap is full.
NEAR = 0.9


class RuleFiles:
    """The rules of all namespaces that we serve; ``others`` in bytes: rules that aren't ours."""

    def __init__(self, metrics: Metrics, others: int = 0) -> None:
        self._metrics, self._others = metrics, others
        #: By namespace, then by name and version of a rule: its bytes.
        self._bytes: dict[str, dict[tuple[str, str], int]] = {}
        #: Boundaries that were near, or passed, when it was last said.
        self._told = 0
        metrics.rule_file_limit.set(LIMIT_BYTES)

    def weigh(self, namespace: str, rules: Iterable[Body]) -> Change | None:
        """Measure the rules of one namespace; returns what is to be said, until it was."""
        before = self._bytes.get(namespace, {})
        versions = {(rule["metadata"]["name"], version(rule)): rule for rule in rules}
        known = self._bytes[namespace] = {
            seen: before[seen] if seen in before else rule_file_bytes(rule)
            for seen, rule in versions.items()
        }
        self._metrics.rule_files.labels(namespace).set(sum(known.values()))
        near = self._near()
        self._told = min(self._told, near)  # fewer rules now: it is said again when they grow
        if near == self._told:
            return None
        text = (
            f"the rules take {self._used} of {near * LIMIT_BYTES} bytes; beyond that"
            " prometheus-operator mounts one more ConfigMap, and Prometheus restarts;"
            " delete AlertThresholds, or choose the time of the restart"
        )
        return Change("Warning", "RuleFilesNearLimit", text, key=str(near))

    def said(self) -> None:
        """The warning is where people see it."""
        self._told = self._near()

    @property
    def _used(self) -> int:
        return self._others + sum(sum(sizes.values()) for sizes in self._bytes.values())

    def _near(self) -> int:
        """How many boundaries are near, or passed."""
        return int(self._used / LIMIT_BYTES + 1 - NEAR)


def rule_file_bytes(rule: Body) -> int:
    """The length of the file that prometheus-operator makes of a rule."""
    return len(yaml.dump(rule["spec"], Dumper=yaml.CSafeDumper, width=1000))
