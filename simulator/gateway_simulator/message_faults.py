"""Faults of single messages: kinds are lost, late, said twice, or without numbers or names."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from gateway_simulator.wire import UNSET, frame, split_fields

Fate = Literal["lost", "late", "twice", "unset", "nameless"]
"""late: kept until the fault ends. unset: every number is the protocol's word for "none".
nameless: orderRef is empty."""

FATES: tuple[Fate, ...] = ("lost", "late", "twice", "unset", "nameless")

KINDS: Mapping[str, int] = {
    "order-status": 3,
    "open-order": 5,
    "account-value": 6,
    "execution": 11,
    "open-orders-end": 53,
    "executions-end": 55,
    "commission": 59,
    "positions-end": 62,
    "account-update-multi": 73,
    "pnl": 94,
    "position-pnl": 95,
    "completed-order": 101,
    "completed-orders-end": 102,
}
"""Message ids by name."""

# Places of the numbers among the fields, for kinds whose numbers may be unknown at the gateway.
_NUMBERS: Mapping[int, tuple[int, ...]] = {
    6: (3,),  # of a value of the account
    59: (3, 5),  # commission and realised P&L
    73: (6,),
    94: (2, 3, 4),  # daily, unrealised, realised
    95: (3, 4, 5, 6),  # shares, daily, unrealised, realised
}
# The place of orderRef.
_NAME: Mapping[int, int] = {5: 23, 11: 26, 101: 22}
_PREFIX = 4  # bytes: the length before a frame's payload


class MessageFaults:
    """Which fate each kind of message has, and until when; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._fates: dict[int, tuple[Fate, float]] = {}

    def doom(self, kinds: Iterable[str], fate: Fate, until: float) -> None:
        """Give these kinds a fate; it replaces the one they had."""
        self._fates |= {KINDS[name]: (fate, until) for name in kinds}

    def fate(self, kind: int) -> Fate | None:
        """What becomes of a message of this kind now."""
        fate, until = self._fates.get(kind, (None, -math.inf))
        return fate if self._clock() < until else None

    def in_force(self) -> dict[str, Fate]:
        """Kinds by name with their fate."""
        found = {name: self.fate(kind) for name, kind in KINDS.items()}
        return {name: fate for name, fate in found.items() if fate is not None}


def kind_of(message: bytes) -> int:
    """The id of the first message in some whole frames."""
    return int(message[_PREFIX : message.index(0, _PREFIX)])


def without_numbers(message: bytes) -> bytes:
    """One frame, with every number that may be unknown said to be so."""
    return _with(message, dict.fromkeys(_NUMBERS.get(kind_of(message), ()), UNSET))


def without_name(message: bytes) -> bytes:
    """One frame, with no orderRef."""
    kind = kind_of(message)
    return _with(message, {_NAME[kind]: ""} if kind in _NAME else {})


def _with(message: bytes, values: Mapping[int, str]) -> bytes:
    fields = split_fields(message[_PREFIX:])
    for place, value in values.items():
        fields[place] = value
    return frame("".join(field + "\0" for field in fields))
