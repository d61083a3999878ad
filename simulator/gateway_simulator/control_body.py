"""Bodies of control requests: each field checked, and refused with its limit and a fix."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import TypeVar

Word = TypeVar("Word", bound=str)

MAX_SECONDS = 3600
"""The longest fault with an end: one hour."""


class InputError(Exception):
    """A body that cannot be used: which field, what its limit is, how to put it right."""

    def __init__(self, field: str, limit: str, fix: str) -> None:
        super().__init__(f"{field}: {limit}; {fix}")
        self.field = field
        self.limit = limit
        self.fix = fix


class Body:
    """A JSON object whose fields are all known. Every method raises InputError."""

    def __init__(self, text: bytes, known: Sequence[str]) -> None:
        self._values = _parse(text)
        for name in self._values:
            if name not in known:
                limit = "is not a field of this request"
                raise InputError(str(name)[:80], limit, f"use {_one_of(known)}")

    def has(self, name: str) -> bool:
        """Whether a field is there and not null."""
        return self._values.get(name) is not None

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number."""
        value = self._values.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise InputError(name, f"must be a whole number from {low} to {high}", _send(name, low))
        return value

    def number(self, name: str, above: Decimal, highest: Decimal) -> Decimal:
        """A finite number above one limit and up to another."""
        value = self._values.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            number = Decimal(str(value))
            if number.is_finite() and above < number <= highest:
                return number
        limit = f"must be a number above {above} and at most {highest}"
        raise InputError(name, limit, _send(name, int(min(highest, Decimal(1)))))

    def seconds(self, name: str = "seconds") -> float:
        """A duration."""
        return float(self.number(name, Decimal(0), Decimal(MAX_SECONDS)))

    def seconds_or_none(self, name: str = "seconds") -> float | None:
        """A duration, or null (or nothing): until the faults are cleared."""
        return self.seconds(name) if self.has(name) else None

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self._values.get(name, default)
        if not isinstance(value, bool):
            raise InputError(name, "must be true or false", _send(name, default))
        return value

    def choice(self, name: str, choices: Sequence[Word], default: Word | None = None) -> Word:
        """One of some words."""
        value = self._values.get(name, default)
        for word in choices:
            if word == value:
                return word
        limit = f"must be {_one_of(choices)}"
        raise InputError(name, limit, _send(name, default or choices[0]))

    def choices(self, name: str, choices: Sequence[Word]) -> list[Word]:
        """A list of some of these words, not empty."""
        values = self._values.get(name)
        chosen = [word for word in choices if isinstance(values, list) and word in values]
        if not isinstance(values, list) or len(chosen) != len(values) or not chosen:
            limit = f"must be a list of {_one_of(choices)}, each at most once"
            raise InputError(name, limit, _send(name, [choices[0]]))
        return chosen

    def text(self, name: str, longest: int, default: str | None = None) -> str:
        """A text that can be printed, not empty."""
        value = self._values.get(name, default)
        if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
            limit = f"must be a text of 1 to {longest} printable characters"
            raise InputError(name, limit, _send(name, default or "AAPL"))
        return value

    def texts_or_none(self, name: str, most: int, longest: int) -> list[str] | None:
        """A list of texts, or null (or nothing)."""
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, list) and 0 < len(value) <= most:
            texts = [one for one in value if isinstance(one, str) and 0 < len(one) <= longest]
            if len(texts) == len(value):
                return texts
        limit = f"must be null or a list of 1 to {most} texts of 1 to {longest} characters"
        raise InputError(name, limit, _send(name, ["AAPL"]))


def _parse(text: bytes) -> dict[str, object]:
    try:
        values = json.loads(text or b"{}", parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise InputError("body", "must be JSON", 'send {} or {"seconds": 10}') from None
    if not isinstance(values, dict):
        raise InputError("body", "must be a JSON object", 'send {} or {"seconds": 10}')
    return values


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _send(name: str, value: object) -> str:
    return f"send {json.dumps({name: value})}"


def _one_of(names: Sequence[str]) -> str:
    return " or ".join(names) if names else "an empty object"
