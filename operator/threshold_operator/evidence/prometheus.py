"""Asks one replica of Prometheus what it evaluates: three requests for a whole namespace."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from threshold_operator.evidence.access import Access, PrometheusError
from threshold_operator.evidence.observation import LoadedRule, Observation, Sample, normal_form
from threshold_operator.promql.series import (
    EFFECTIVE,
    OWN_RULE,
    RECOVER,
    RECOVER_EFFECTIVE,
    THRESHOLD,
    THRESHOLD_GROUPS,
)

#: A Prometheus that needs longer for three small questions is as good as gone.
TIMEOUT_SECONDS = 5.0

#: What Prometheus says for a rule that was loaded and never evaluated.
_NEVER = "0001-01-01T00:00:00Z"


@dataclass(frozen=True)
class Address:
    """Where one replica answers.

    ``ruler`` is the API of what evaluates rules where another program answers queries (Thanos);
    ``server_name`` is in its certificate where the URL has an IP address.
    """

    name: str
    url: str
    ruler: str = ""
    server_name: str = ""


class PrometheusReader:
    """The HTTP API of one replica, for one namespace's thresholds of these alerts."""

    def __init__(
        self, access: Access, address: Address, namespace: str, alerts: Iterable[str]
    ) -> None:
        self._access, self._address, self._namespace = access, address, namespace
        self._rules = [("exclude_alerts", "true")]
        self._rules += [("rule_name[]", name) for name in (*_RECORDS, *alerts)]

    async def observe(self) -> Observation:
        """One look.

        :raises PrometheusError: saying what went wrong, in words fit for a status.
        """
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await self._look()
        except TimeoutError as error:
            raise PrometheusError(f"no answer within {TIMEOUT_SECONDS:g} s") from error

    async def _look(self) -> Observation:
        own = f'namespace="{self._namespace}"'
        questions = (
            self.get("rules", self._rules),
            self._query(f'{{__name__=~"{_SERIES}",{own}}}'),
            self._query(f'ALERTS{{alertname=~"Stocks.+",{own}}}'),
        )
        # No TaskGroup: a failed child would leave this task half cancelled (see supervision.py).
        rules, numbers, alerts = await asyncio.gather(*questions)
        return _observation(self._namespace, rules, numbers, alerts)

    async def _query(self, expr: str) -> Any:
        return await self.get("query", [("query", expr)])

    async def get(self, path: str, params: list[tuple[str, str]]) -> Any:
        """``data`` of an answer.

        :raises PrometheusError: there was none, or no success.
        """
        base = (path == "rules" and self._address.ruler) or self._address.url
        url = f"{base.rstrip('/')}/api/v1/{path}"
        status, answer = await self._access.get(url, params, self._address.server_name)
        if not isinstance(answer, dict) or answer.get("status") != "success":
            what = answer.get("error") if isinstance(answer, dict) else "not what its API promises"
            raise PrometheusError(f"{path}: HTTP {status}, {what}")
        return answer.get("data")


_OWN = (THRESHOLD, RECOVER)
_IN_FORCE = (EFFECTIVE, RECOVER_EFFECTIVE)
_SERIES = "|".join((*_OWN, *_IN_FORCE))
_LAYERS = (*_IN_FORCE, OWN_RULE)

#: Newer versions answer with these rules alone, older ones with all of them.
_RECORDS = (*_OWN, *_LAYERS)


def _observation(namespace: str, rules: Any, numbers: Any, alerts: Any) -> Observation:
    try:
        groups = list(_groups(rules))
        samples = list(_samples(numbers))
        return Observation(
            groups=_threshold_groups(groups, namespace),
            layers=tuple(rule for _, loaded in groups for rule in loaded if rule.name in _LAYERS),
            numbers=_by(_named(samples, _OWN), "__name__", "source"),
            in_force=_by(_named(samples, _IN_FORCE), "__name__", "alert", "severity"),
            alerts=_by(_samples(alerts), "alertname", "severity"),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PrometheusError(f"answered in another form than its API's: {error!r}") from error


def _threshold_groups(
    groups: Iterable[tuple[str, list[LoadedRule]]], namespace: str
) -> Mapping[str, tuple[LoadedRule, ...]]:
    """By group name; another namespace may have objects, and so groups, of the same name."""
    found: dict[str, tuple[LoadedRule, ...]] = {}
    for name, rules in groups:
        if any(r.name == THRESHOLD and r.labels.get("namespace") == namespace for r in rules):
            found[name] = found.get(name, ()) + tuple(rules)
    return found


def _groups(data: Any) -> Iterator[tuple[str, list[LoadedRule]]]:
    for group in data["groups"]:
        whole = group["name"].startswith(THRESHOLD_GROUPS)
        rules = [_rule(raw) for raw in group["rules"] if whole or raw["name"] in _LAYERS]
        yield group["name"], rules


def _rule(raw: Mapping[str, Any]) -> LoadedRule:
    return LoadedRule(
        name=raw["name"],
        expr=normal_form(raw["query"]),
        labels=raw.get("labels") or {},
        health=raw["health"],
        error=raw.get("lastError") or "",
        evaluated=raw.get("lastEvaluation", _NEVER) != _NEVER,
        waits=float(raw.get("duration", 0)),
        lasts=float(raw.get("keepFiringFor", 0)),
    )


def _samples(data: Any) -> Iterator[Sample]:
    for series in data["result"]:
        yield Sample(labels=series["metric"], value=float(series["value"][1]))


def _named(samples: Iterable[Sample], names: tuple[str, ...]) -> Iterator[Sample]:
    return (sample for sample in samples if sample.labels.get("__name__") in names)


def _by(samples: Iterable[Sample], *labels: str) -> Mapping[tuple[str, ...], tuple[Sample, ...]]:
    """For each object only its own samples, however many there are."""
    found: dict[tuple[str, ...], list[Sample]] = {}
    for sample in samples:
        key = tuple(sample.labels.get(label, "") for label in labels)
        found.setdefault(key, []).append(sample)
    return {key: tuple(group) for key, group in found.items()}
