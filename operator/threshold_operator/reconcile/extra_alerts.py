"""Alerts that users add to the catalogue, by the chart's value ``monitoring.extraAlerts``.

Helm can't run the renderer, so the operator writes the rules of these entries: one PrometheusRule,
owned by the ConfigMap in which the chart hands them over. They pass the same checks as the chart's
own. An entry that is refused takes nothing away: the last of its name that was accepted stays in
force, and the rule itself remembers it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import yaml

from threshold_operator.cluster.api import KubeError
from threshold_operator.cluster.events import Change, event
from threshold_operator.cluster.objects import (
    ACCEPTED,
    Manifest,
    belongs_to,
    in_sync,
    rule_object,
)
from threshold_operator.model.body import Body
from threshold_operator.model.catalogue import Catalogue, CatalogueError, Entry, parse_entry
from threshold_operator.promql.rules import alert_group, silent_group
from threshold_operator.telemetry import Metrics

log = logging.getLogger(__name__)

#: Why entries are refused, on the rule: so that it is reported once, and not at each start.
REFUSED = "stocks-fastapi.io/refused"
#: A rule that somebody changed or deleted comes back within this time.
RESYNC_SECONDS = 30.0
RETRY_SECONDS = 5.0


@dataclass(frozen=True)
class ExtraAlerts:
    """The entries that users gave; ``kept`` are earlier ones, in force instead of refused ones."""

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


def read(path: Path, chart: Catalogue) -> ExtraAlerts:
    """Read the entries that the chart hands over.

    :raises CatalogueError: if the file is no list of entries; single ones are refused instead.
    """
    try:
        return _judged(yaml.safe_load(path.read_text())["alerts"], chart)
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise CatalogueError(f"{path}: {error}") from error


def with_extra(chart: Catalogue, extra: ExtraAlerts) -> Catalogue:
    """The catalogue that objects are checked against."""
    return Catalogue([*chart, *extra.in_force])


def with_last_good_entries(extra: ExtraAlerts, live: Body | None, chart: Catalogue) -> ExtraAlerts:
    """Where entries are refused, take what the rule in the cluster remembers of their names."""
    memory, accepted = _unpacked(live, ACCEPTED), {entry.name for entry in extra.accepted}
    lost = [memory[name] for name in extra.refused if name in memory.keys() - accepted]
    return replace(extra, kept=_judged(lost, with_extra(chart, extra)).accepted)


def extra_manifest(extra: ExtraAlerts, config_map: Body, labels: Mapping[str, str]) -> Manifest:
    """Everything that we own of the rule; it bears the name of the ConfigMap that owns it."""
    meta = config_map["metadata"]
    name, namespace = meta["name"], meta["namespace"]
    notes = {ACCEPTED: _memo(extra), REFUSED: _packed(extra.refused)}
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": meta["uid"]}
    groups = [alert_group(entry, namespace) for entry in extra.in_force]
    # Without any group the API server would drop the whole spec, which it requires.
    return rule_object(name, namespace, labels, notes, owner, groups or [silent_group(name)])


def unreported(extra: ExtraAlerts, live: Body | None) -> list[str]:
    """Names of refused entries that the rule doesn't yet mention in these words."""
    reported = _unpacked(live, REFUSED)
    return [name for name, why in extra.refused.items() if reported.get(name) != why]


class Cluster(Protocol):
    """What is needed of the Kubernetes API."""

    async def get_config_map(self, name: str) -> Body | None:
        """The ConfigMap in which the chart hands over the entries."""
        ...

    async def get_rule(self, name: str) -> Body | None:
        """One PrometheusRule, whoever made it."""
        ...

    async def apply_rule(self, manifest: Manifest) -> Body:
        """Write a rule."""
        ...

    async def create_event(self, event: Body) -> None:
        """Report to users."""
        ...


async def settle(cluster: Cluster, name: str, extra: ExtraAlerts, chart: Catalogue) -> ExtraAlerts:
    """What is in force from now on; where entries are refused, with what was before.

    Waits for the API server to say what that was.
    """
    while extra.refused:
        try:
            return with_last_good_entries(extra, await cluster.get_rule(name), chart)
        except KubeError as error:
            log.warning("can't ask for what was in force: %s", error)
            await asyncio.sleep(RETRY_SECONDS)
    return extra


class ExtraAlertsRule:
    """Keeps the rule in the cluster as it should be; ``name`` is its name and the ConfigMap's."""

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        extra: ExtraAlerts,
        labels: Mapping[str, str],
        metrics: Metrics,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cluster, self._name, self._extra = cluster, name, extra
        self._labels, self._metrics, self._now = labels, metrics, now

    async def run(self) -> None:
        """Keep the rule in line, for ever."""
        self._count()
        for name in self._extra.refused:
            log.error("monitoring.extraAlerts: %s", self._extra.problem(name))
        while True:
            try:
                await self.sync()
            except KubeError as error:
                log.warning("%s: %s", self._name, error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                await asyncio.sleep(RESYNC_SECONDS)

    async def sync(self) -> None:
        """Write what differs, and nothing else.

        :raises KubeError: the API server refused or didn't answer.
        """
        config_map = await self._cluster.get_config_map(self._name)
        if config_map is None:
            return log.warning("no ConfigMap %s: nothing owns the rule of own alerts", self._name)
        live = await self._cluster.get_rule(self._name)
        if live is not None and not belongs_to(live, config_map["metadata"]["uid"]):
            return log.error("a PrometheusRule %s exists that isn't ours; rename it", self._name)
        wanted = extra_manifest(self._extra, config_map, self._labels)
        if live is None or not in_sync(live, wanted):
            self._metrics.writes.labels("rule").inc()
            await self._cluster.apply_rule(wanted)
            await self._report(live, config_map)
        return None

    async def _report(self, live: Body | None, config_map: Body) -> None:
        for name in unreported(self._extra, live):
            self._metrics.writes.labels("event").inc()
            text = self._extra.problem(name)
            refused = event(config_map, Change("Warning", "AlertRefused", text, text), self._now())
            await self._cluster.create_event(refused)

    def _count(self) -> None:
        extra = self._extra
        states = {"accepted": extra.accepted, "kept": extra.kept, "refused": extra.refused}
        for state, names in states.items():
            self._metrics.own_alerts.labels(state).set(len(names))


def _judged(raws: Iterable[Any], chart: Catalogue) -> ExtraAlerts:
    accepted: list[Entry] = []
    refused: dict[str, str] = {}
    for raw in raws:
        try:
            accepted.append(_fitting(raw, [*chart, *accepted]))
        except CatalogueError as error:
            refused[_name(raw)] = str(error)
    return ExtraAlerts(tuple(accepted), refused)


def _fitting(raw: Any, others: list[Entry]) -> Entry:
    entry = parse_entry(raw)
    Catalogue([*others, entry])  # finds what it has in common with another one
    return entry


def _name(raw: Any) -> str:
    return str(raw.get("name", "?")) if isinstance(raw, dict) else "?"


def _memo(extra: ExtraAlerts) -> str:
    entries = (
        entry.model_dump(mode="json", by_alias=True, exclude_none=True) for entry in extra.in_force
    )
    return _packed({entry["name"]: entry for entry in entries})


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
