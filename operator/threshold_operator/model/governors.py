"""Which object governs an instance of an alert's signal: a scoped one before a wide one.

The one place in Python that knows this precedence; ``promql/expressions.py`` has it for Prometheus.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from threshold_operator.model.catalogue import Entry
from threshold_operator.model.precedence import Decision
from threshold_operator.model.threshold import (
    DEFAULT_SOURCE,
    WIDE,
    AlertThreshold,
    Mode,
    Severity,
)

#: What one object sets: alert, tier, mode and scope.
_Place = tuple[str, Severity, Mode, str]


@dataclass(frozen=True)
class Limit:
    """A number in force and whose it is; None where the tier is silent."""

    value: float | None
    source: str = DEFAULT_SOURCE
    expires: datetime | None = None

    @property
    def effect(self) -> tuple[float | None, datetime | None]:
        """What Prometheus makes of it, from whichever object."""
        return self.value, self.expires

    def __str__(self) -> str:
        """For people."""
        whose = "the chart's default" if self.source == DEFAULT_SOURCE else f"of {self.source}"
        return f"{self.value:g} ({whose})"


class Governors:
    """The objects of one namespace whose numbers hold, by what they set."""

    def __init__(self) -> None:
        self._places: dict[str, list[_Place]] = {}
        self._objects: dict[_Place, dict[str, AlertThreshold]] = {}

    @classmethod
    def of(cls, thresholds: Iterable[AlertThreshold]) -> Self:
        """Those that hold already."""
        governors = cls()
        for threshold in thresholds:
            governors._take(threshold.name, threshold)
        return governors

    def note(self, name: str, decision: Decision | None, now: datetime) -> None:
        """The object of this name was decided again, expired, or went."""
        for place in self._places.pop(name, ()):
            del self._objects[place][name]
            if not self._objects[place]:
                del self._objects[place]
        threshold = decision.in_force if decision is not None else None
        if threshold is not None and not threshold.expired(now):
            self._take(name, threshold)

    def _take(self, name: str, threshold: AlertThreshold) -> None:
        spec = threshold.spec
        self._places[name] = [
            (spec.alert, severity, spec.mode, threshold.scope) for severity in spec.tiers
        ]
        for place in self._places[name]:
            self._objects.setdefault(place, {})[name] = threshold

    def governs(
        self,
        threshold: AlertThreshold,
        severity: Severity,
        scope: str | None,
        labels: Mapping[str, str],
    ) -> bool:
        """Whether ``threshold`` is the object that governs the instance with these labels.

        A Shadow governs what it would if it were in force.
        """
        spec = threshold.spec
        if spec.match:
            return all(labels.get(key) == value for key, value in spec.match.items())
        value = labels.get(scope) if scope else None
        if value is None:
            return True
        modes = {Mode.ENFORCE, spec.mode}
        place = f"{scope}={value}"
        return not any((spec.alert, severity, mode, place) in self._objects for mode in modes)

    def governing(self, alert: str, severity: Severity, scope: str) -> AlertThreshold | None:
        """The object in force for a scope; None where the chart's default holds."""
        for place in (scope, WIDE):
            for threshold in self._objects.get((alert, severity, Mode.ENFORCE, place), {}).values():
                return threshold
        return None

    def limit(self, entry: Entry, severity: Severity, scope: str) -> Limit:
        """The number in force for a scope."""
        held = self.governing(entry.name, severity, scope)
        if held is None:
            return Limit(entry.default(severity))
        return Limit(held.spec.tiers[severity].threshold, held.name, held.spec.expiresAt)

    def out_of_order(self, threshold: AlertThreshold, entry: Entry) -> str:
        """What is wrong with the tiers that hold in an object's scope, and what to do about it.

        One of them may be another object's, or the chart's default. Empty where critical lies
        beyond warning, where a tier is silent, and where this object puts nothing in force.
        """
        if threshold.spec.mode is not Mode.ENFORCE:
            return ""
        warning = self.limit(entry, Severity.WARNING, threshold.scope)
        critical = self.limit(entry, Severity.CRITICAL, threshold.scope)
        if threshold.name not in (warning.source, critical.source):
            return ""
        if not entry.disordered(warning.value, critical.value):
            return ""
        return (
            f"critical {critical} is reached no later than warning {warning};"
            f" set both tiers in {threshold.name}, critical {entry.loud} warning"
        )

    def claims(self) -> Iterator[tuple[str, str, Severity]]:
        """Alert, scope and tier of everything in force that isn't a default."""
        for alert, severity, mode, scope in self._objects:
            if mode is Mode.ENFORCE:
                yield alert, scope, severity

    def narrower_values(self, threshold: AlertThreshold, severity: Severity) -> set[str]:
        """Values of the scope label at which narrower objects in force govern, not a wide one."""
        if threshold.spec.match:
            return set()
        return {
            value
            for (alert, tier, mode, _), objects in self._objects.items()
            if (alert, tier, mode) == (threshold.spec.alert, severity, Mode.ENFORCE)
            for name, other in objects.items()
            if name != threshold.name
            for value in other.spec.match.values()
        }

    def scopes_within(self, threshold: AlertThreshold) -> list[str]:
        """The scopes that narrower objects in force take from a wide one, in order."""
        if threshold.spec.match:
            return []
        alert, tiers = threshold.spec.alert, threshold.spec.tiers
        return sorted(
            {s for a, s, severity in self.claims() if a == alert and severity in tiers} - {WIDE}
        )
