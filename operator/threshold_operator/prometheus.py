"""Asks Prometheus what it evaluates: three requests for a whole namespace, however many objects."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import aiohttp

from threshold_operator.effect import LoadedRule, Observation, Sample, normal_form
from threshold_operator.render import EFFECTIVE, THRESHOLD

#: A Prometheus that needs longer for three small questions is as good as gone.
TIMEOUT_SECONDS = 5.0

#: What Prometheus says for a rule that was loaded and never evaluated.
_NEVER = "0001-01-01T00:00:00Z"


class PrometheusError(Exception):
    """Prometheus gave no answer that can be used; it may the next time."""


class Prometheus:
    """The HTTP API of one Prometheus, for one namespace's thresholds."""

    def __init__(self, session: aiohttp.ClientSession, url: str, namespace: str) -> None:
        self._session = session
        self._api = url.rstrip("/") + "/api/v1/"
        self._namespace = namespace

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
            self.get("rules", _RULES),
            self._query(f'{{__name__=~"{THRESHOLD}|{EFFECTIVE}",{own}}}'),
            self._query(f'ALERTS{{alertname=~"Stocks.+",{own}}}'),
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                answers = [tasks.create_task(question) for question in questions]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        return _observation(self._namespace, *(answer.result() for answer in answers))

    async def _query(self, expr: str) -> Any:
        return await self.get("query", [("query", expr)])

    async def get(self, path: str, params: list[tuple[str, str]]) -> Any:
        """``data`` of an answer.

        :raises PrometheusError: there was none, or no success.
        """
        try:
            async with self._session.get(self._api + path, params=params) as response:
                answer = await response.json()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise PrometheusError(f"{path}: {str(error) or type(error).__name__}") from error
        if not isinstance(answer, dict) or answer.get("status") != "success":
            what = answer.get("error") if isinstance(answer, dict) else "not what its API promises"
            raise PrometheusError(f"{path}: HTTP {response.status}, {what}")
        return answer.get("data")


#: Newer versions answer with these rules alone, older ones with all of them.
_RULES = [("type", "record"), ("rule_name[]", THRESHOLD), ("rule_name[]", EFFECTIVE)]


def _observation(namespace: str, rules: Any, numbers: Any, alerts: Any) -> Observation:
    try:
        groups = list(_groups(rules))
        samples = list(_samples(numbers))
        return Observation(
            groups=_threshold_groups(groups, namespace),
            effective_rules=tuple(
                rule for _, loaded in groups for rule in loaded if rule.record == EFFECTIVE
            ),
            thresholds=_by(_named(samples, THRESHOLD), "source"),
            effective=_by(_named(samples, EFFECTIVE), "alert", "severity"),
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
        own = tuple(
            r for r in rules if r.record == THRESHOLD and r.labels.get("namespace") == namespace
        )
        if own:
            found[name] = found.get(name, ()) + own
    return found


def _groups(data: Any) -> Iterator[tuple[str, list[LoadedRule]]]:
    wanted = (THRESHOLD, EFFECTIVE)
    for group in data["groups"]:
        rules = [_rule(raw) for raw in group["rules"] if raw["name"] in wanted]
        yield group["name"], rules


def _rule(raw: Mapping[str, Any]) -> LoadedRule:
    return LoadedRule(
        record=raw["name"],
        expr=normal_form(raw["query"]),
        labels=raw.get("labels") or {},
        health=raw["health"],
        error=raw.get("lastError") or "",
        evaluated=raw.get("lastEvaluation", _NEVER) != _NEVER,
    )


def _samples(data: Any) -> Iterator[Sample]:
    for series in data["result"]:
        yield Sample(labels=series["metric"], value=float(series["value"][1]))


def _named(samples: Iterable[Sample], name: str) -> Iterator[Sample]:
    return (sample for sample in samples if sample.labels.get("__name__") == name)


def _by(samples: Iterable[Sample], *labels: str) -> Mapping[tuple[str, ...], tuple[Sample, ...]]:
    """For each object only its own samples, however many there are."""
    found: dict[tuple[str, ...], list[Sample]] = {}
    for sample in samples:
        key = tuple(sample.labels.get(label, "") for label in labels)
        found.setdefault(key, []).append(sample)
    return {key: tuple(group) for key, group in found.items()}
