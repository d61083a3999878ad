"""Settings, read once from the environment."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Self

PREFIX = "SIMULATOR_"


class SettingsError(Exception):
    """One or more settings are wrong; the text names each, its limit and what to change."""


@dataclass(frozen=True)
class Settings:
    """How the simulator runs. Port 0 lets the system choose a free one."""

    host: str = "127.0.0.1"
    port: int = 4002
    control_host: str = "127.0.0.1"
    control_port: int = 8081
    seed: int = 1
    account: str = "DU1234567"
    tick_seconds: float = 0.25
    initial_cash: Decimal = Decimal(1_000_000)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """From `SIMULATOR_...` variables. Raises SettingsError, which names all that is wrong."""
        values: dict[str, object] = {}
        problems = []
        for field in fields(cls):
            name = PREFIX + field.name.upper()
            if name not in environment:
                continue
            try:
                values[field.name] = _PARSERS[field.name](environment[name].strip())
            except ValueError as error:
                problems.append(f"{name} {error}, not {environment[name]!r}")
        if problems:
            raise SettingsError("\n".join(problems))
        return cls(**values)  # type: ignore[arg-type]  # each parser gives its field's type


def unknown_names(environment: Mapping[str, str]) -> list[str]:
    """Variables with our prefix that are no settings: probably typing errors."""
    known = {PREFIX + field.name.upper() for field in fields(Settings)}
    return sorted(name for name in environment if name.startswith(PREFIX) and name not in known)


def _host(text: str) -> str:
    if not text or any(char.isspace() for char in text):
        raise ValueError("must be a host name or an address")
    return text


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return parse


def _account(text: str) -> str:
    if not (text.isascii() and text.isalnum() and len(text) <= 20):
        raise ValueError("must be 1 to 20 letters and digits")
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.01 <= seconds <= 60:
        raise ValueError("must be a number of seconds from 0.01 to 60")
    return seconds


def _cash(text: str) -> Decimal:
    try:
        cash = Decimal(text)
    except ArithmeticError:
        cash = Decimal("NaN")
    if not (cash.is_finite() and 0 < cash <= 1_000_000_000_000):
        raise ValueError("must be an amount in USD above 0 and at most 1000000000000")
    return cash


_PARSERS: Mapping[str, Callable[[str], object]] = {
    "host": _host,
    "port": _whole(0, 65535),
    "control_host": _host,
    "control_port": _whole(0, 65535),
    "seed": _whole(0, 2**63),
    "account": _account,
    "tick_seconds": _seconds,
    "initial_cash": _cash,
}
