"""Alerts that users add to the catalogue, by the chart's value ``monitoring.extraAlerts``.

Helm can't run the renderer, so the operator writes the rules of these entries: one PrometheusRule,
owned by the ConfigMap in which the chart hands them over. They pass the same checks as our own. One
that is refused takes nothing away: the last of its name that was accepted stays in force, and the
rule itself remembers it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from threshold_operator.cluster.objects import ACCEPTED, Manifest, rule_object
from threshold_operator.model.body import Body
from threshold_operator.model.catalogue import Catalogue, CatalogueError, Entry, parse_entry
from threshold_operator.promql.rules import alert_group

#: Why entries are refused, on the rule: so that it is told once, and not at each start.
REFUSED = "stocks-fastapi.io/refused"


@dataclass(frozen=True)
class OwnAlerts:
    """``kept`` are earlier entries, in force in place of refused ones of their names."""

    accepted: tuple[Entry, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    kept: tuple[Entry, ...] = ()

    @property
    def in_force(self) -> tuple[Entry, ...]:
        """What rules are made of."""
        return self.accepted + self.kept

    def problem(self, name: str) -> str:
        """Why an entry is refused, and what holds instead."""
        kept = name in {entry.name for entry in self.kept}
        instead = "the last good one stays in force" if kept else "it is left out"
        return f"{self.refused[name]}; {instead}"


def read(path: Path, chart: Catalogue) -> OwnAlerts:
    """Read the entries that the chart hands over.

    :raises CatalogueError: if the file is no list of entries; single ones are refused instead.
    """
    try:
        return _judged(yaml.safe_load(path.read_text())["alerts"], chart)
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise CatalogueError(f"{path}: {error}") from error


def settled(own: OwnAlerts, live: Body | None, chart: Catalogue) -> OwnAlerts:
    """Where entries are refused, take what the rule in the cluster remembers of their names."""
    memory, accepted = _remembered(live), {entry.name for entry in own.accepted}
    lost = [memory[name] for name in own.refused if name in memory.keys() - accepted]
    return replace(own, kept=_judged(lost, with_own(chart, own)).accepted)


def with_own(chart: Catalogue, own: OwnAlerts) -> Catalogue:
    """The catalogue that objects are checked against."""
    return Catalogue([*chart, *own.in_force])


def own_manifest(own: OwnAlerts, config_map: Body, labels: Mapping[str, str]) -> Manifest:
    """Everything that we own of the rule; it bears the name of the ConfigMap that owns it."""
    meta = config_map["metadata"]
    name, namespace = meta["name"], meta["namespace"]
    notes = {ACCEPTED: _memo(own), REFUSED: _packed(own.refused)}
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": meta["uid"]}
    groups = [alert_group(entry, namespace) for entry in own.in_force]
    return rule_object(name, namespace, labels, notes, owner, groups)


def news(own: OwnAlerts, live: Body | None) -> list[str]:
    """Names of refused entries that the rule doesn't yet tell of in these words."""
    told = _unpacked(live, REFUSED)
    return [name for name, why in own.refused.items() if told.get(name) != why]


def _judged(raws: Iterable[Any], chart: Catalogue) -> OwnAlerts:
    accepted: list[Entry] = []
    refused: dict[str, str] = {}
    for raw in raws:
        try:
            accepted.append(_fitting(raw, [*chart, *accepted]))
        except CatalogueError as error:
            refused[_name(raw)] = str(error)
    return OwnAlerts(tuple(accepted), refused)


def _fitting(raw: Any, others: list[Entry]) -> Entry:
    entry = parse_entry(raw)
    Catalogue([*others, entry])  # finds what it has in common with another one
    return entry


def _name(raw: Any) -> str:
    return str(raw.get("name", "?")) if isinstance(raw, dict) else "?"


def _memo(own: OwnAlerts) -> str:
    entries = (
        entry.model_dump(mode="json", by_alias=True, exclude_none=True) for entry in own.in_force
    )
    return _packed({entry["name"]: entry for entry in entries})


def _remembered(live: Body | None) -> dict[str, Any]:
    return _unpacked(live, ACCEPTED)


def _packed(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def _unpacked(live: Body | None, annotation: str) -> dict[str, Any]:
    """An annotation of ours; one that was edited by hand is worth nothing."""
    text = ((live or {}).get("metadata", {}).get("annotations") or {}).get(annotation, "{}")
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
