"""Which object governs an instance of an alert's signal: a scoped one before a wide one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from threshold_operator.model.precedence import Decision
from threshold_operator.model.threshold import AlertThreshold, Mode, Severity

#: Where an object of its own governs: alert, tier, mode and value of the scope label.
_Place = tuple[str, Severity, Mode, str]


class Overrides:
    """Which values of an alert's scope label are governed by objects of their own."""

    def __init__(self) -> None:
        self._places: dict[str, list[_Place]] = {}
        self._objects: Counter[_Place] = Counter()

    def note(self, name: str, decision: Decision | None, now: datetime) -> None:
        """The object of this name was decided anew, expired, or went."""
        for place in self._places.pop(name, ()):
            self._objects[place] -= 1
            if not self._objects[place]:
                del self._objects[place]
        if decision is not None and (places := _places(decision, now)):
            self._places[name] = places
            self._objects.update(places)

    def govern(
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
        return not any(self._objects[spec.alert, severity, mode, value] for mode in modes)


def _places(decision: Decision, now: datetime) -> list[_Place]:
    threshold = decision.in_force
    if threshold is None or threshold.expired(now):
        return []
    spec = threshold.spec
    values = spec.match.values()
    return [(spec.alert, severity, spec.mode, v) for severity in spec.tiers for v in values]
