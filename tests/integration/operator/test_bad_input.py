"""Whatever is written into an object is refused in words, or becomes rules that Prometheus loads.

The cases are made from the CRD's own schema: each property, and the object's name, gets values of
every type, beyond every bound, and texts that mean something to PromQL, to templates or to YAML.
"""

from __future__ import annotations

import copy
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.operator.objects import CATALOGUE, PNL, body

from threshold_operator.cli.files import Checked, FileProblemError, load
from threshold_operator.model.precedence import Refusal, check
from threshold_operator.model.threshold import AlertThreshold
from threshold_operator.promql.rules import threshold_group
from threshold_operator.promql.text import rule_file

CRD = Path(__file__).parents[3] / "charts/stocks-fastapi/templates/operator/crd.yaml"

Path_ = tuple[str, ...]
REMOVED = object()


def schema() -> dict[str, Any]:
    """The schema of the spec; the chart's template has nothing to fill in within it."""
    lines = [line for line in CRD.read_text().splitlines() if "{{" not in line]
    crd = yaml.safe_load("\n".join(lines))
    found: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return {"spec": found["properties"]["spec"]}


def properties(found: dict[str, Any], where: Path_ = ()) -> Iterator[Path_]:
    """The path of each property, at every depth; of a free mapping, a label of its own."""
    for name, child in found.items():
        yield (*where, name)
        yield from properties(child.get("properties", {}), (*where, name))
        if "additionalProperties" in child:
            yield (*where, name, "symbol")
            yield (*where, name, 'a="b"} or vector(1) #')


PATHS = [("metadata", "name"), *properties(schema())]

TEXTS = [
    *("", " ", "0.05", "default", "null", "~", "- a", "a: b", "#", "&a *a", "!!python/name:os"),
    *("}}", "{{ $value | query }}", '{{ with query "up" }}{{ end }}', "{{", "%q", "%s", "$1"),
    *('"', "'", "\\", '\\"', '"} or vector(1) #', "a\nb", "\r\n", "\t", "\x00", "\x1b[31m"),
    *("\u2028", "\u202e", "\ufeff", "é", "🚀", "__NAMESPACE__", "../../etc/passwd", "a" * 253),
    *("x" * 129, "x" * 257, "y" * (1 << 20), "NaN", "Infinity", "1e309", "5", "0s", "-1m", "1y"),
    *("Shadow", "Preview", "90s", "1h30m", "8d", "7d ", "1m\n", "٣m", "1w1d", "99999999d"),
    *("2026-12-24T21:00:00Z", "2026-12-24T21:00:00", "9999-12-31T23:59:59-23:59", "T", "2026"),
]
NUMBERS = [
    *(0, -0.0, 1, -1, 0.05, 0.02, 1e-320, 5e-324, 1e308, 1e309, -1e309, float("nan"), 10**400),
    *(2**53 + 1, 2**64, True, False, None),
]
SHAPES: list[Any] = [[], {}, [1], {"threshold": 0.1}, {"expr": "up"}, {1: 2}, [[]], REMOVED]

VALUES = (
    st.sampled_from([*TEXTS, *NUMBERS, *SHAPES])
    | st.text()
    | st.floats()
    | st.integers()
    | st.sampled_from([entry.name for entry in CATALOGUE])
)
MUTATIONS = st.lists(st.tuples(st.sampled_from(PATHS), VALUES), min_size=1, max_size=3)


def mutated(changes: list[tuple[Path_, Any]]) -> dict[str, Any]:
    found = body(
        alert=PNL,
        match={"symbol": "TSLA"},
        warning={"threshold": 0.015, "recover": 0.01, "enabled": True},
        critical={"threshold": 0.03, "recover": 0.02, "for": "1m", "keepFiringFor": "5m"},
        mode="Enforce",
        preview={"window": "7d"},
        expiresAt="2099-12-24T21:00:00Z",
        reason="earnings week",
    )
    for path, value in changes:
        put(found, path, copy.deepcopy(value) if value is not REMOVED else REMOVED)
    return found


