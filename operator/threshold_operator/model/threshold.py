"""What an AlertThreshold is, parsed once and trusted inside.

Everything a user wrote arrives here as a plain mapping (from the API server or a YAML file) and
leaves as a frozen :class:`AlertThreshold`, or as :class:`InvalidThresholdError` with one
:class:`Problem` per field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    model_validator,
)

from threshold_operator.model.times import Moment, Timing, Window, parse_time

GROUP, VERSION, KIND, PLURAL = "stocks-fastapi.io", "v1alpha1", "AlertThreshold", "alertthresholds"
API_VERSION = f"{GROUP}/{VERSION}"

#: ``source`` of the chart's own numbers; no object may bear this name.
DEFAULT_SOURCE = "default"

#: Scope of what holds for the whole namespace.
WIDE = "*"

#: The name becomes part of those of a rule object, a rule file and a rule group.
LONGEST_NAME = 63

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


class Severity(StrEnum):
    """The tiers of an alert, mildest first."""

    WARNING = "warning"
    CRITICAL = "critical"


class Comparator(StrEnum):
    """On which side of the threshold an alert fires."""

    ABOVE = ">"
    BELOW = "<"

    @property
    def never(self) -> float:
        """The number that no signal ever passes."""
        return float("inf") if self is Comparator.ABOVE else float("-inf")

    def beyond(self, value: float, reference: float) -> bool:
        """Whether ``value`` lies further in the alert's direction than ``reference``."""
        return value > reference if self is Comparator.ABOVE else value < reference


class Mode(StrEnum):
    """What becomes of an object's numbers."""

    #: They replace those of the chart.
    ENFORCE = "Enforce"
    #: A rule of their own evaluates them beside those in force, and notifies nobody.
    SHADOW = "Shadow"
    #: Prometheus never hears of them; only the past is asked what they would have done.
    PREVIEW = "Preview"


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one field; the message names the limit and the fix."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class InvalidThresholdError(ValueError):
    """The object can't be put in force as it is; trying again without an edit is pointless."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("; ".join(str(problem) for problem in problems))


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        """As the API server has it for the fields that it knows."""
        if not isinstance(data, dict):
            return data
        known = {field.alias or name for name, field in cls.model_fields.items()}
        return {key: v for key, v in data.items() if v is not None or key not in known}


class Tier(_Strict):
    """One severity: its numbers in the unit of the alert's signal, its timing as durations.

    What is None is as in the catalogue, except ``recover``: it belongs to its threshold.
    """

    threshold: FiniteFloat | None = None
    recover: FiniteFloat | None = None
    for_: Timing | None = Field(default=None, alias="for")
    keep_firing_for: Timing | None = Field(default=None, alias="keepFiringFor")
    enabled: bool = True

    @model_validator(mode="after")
    def _is_a_number_or_silence(self) -> Tier:
        numbers = (self.threshold, self.recover, self.for_, self.keep_firing_for)
        if self.enabled and self.threshold is None:
            raise ValueError("sets no number; give threshold, or enabled: false to silence it")
        if not self.enabled and any(field is not None for field in numbers):
            raise ValueError("is silenced by enabled: false; remove that, or the other fields")
        return self

    @property
    def own_timing(self) -> bool:
        """Whether its alert waits or lasts otherwise than the chart's."""
        return self.for_ is not None or self.keep_firing_for is not None


#: Of a preview that doesn't say how far to look back.
DEFAULT_WINDOW = "7d"


class Preview(_Strict):
    """How far back to look for what the numbers would have done."""

    window: Window = DEFAULT_WINDOW


def _without_nulls(value: object) -> object:
    if not isinstance(value, dict):
        return value
    return {key: item for key, item in value.items() if item is not None}


LabelValue = Annotated[str, Field(min_length=1, max_length=128)]


