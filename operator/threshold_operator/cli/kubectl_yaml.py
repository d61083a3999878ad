"""YAML read as kubectl reads it: sigs.k8s.io/yaml, which is go-yaml v2 and then JSON.

PyYAML reads YAML 1.1 more strictly in some places and more freely in others: to it ``1e-4`` is a
text, ``1:30`` a number and an unquoted time a date.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterator
from typing import Any

import yaml

_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_BASES = {"0x": 16, "0o": 8, "0b": 2}
_YES = ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON")
_NO = ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF")
_WORDS: dict[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(_YES, True),
    **dict.fromkeys(_NO, False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}
#: Of scalars without quotes and without a tag of their own.
_PLAIN, _MERGE = "!plain", "tag:yaml.org,2002:merge"


def documents(text: str) -> Iterator[Any]:
    """Each document of a file, in order; None where one is empty.

    :raises yaml.YAMLError: it isn't YAML.
    """
    loader = _Loader(text)
    try:
        while loader.check_data():  # type: ignore[no-untyped-call]  # the stubs lack its types
            yield loader.get_data()
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """Plain scalars are resolved by go-yaml's rules, and keys are strings."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode and implicit[0]:
            return _MERGE if value == "<<" else _PLAIN
        tag: str = super().resolve(kind, value, (False, False))  # type: ignore[no-untyped-call]
        return tag

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        found = super().construct_mapping(node, deep=deep)
        return {_key(key): value for key, value in found.items()}


def _plain(loader: _Loader, node: yaml.ScalarNode) -> object:
    return resolved(str(loader.construct_scalar(node)))


def resolved(text: str) -> object:
    """What an unquoted text stands for."""
    if text in _WORDS:
        return _WORDS[text]
    digits = text.replace("_", "")
    if text[:1] not in "+-.0123456789":
        return text
    integer = _integer(digits)
    if integer is not None:
        return integer
    number = float(digits) if _FLOAT.fullmatch(digits) else math.inf
    return text if math.isinf(number) else number


def _integer(digits: str) -> int | None:
    sign, digits = (digits[:1], digits[1:]) if digits[:1] in ("+", "-") else ("", digits)
    base = _BASES.get(digits[:2].lower(), 10)
    if base != 10:
        digits = digits[2:]
    elif len(digits) > 1 and digits.startswith("0"):
        base = 8
    if not digits.isascii() or not digits.isalnum():
        return None
    try:
        number = int(sign + digits, base)
    except ValueError:
        return None
    return number if -(2**63) <= number < 2**63 else None


def _key(key: Hashable) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)


_Loader.add_constructor(_PLAIN, _plain)
