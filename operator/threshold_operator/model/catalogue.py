"""The catalogue: every alert that can be tuned, from ``files/catalogue.yaml`` of the chart.

It is the single source of truth. The chart's rules are generated from it, and objects are checked
against it, so an alert, a bound or a scope label is written down once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, FiniteFloat, ValidationError, model_validator

from threshold_operator.model.signal import Aggregation, ScopeLabel, Signal, Strict
from threshold_operator.model.threshold import (
    AlertThreshold,
    Comparator,
    Problem,
    Severity,
    Tier,
)
from threshold_operator.model.times import Timing


class CatalogueError(ValueError):
    """The catalogue itself is wrong: a mistake of its author, not of a user."""


class Bounds(Strict):
    """Numbers outside can't be right, or could never fire."""

    min: FiniteFloat
    max: FiniteFloat

    @model_validator(mode="after")
    def _hold_something(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min is {self.min:g}, must not lie above max ({self.max:g})")
        return self


class TierDefaults(Strict):
    """One severity as the chart ships it; without a threshold silent until an object sets one."""

    threshold: FiniteFloat | None = None
    recover: FiniteFloat | None = None
    for_: Timing = Field(alias="for")
    keep_firing_for: Timing | None = Field(default=None, alias="keepFiringFor")


class Absence(Strict):
    """What it means that the signal has no series at all; a blind spot is left on purpose only."""

    means: Literal["silent", "firing", "covered"]
    by: str | None = None
    because: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _names_the_alert_that_covers(self) -> Self:
        if (self.means == "covered") != (self.by is not None):
            raise ValueError("by must name the alert that covers, where means is covered")
        return self


class Entry(Strict):
    """One alert. ``description`` may use ``{value}``, ``{limit}`` and the scope label in braces.

    ``helpers`` are recorded before the signal, which may read them.
    ``aggregation`` joins instances of the signal that differ in more than the scope label; unless
    said, the one nearest to the alert counts.
    ``runbook`` is its page where that isn't the project's own.
    ``needs`` names a program without which the alert makes no sense, and isn't rendered.
    """

    name: Annotated[str, Field(pattern=r"^Stocks([A-Z][a-z0-9]+)+$")]
    summary: str
    description: str
    unit: Annotated[str, Field(pattern=r"^(seconds|ratio|count|per_minute)$")]
    comparator: Comparator
    helpers: tuple[Signal, ...] = ()
    signal: Signal
    scope: ScopeLabel | None = None
    aggregation: Aggregation | None = None
    bounds: Bounds
    absent: Absence
    needs: Literal["operator"] | None = None
    runbook: Annotated[str, Field(pattern=r"^https?://\S+$", max_length=512)] | None = None
    tiers: dict[Severity, TierDefaults]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if set(self.tiers) != set(Severity):
            raise ValueError("tiers must hold warning and critical")
        problems = list(self._number_problems(self.tiers))
        if problems:
            raise ValueError("; ".join(str(problem) for problem in problems))
        return self

    @model_validator(mode="after")
    def _says_what_it_can_fill_in(self) -> Self:
        if "{" in self.summary:
            raise ValueError("summary must be a static sentence; the numbers go to description")
        used, known = set(re.findall(r"\{(.*?)\}", self.description)), {"value", "limit"}
        if not known <= used:
            raise ValueError("description must show {value} and {limit}")
        if unknown := used - known - {self.scope}:
            fields = ", ".join(f"{{{name}}}" for name in sorted(unknown))
            raise ValueError(f"description can't fill in {fields}")
        return self

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that tell the signal's instances apart."""
        return ("namespace", self.scope) if self.scope else ("namespace",)

    @property
    def aggregates(self) -> Aggregation:
        """How the recorded signal is made one series for each value of the scope label."""
        loudest = Aggregation.MAX if self.comparator is Comparator.ABOVE else Aggregation.MIN
        return self.aggregation or loudest

    def default(self, severity: Severity) -> float | None:
        """The chart's number for a tier; ``None`` where the tier is silent by default."""
        return self.tiers[severity].threshold

    def limit(self, tier: Tier) -> float:
        """The number that a tier of an object puts in force; infinite where it is silenced."""
        return self.comparator.never if tier.threshold is None else tier.threshold

    def problems(self, threshold: AlertThreshold) -> Iterator[Problem]:
        """What stops an object from being put in force for this alert."""
        yield from self._scope_problems(threshold.spec.match)
        for problem in self._number_problems(threshold.spec.tiers):
            yield Problem(f"spec.{problem.field}", problem.message)

    def _scope_problems(self, match: Mapping[str, str]) -> Iterator[Problem]:
        for label in match:
            if self.scope is None:
                yield Problem("spec.match", f"{self.name} has no scope label; remove match")
            elif label != self.scope:
                text = f"{self.name} can only be matched by {self.scope}"
                yield Problem(f"spec.match.{label}", text)

    def _number_problems(self, tiers: Mapping[Severity, Tier | TierDefaults]) -> Iterator[Problem]:
        for severity, tier in tiers.items():
            yield from self._bound_problems(f"{severity}.threshold", tier.threshold)
            yield from self._bound_problems(f"{severity}.recover", tier.recover)
            yield from self._recover_problems(severity, tier)
        yield from self._order_problems(tiers)

    def _bound_problems(self, field: str, number: float | None) -> Iterator[Problem]:
        low, high = self.bounds.min, self.bounds.max
        if number is not None and not low <= number <= high:
            text = f"is {number:g}, must lie between {low:g} and {high:g} {self.unit}"
            yield Problem(field, text)

    def _recover_problems(self, severity: Severity, tier: Tier | TierDefaults) -> Iterator[Problem]:
        if tier.recover is None:
            return
        if tier.threshold is None:
            yield Problem(f"{severity}.recover", "belongs to a threshold, and there is none")
        elif not self.comparator.beyond(tier.threshold, tier.recover):
            text = f"is {tier.recover:g}, must lie {self._quiet} threshold ({tier.threshold:g})"
            yield Problem(f"{severity}.recover", text)

    def _order_problems(self, tiers: Mapping[Severity, Tier | TierDefaults]) -> Iterator[Problem]:
        numbers = [tiers[severity].threshold for severity in Severity if severity in tiers]
        warning, critical = numbers if len(numbers) == len(Severity) else (None, None)
        if self.disordered(warning, critical):
            text = f"is {critical:g}, must lie {self.loud} warning.threshold ({warning:g})"
            yield Problem("critical.threshold", text)

    def disordered(self, warning: float | None, critical: float | None) -> bool:
        """Whether both tiers speak, and critical doesn't lie beyond warning."""
        if warning is None or critical is None:
            return False
        return not self.comparator.beyond(critical, warning)

    @property
    def loud(self) -> str:
        """Where numbers lie that are reached later: in words, for people."""
        return "above" if self.comparator is Comparator.ABOVE else "below"

    @property
    def _quiet(self) -> str:
        return "below" if self.comparator is Comparator.ABOVE else "above"


class Catalogue:
    """The entries by alert name, in the order of the file."""

    def __init__(self, entries: list[Entry]) -> None:
        for what, names in {
            "alerts": [entry.name for entry in entries],
            "signals": [s.name for entry in entries for s in (*entry.helpers, entry.signal)],
        }.items():
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise CatalogueError(f"{what} named twice: {', '.join(sorted(twice))}")
        self._entries = {entry.name: entry for entry in entries}
        for entry in entries:
            self._check_cover(entry)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __getitem__(self, alert: str) -> Entry:
        return self._entries[alert]

    def _check_cover(self, entry: Entry) -> None:
        """Where one alert answers for another's silence, it must speak itself."""
        if entry.absent.by is None:
            return
        cover = self._entries.get(entry.absent.by)
        if cover is None or cover.absent.means != "firing":
            text = f"absent.by: {entry.absent.by} is no alert that fires when absent"
            raise CatalogueError(f"{entry.name}: {text}")

    @classmethod
    def load(cls, path: Path) -> Catalogue:
        """Read a catalogue file.

        :raises CatalogueError: naming the file and each wrong entry.
        """
        try:
            document = yaml.safe_load(path.read_text())
            return cls([parse_entry(raw) for raw in document["alerts"]])
        except (OSError, yaml.YAMLError, KeyError, TypeError, CatalogueError) as error:
            raise CatalogueError(f"{path}: {error}") from error

    def problems(self, threshold: AlertThreshold) -> list[Problem]:
        """What stops an object from being put in force; empty where nothing does."""
        entry = self._entries.get(threshold.spec.alert)
        if entry is None:
            known = ", ".join(sorted(self._entries))
            text = f"{threshold.spec.alert} is not in the catalogue; known: {known}"
            return [Problem("spec.alert", text)]
        return list(entry.problems(threshold))


def parse_entry(raw: Any) -> Entry:
    """One entry as YAML gives it.

    :raises CatalogueError: naming the entry and each wrong field.
    """
    try:
        return Entry.model_validate(raw)
    except ValidationError as error:
        name = raw.get("name", "?") if isinstance(raw, dict) else "?"
        details = "; ".join(_detail(d["loc"], d["msg"]) for d in error.errors())
        raise CatalogueError(f"{name}: {details}") from error


def _detail(where: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(map(str, where))}: {message.removeprefix('Value error, ')}"


def kebab(alert: str) -> str:
    """``StocksPnlMoveUnusual`` -> ``stocks-pnl-move-unusual``, for names of files and objects."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", alert).lower()