class Spec(_Strict):
    """``spec`` of an AlertThreshold, as the user wrote it."""

    alert: str
    match: Annotated[
        dict[str, LabelValue], BeforeValidator(_without_nulls), Field(max_length=1)
    ] = Field(default_factory=dict)
    warning: Tier | None = None
    critical: Tier | None = None
    #: Not strict: in JSON and YAML a mode is a string.
    mode: Annotated[Mode, Field(strict=False)] = Mode.ENFORCE
    preview: Preview | None = None
    expiresAt: Moment | None = None  # noqa: N815
    reason: Annotated[str, Field(max_length=256)] = ""

    @model_validator(mode="after")
    def _sets_a_number(self) -> Spec:
        if self.warning is None and self.critical is None:
            raise ValueError("sets nothing; give warning, critical or both")
        return self

    @property
    def tiers(self) -> dict[Severity, Tier]:
        """The tiers that this object sets, mildest first."""
        tiers = {Severity.WARNING: self.warning, Severity.CRITICAL: self.critical}
        return {severity: tier for severity, tier in tiers.items() if tier is not None}


@dataclass(frozen=True)
class AlertThreshold:
    """A valid object. ``generation`` counts its edits (metadata.generation)."""

    namespace: str
    name: str
    uid: str
    generation: int
    created: datetime
    spec: Spec

    @classmethod
    def parse(cls, body: Mapping[str, Any], namespace: str = "") -> AlertThreshold:
        """Read an object as the API server or a YAML file gives it.

        :param namespace: for files that name none.
        :raises InvalidThresholdError: with a problem for each field that is wrong.
        """
        meta = body.get("metadata")
        meta = meta if isinstance(meta, Mapping) else {}
        problems = [*_identity_problems(body, meta), *_spec_problems(body.get("spec"))]
        if problems:
            raise InvalidThresholdError(problems)
        return cls(
            namespace=meta.get("namespace") or namespace,
            name=meta["name"],
            uid=meta.get("uid", ""),
            generation=meta.get("generation", 1),
            created=parse_time(meta.get("creationTimestamp")),
            spec=Spec.model_validate(body["spec"]),
        )

    @property
    def scope(self) -> str:
        """For people: ``symbol=TSLA``, or ``*`` where everything is meant."""
        return ",".join(f"{label}={value}" for label, value in self.spec.match.items()) or WIDE

    def expired(self, now: datetime) -> bool:
        """Whether the numbers no longer hold at ``now``."""
        return self.spec.expiresAt is not None and self.spec.expiresAt <= now


def _identity_problems(body: Mapping[str, Any], meta: Mapping[str, Any]) -> Iterator[Problem]:
    if (body.get("apiVersion"), body.get("kind")) != (API_VERSION, KIND):
        found = f"{body.get('apiVersion')}/{body.get('kind')}"
        yield Problem("kind", f"is {found}, must be {API_VERSION}/{KIND}")
    if problem := _name_problem(meta.get("name")):
        yield Problem("metadata.name", problem)


def _name_problem(name: Any) -> str | None:
    """The API server has checked a name already; nobody has checked one in a file."""
    if not name:
        return "is missing; name the object"
    if name == DEFAULT_SOURCE:
        return f"{DEFAULT_SOURCE!r} stands for the chart's own numbers; choose another name"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return "must be lower-case letters, digits, '-' and '.', such as tsla-pnl"
    if len(name) > LONGEST_NAME:
        return f"must have at most {LONGEST_NAME} characters"
    return None


def _spec_problems(spec: Any) -> list[Problem]:
    if not isinstance(spec, Mapping):
        return [Problem("spec", "is missing; it says which alert gets which number")]
    try:
        Spec.model_validate(spec)
    except ValidationError as error:
        return [_problem(detail) for detail in error.errors()]
    return []


def _problem(detail: Any) -> Problem:
    field = ".".join(["spec", *(str(part) for part in detail["loc"])])
    if detail["type"] == "extra_forbidden":
        return Problem(field, "is not a field of AlertThreshold; remove it")
    return Problem(field, detail["msg"].removeprefix("Value error, "))
