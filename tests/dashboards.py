"""The dashboards as Grafana reads them: panels, queries with their variables filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "charts/stocks-fastapi/files/dashboards").glob("*.json"))
VARIABLE = re.compile(r"\$\{?(\w+)\}?")

#: What Grafana itself fills in, for an hour in steps of 15 s.
BUILT_IN = {"__rate_interval": "1m", "__range": "1h", "__interval": "15s"}

Json = dict[str, Any]


@dataclass(frozen=True)
class Query:
    """One query of one panel."""

    dashboard: str
    panel: str
    ref: str
    expr: str

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.panel} [{self.ref}]"


def load(path: Path) -> Json:
    loaded: Json = json.loads(path.read_text())
    return loaded


def panels(dashboard: Json) -> list[Json]:
    """Without the headings of rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries(dashboard: Json, variables: Mapping[str, str]) -> Iterator[Query]:
    """Every query as Grafana sends it."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            expr = interpolated(target["expr"], variables)
            yield Query(dashboard["uid"], panel["title"], target["refId"], expr)


def marks(dashboard: Json, variables: Mapping[str, str]) -> Iterator[str]:
    """The query of every annotation, as Grafana sends it."""
    for annotation in dashboard["annotations"]["list"]:
        yield interpolated(annotation["expr"], variables)


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """An unknown variable is an error."""
    values = {**BUILT_IN, **variables}
    return VARIABLE.sub(lambda match: values[match[1]], text)
