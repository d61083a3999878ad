"""The JSON against Grafana's own schema.

Grafana Labs generates the SDK's models from the schemas of Grafana and its panel plugins. A field
that they don't know is lost on the way through them, and their type hints say what each may hold.
"""

from __future__ import annotations

import json
import typing
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from tests.dashboards import FILES, Json, load

register_default_plugins()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_field_is_one_that_grafana_knows(path: Path) -> None:
    original = load(path)
    assert lost(original, through_the_models(original), "dashboard") == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_value_is_of_the_type_that_grafana_expects(path: Path) -> None:
    assert wrong(Dashboard.from_json(load(path)), Dashboard, "dashboard") == []


def test_a_field_or_a_value_that_grafana_does_not_know_is_seen() -> None:
    original = load(FILES[0])
    place, panel = next(
        (f"dashboard.panels[{number}]", panel)
        for number, panel in enumerate(original["panels"])
        if panel["type"] == "timeseries"
    )
    panel["fieldConfig"]["defaults"]["custom"]["showPoints"] = "sometimes"
    panel["gridPos"]["w"] = "12"
    panel["colour"] = "red"
    assert lost(original, through_the_models(original), "dashboard") == [f"{place}.colour"]
    places = [said.split(":")[0] for said in wrong(Dashboard.from_json(original), Dashboard, "d")]
    assert [place.rpartition(".")[2] for place in places] == ["w", "show_points"]


def through_the_models(dashboard: Json) -> Json:
    text = json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder)
    back: Json = json.loads(text)
    return back


def lost(original: Any, back: Any, place: str) -> list[str]:
    """What did not come back as it was; what came on top is a default of the SDK."""
    if isinstance(original, dict) and isinstance(back, dict):
        return [
            gone
            for key, item in original.items()
            for gone in lost(item, back.get(key), f"{place}.{key}")
        ]
    if isinstance(original, list) and isinstance(back, list) and len(original) == len(back):
        pairs = enumerate(zip(original, back, strict=True))
        return [gone for i, (one, other) in pairs for gone in lost(one, other, f"{place}[{i}]")]
    return [] if original == back else [place]


def wrong(value: Any, hint: Any, place: str) -> list[str]:
    """Where a value is not of its hint, however deep."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union:
        same = [argument for argument in arguments if of_kind(value, argument)]
        return min((wrong(value, argument, place) for argument in same or arguments), key=len)
    if origin in (list, dict) and not isinstance(value, origin):
        return [f"{place}: {value!r} is not {hint}"]
    if origin is list:
        return [
            p for i, item in enumerate(value) for p in wrong(item, arguments[0], f"{place}[{i}]")
        ]
    if origin is dict:
        return [
            p for key, item in value.items() for p in wrong(item, arguments[1], f"{place}.{key}")
        ]
    if hint is object and hasattr(value, "to_json"):  # the options of a panel's plugin
        return wrong_fields(value, type(value), place)
    if isinstance(hint, type) and hasattr(hint, "from_json"):
        return wrong_fields(value, hint, place)
    return [] if fits(value, hint) else [f"{place}: {value!r} is not {hint}"]


def of_kind(value: Any, hint: Any) -> bool:
    kind = typing.get_origin(hint) or hint
    return isinstance(kind, type) and isinstance(value, kind)


def wrong_fields(value: Any, model: type, place: str) -> list[str]:
    if isinstance(value, dict):  # what the SDK leaves unread
        value = model.from_json(value)  # type: ignore[attr-defined]
    if not isinstance(value, model):
        return [f"{place}: {value!r} is not {model.__name__}"]
    hints = typing.get_type_hints(type(value))
    return [
        p
        for name, item in vars(value).items()
        for p in wrong(item, hints.get(name, object), f"{place}.{name}")
    ]


def fits(value: Any, hint: Any) -> bool:
    if hint in (object, Any):
        return True
    if typing.get_origin(hint) is typing.Literal:
        return value in typing.get_args(hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return value in list(hint)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, NoneType if hint is None else hint)