def put(found: Any, path: Path_, value: Any) -> None:
    for name in path[:-1]:
        found = found.get(name)
        if not isinstance(found, dict):
            return  # an earlier mutation took it away
    if value is REMOVED:
        found.pop(path[-1], None)
    else:
        found[path[-1]] = value


LABELS = {"namespace", "alert", "severity", "source", "rule"} | {e.scope for e in CATALOGUE}
#: All that the expression of an alert may quote, beside the object's own name.
QUOTED = {
    *("", "default", "firing", "trading", "warning", "critical", "none", "own", "shadow"),
    *(entry.name for entry in CATALOGUE),
}


def test_the_schema_gives_a_case_for_each_property() -> None:
    names = {path[-1] for path in PATHS}
    fields = {"alert", "match", "threshold", "mode", "expiresAt", "reason", "name", "window"}
    assert fields | {"for", "keepFiringFor", "recover", "enabled"} <= names


@pytest.mark.timeout(300)
def test_bad_input_is_refused_in_words_or_becomes_rules_that_prometheus_loads(
    tmp_path: Path,
) -> None:
    refused: set[str] = set()
    files: list[Path] = []

    @settings(
        max_examples=2000, database=None, suppress_health_check=list(HealthCheck), deadline=None
    )
    @given(MUTATIONS)
    def anything(changes: list[tuple[Path_, Any]]) -> None:
        verdict = check(mutated(changes), CATALOGUE)
        if isinstance(verdict, Refusal):
            assert verdict.message.startswith(("spec", "metadata.name"))
            refused.add(verdict.reason)
        else:
            files.append(tmp_path / f"{len(files)}.yaml")
            files[-1].write_text(loadable(verdict), "utf-8")

    anything()
    assert refused == {"InvalidSpec", "UnknownAlert", "ScopeNotAllowed", "OutOfBounds"}
    assert len(files) > 20
    accepted_by_promtool(files)


def loadable(threshold: AlertThreshold) -> str:
    """The rule file; numbers, durations, labels and nothing else came in."""
    group = threshold_group(threshold, CATALOGUE[threshold.spec.alert])
    text = rule_file([group])
    assert yaml.safe_load(text) == {"groups": [group]}
    for rule in group["rules"]:
        promql_parser.parse(rule["expr"])
        if "record" in rule:
            assert rule["expr"].startswith("vector(")
            assert rule["labels"].keys() <= LABELS
        else:
            assert set(re.findall('"(.*?)"', rule["expr"])) <= {*QUOTED, threshold.name}
            assert rule["labels"].keys() <= {"severity", "shadow"}
    return text


def accepted_by_promtool(files: list[Path]) -> None:
    found = shutil.which("promtool", path=os.environ["PATH"])
    assert found, "promtool is missing: `make rules` installs it (Debian package prometheus)"
    said = subprocess.run([found, "check", "rules", *files], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr[-2000:] or said.stdout[-2000:]


@settings(max_examples=400, suppress_health_check=list(HealthCheck), deadline=None)
@given(MUTATIONS)
def test_bad_input_in_a_file_is_a_problem_and_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[Path_, Any]]
) -> None:
    file = tmp_path_factory.mktemp("file") / "at.yaml"
    file.write_text(yaml.dump(mutated(changes)), "utf-8")
    found = read(file)
    assert all(each.threshold or each.problems for each in found)


def read(file: Path) -> list[Checked]:
    """What can't be read at all is said in a FileProblemError, and in no other."""
    with suppress(FileProblemError):
        return load([file], "trading", CATALOGUE)
    return []


@settings(max_examples=300, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_in_a_file_are_a_problem_and_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.mktemp("file") / "at.yaml"
    file.write_bytes(content)
    assert all(each.problems for each in read(file))
