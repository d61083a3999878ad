"""Random objects that get in each other's way, and what should come of them, in few lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from tests.unit.operator.objects import PNL, body

TIERS = ("warning", "critical")
SYMBOLS = ("A", "B", "C")
#: The chart's own.
DEFAULTS = {"warning": 0.02, "critical": 0.05}

Body = dict[str, Any]


def crowd(random: Random, now: datetime, most: int = 6) -> list[Body]:
    """Up to ``most`` objects of one alert; some are wrong, some expired, some of the same age."""
    return [_an_object(random, f"o{n}", now) for n in range(random.randint(0, most))]


def _an_object(random: Random, name: str, now: datetime) -> Body:
    tiers = random.sample(TIERS, random.randint(1, 2))
    spec: Body = {tier: _a_tier(random) for tier in tiers}
    spec["match"] = random.choice([{}, {}, *({"symbol": s} for s in SYMBOLS), {"route": "/"}])
    spec["mode"] = random.choice(["Enforce", "Enforce", "Shadow", "Preview"])
    if expires := random.choice([None, None, timedelta(minutes=-1), timedelta(minutes=10)]):
        spec["expiresAt"] = (now + expires).isoformat()
    created = now - timedelta(hours=1, seconds=random.randint(0, 2))
    return body(name, PNL, created=created.isoformat(), generation=2, **spec)


def _a_tier(random: Random) -> Body:
    number = random.choice([0.01, 0.02, 0.03, 0.5, 7.0])
    timing = random.choice([{}, {}, {"for": "2m"}, {"keepFiringFor": "5m"}])
    return random.choice([{"enabled": False}, *[{"threshold": number, **timing}] * 5])


@dataclass
class Model:
    """Oldest first, what is valid and finds its tier and scope free; previews take no place."""

    accepted: set[str] = field(default_factory=set)
    taken: dict[tuple[str, str, str], Body] = field(default_factory=dict)

    @classmethod
    def of(cls, bodies: list[Body], now: datetime) -> Model:
        """The ten lines that the operator is held to."""
        model = cls()
        for raw in sorted(bodies, key=_age):
            spec = raw["spec"]
            places = {(t, spec["match"].get("symbol", "*"), spec["mode"]) for t in _tiers(spec)}
            if spec["mode"] == "Preview" or not holds(spec, now):
                places = set()
            if _valid(spec) and not places & model.taken.keys():
                model.accepted.add(raw["metadata"]["name"])
                model.taken |= dict.fromkeys(places, spec)
        return model

    def number(self, symbol: str, tier: str, now: datetime) -> tuple[float, bool]:
        """The threshold in force for an instance, and whether a rule of its own reads it."""
        for scope in (symbol, "*"):
            spec = self.taken.get((tier, scope, "Enforce"))
            if spec is not None and holds(spec, now):
                found = spec[tier]
                return found.get("threshold", float("inf")), bool(
                    {"for", "keepFiringFor"} & found.keys()
                )
        return DEFAULTS[tier], False


def holds(spec: Body, now: datetime) -> bool:
    """Whether its time isn't over."""
    return "expiresAt" not in spec or datetime.fromisoformat(spec["expiresAt"]) > now


def _age(raw: Body) -> tuple[datetime, str]:
    meta = raw["metadata"]
    return datetime.fromisoformat(meta["creationTimestamp"]), meta["name"]


def _tiers(spec: Body) -> list[str]:
    return [tier for tier in TIERS if tier in spec]


def _valid(spec: Body) -> bool:
    numbers = [spec[tier]["threshold"] for tier in _tiers(spec) if "threshold" in spec[tier]]
    in_order = numbers == sorted(set(numbers))
    return "route" not in spec["match"] and in_order and all(number <= 1 for number in numbers)
