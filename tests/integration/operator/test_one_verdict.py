"""Row p: the API server with the chart's schema and policy, the operator and the CLI agree.

Thousands of specs, made by chance and from a table of nasty values, go to a real API server as a
dry run, and through the CLI's reader and the operator's check.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tests.integration.operator.conftest import ALERT, Desk, threshold
from tests.integration.operator.test_admission import guarded as guarded
from tests.integration.operator.test_bad_input import NUMBERS, PATHS, SHAPES, TEXTS, mutated
from tests.unit.operator.objects import CATALOGUE

from threshold_operator.cli.files import FileProblemError, load
from threshold_operator.model.precedence import Refusal, check

SEED, CASES = 20261126, 1500

TIMES: list[Any] = [
    *("2027-01-01T00:00:00Z", "2027-01-01T00:00:00.5Z", "2027-01-01T00:00:00.123456789Z"),
    *("2027-01-01T00:00:00+01:00", "2027-01-01T00:00:00-23:59", "2027-01-01T00:00:00+24:00"),
    *("2027-01-01T00:00Z", "2027-01-01T00:00:00+0100", "2027-01-01T00:00:00+01", "2027-01-01"),
    *("2027-01-01T00:00:00", "2027-01-01 00:00:00Z", "2027-01-01t00:00:00z", "20270101T000000Z"),
    *("0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"),
    *("9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00", "10000-01-01T00:00:00Z"),
    *("1969-12-31T23:59:59Z", "2000-01-01T00:00:00Z", "2999-12-31T23:59:59Z"),
    *("2027-02-29T00:00:00Z", "2028-02-29T00:00:00Z", "2027-13-01T00:00:00Z"),
    *("2100-02-29T00:00:00Z", "2400-02-29T00:00:00Z", "2027-04-31T00:00:00Z"),
    *("2027-00-01T00:00:00Z", "2027-01-00T00:00:00Z", "2027-12-31T00:00:00Z", [], {}),
    *("2027-01-01T24:00:00Z", "2027-01-01T23:59:60Z", "2027-01-01T00:60:00Z", "2027-W01-1T00:00Z"),
    *(" 2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z\n", "2027-01-01T00:00:00Zulu", "T", "", "now"),
    *("2027-01-01T00:00:00,5Z", "2027-01-01T00:00:00.Z", "+2027-01-01T00:00:00Z", 1798761600, None),
]
DURATIONS = [
    *("0s", "1s", "90m", "1h1h", "1m1h", "1w", "7d", "8d", "6d24h", "168h", "168h1s", "1ms", "1y"),
    *("1.5h", "+1m", "-1m", "1M", "1 m", "m", "", "5", "00000001s", "0000001s", "1m\n", 5, None),
]
TIERS: list[Any] = [
    *({}, {"enabled": True}, {"enabled": False}, {"enabled": None}, {"threshold": None}, None),
    *({"threshold": 0.05, "enabled": None}, {"threshold": 0.05, "recover": None, "for": None}),
    *({"enabled": False, "threshold": None}, {"threshold": 0.05, "recover": 0.05}, [], "x", 5),
    *({"threshold": "0.05"}, {"threshold": True}, {"threshold": 5e-324}, {"threshold": 1e400 * 0}),
    *({"threshold": 10**30}, {"threshold": 0.05, "expr": None}, {"threshold": 0.05, "x": 1}),
]
MATCHES = [
    {},
    {"symbol": None},
    {"symbol": ""},
    {"symbol": 1},
    {"route": "/"},
    {"a": "b", "c": "d"},
]
WHERE: dict[tuple[str, ...], list[Any]] = {
    ("spec", "expiresAt"): TIMES,
    ("spec", "critical", "for"): DURATIONS,
    ("spec", "warning", "keepFiringFor"): DURATIONS,
    ("spec", "preview", "window"): DURATIONS,
    ("spec", "critical"): TIERS,
    ("spec", "warning"): TIERS,
    ("spec", "match"): [*MATCHES, None, [], "x"],
    ("spec", "mode"): ["Enforce", "enforce", "", None, 1],
    ("spec", "preview"): [None, {}, {"window": None}, [], "7d"],
    ("spec", "reason"): [None, "", "x" * 256, "x" * 257, "é" * 256, 5],
    ("spec", "alert"): [None, "", "x" * 128, "x" * 129, ALERT, 5],
    ("spec", "unknown"): [None, 1],
    ("spec",): [None, {}, [], "x"],
    ("metadata", "name"): ["default", "a" * 63, "a" * 64, "A", "a.b", "a_b", "-a"],
}


def nasty() -> list[Any]:
    """One value of the table at a time."""
    return [mutated([(path, value)]) for path, values in WHERE.items() for value in values]


def by_chance() -> list[Any]:
    """Up to three of the values anywhere."""
    dice = random.Random(SEED)
    values = [*TEXTS, *NUMBERS, *SHAPES, *(entry.name for entry in CATALOGUE)]
    found = []
    for _ in range(CASES):
        paths = [*PATHS, *WHERE]
        changed = dice.sample(paths, dice.randint(1, 3))
        found.append(mutated([(p, dice.choice([*WHERE.get(p, []), *values])) for p in changed]))
    return found


def is_json(body: Any) -> bool:
    """NaN and infinity exist in YAML only, and kubectl refuses them there."""
    try:
        json.dumps(body, allow_nan=False)
    except (ValueError, TypeError):
        return False
    return isinstance(body["metadata"].get("name"), str) and all(map(_is_key, _keys(body)))


def _keys(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *(key for child in value.values() for key in _keys(child))]
    if isinstance(value, list):
        return [key for child in value for key in _keys(child)]
    return []


def _is_key(key: Any) -> bool:
    return isinstance(key, str)


def ask(desk: Desk, body: Any) -> tuple[int, Any]:
    """What the API server says to a dry run, as kubectl would ask it."""
    url = f"{desk.server.url}/apis/stocks-fastapi.io/v1alpha1/namespaces/{desk.namespace}"
    meta = {"name": body["metadata"]["name"], "namespace": desk.namespace}
    answer = desk.server.client.post(
        f"{url}/alertthresholds",
        params={"dryRun": "All"},
        headers={"Authorization": "Bearer admin", "Content-Type": "application/json"},
        content=json.dumps({**body, "metadata": meta}, ensure_ascii=True),
    )
    return answer.status_code, answer.json()


def cli_says(body: Any, namespace: str, file: Path) -> str:
    """The problems that the CLI finds in a file, empty if there are none."""
    meta = {"name": body["metadata"]["name"]}
    file.write_text(json.dumps({**body, "metadata": meta}, ensure_ascii=True))
    try:
        (checked,) = load([file], namespace, CATALOGUE)
    except FileProblemError as error:
        return str(error)
    return "; ".join(map(str, checked.problems))


def operator_says(stored: Any) -> str:
    """The operator's word on an object as the API server stored it."""
    found = check(stored, CATALOGUE)
    return found.message if isinstance(found, Refusal) else ""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("make", [nasty, by_chance])
def test_row_p_one_verdict_from_all_three(guarded: Desk, make: Any, tmp_path: Path) -> None:
    differences = []
    bodies = [body for body in make() if is_json(body)]
    assert len(bodies) > 150
    for body in bodies:
        status, answer = ask(guarded, body)
        assert status in (201, 400, 422), answer
        said = cli_says(body, guarded.namespace, tmp_path / "object.yaml")
        operator = operator_says(answer) if status == 201 else "refused"
        if (status == 201) != (said == "") or (status == 201 and operator):
            server = "accepts" if status == 201 else answer["message"]
            differences.append(
                f"{json.dumps(body['spec'])[:300]} {body['metadata']['name'][:70]!r}\n"
                f"  server: {server[:300]}\n  CLI: {said[:200]}\n  operator: {operator[:200]}"
            )
    assert not differences, f"{len(differences)} of {len(bodies)}\n" + "\n".join(differences[:40])


def test_every_good_spec_is_good_for_all_three(guarded: Desk, tmp_path: Path) -> None:
    body = threshold("good", critical={"threshold": 0.05}, expiresAt="2027-01-01T00:00:00Z")
    assert ask(guarded, body)[0] == 201
    assert cli_says(body, guarded.namespace, tmp_path / "object.yaml") == ""
