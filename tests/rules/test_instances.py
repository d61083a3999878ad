"""A signal that keeps a label too many, seen from two pods: each shape of alert works as with one.

Rules that meet two series of a signal where they expect one end in "many-to-one matching" at every
evaluation, and the alert never fires. promtool fails where a rule of a group has an error.
"""

from __future__ import annotations

import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from threshold_operator.model.catalogue import Catalogue, Entry, parse_entry
from threshold_operator.model.signal import NAMESPACE_TOKEN, Aggregation
from threshold_operator.model.threshold import AlertThreshold
from threshold_operator.promql.rules import alert_group, threshold_group
from threshold_operator.promql.text import rule_file

NAMESPACE = f'namespace="{NAMESPACE_TOKEN}"'
#: What the two pods say; another namespace's pod is far beyond both.
PODS = {"a": 30.0, "b": 50.0}
JOINED = {Aggregation.MAX: 50.0, Aggregation.MIN: 30.0, Aggregation.SUM: 80.0}
#: For each comparator a number that the joined signal is beyond, one that it isn't, and a number
#: on the quiet side of both.
LIMITS = {">": (20.0, 90.0, 10.0), "<": (90.0, 20.0, 95.0)}

OBJECTS: dict[str, dict[str, Any]] = {
    "the default": {},
    "a number": {"critical": {}},
    "hysteresis": {"critical": {"recover": True}},
    "its own timing": {"critical": {"for": "30s", "keepFiringFor": "1m"}},
    "its own timing with hysteresis": {"critical": {"for": "30s", "recover": True}},
    "a Shadow": {"critical": {"recover": True}, "mode": "Shadow"},
    "a time to end": {"critical": {}, "expiresAt": "2030-01-01T00:00:00Z"},
}
SHAPES = [
    pytest.param(*shape, id=", ".join(str(part) for part in shape))
    for shape in product(OBJECTS, (">", "<"), ("everything", "queue"), ("wide", "scoped"))
    if shape[2] == "queue" or shape[3] == "wide"
]


def entry(comparator: str, scope: str | None = None, **fields: Any) -> Entry:
    """Silent by default in its critical tier, unless fields say otherwise."""
    raw = {
        "name": "StocksQueueLong",
        "summary": "A queue is long",
        "description": "{value}, limit {limit}.",
        "unit": "count",
        "comparator": comparator,
        "signal": {"name": "stocks:queue:count", "expr": f"queue_length{{{NAMESPACE}}}"},
        "bounds": {"min": 0, "max": 1000},
        "absent": {"means": "silent", "because": "No queue."},
        "tiers": {"warning": {"for": "15s"}, "critical": {"for": "15s"}},
    }
    return parse_entry(raw | ({"scope": scope} if scope else {}) | fields)


def spec_of(kind: str, comparator: str, scoped: bool) -> dict[str, Any]:
    """The object of this kind, with a number that the signal is beyond."""
    beyond, _, quiet = LIMITS[comparator]
    spec = dict(OBJECTS[kind])
    tier = spec["critical"] | {"threshold": beyond}
    if tier.pop("recover", False):
        tier["recover"] = quiet
    match = {"match": {"queue": "x"}} if scoped else {}
    return {"alert": "StocksQueueLong", **spec, **match, "critical": tier}


def rules(catalogued: Entry, spec: dict[str, Any] | None) -> str:
    groups = [alert_group(catalogued)]
    if spec is not None:
        body = {
            "apiVersion": "stocks-fastapi.io/v1alpha1",
            "kind": "AlertThreshold",
            "metadata": {"name": "mine"},
            "spec": spec,
        }
        threshold = AlertThreshold.parse(body, NAMESPACE_TOKEN)
        assert not Catalogue([catalogued]).problems(threshold)
        groups.append(threshold_group(threshold, catalogued))
    return rule_file(groups)


def expect(promtool: str, folder: Path, text: str, *checks: tuple[str, float | None]) -> None:
    """Each check: an expression and its only value after five minutes, or None."""
    (folder / "rules.yaml").write_text(text)
    pods = [(NAMESPACE, pod, value) for pod, value in PODS.items()]
    pods.append(('namespace="other"', "c", 1000.0))
    case = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": [
                    {
                        "series": f'queue_length{{{namespace},pod="{pod}",queue="x"}}',
                        "values": f"{value}x40",
                    }
                    for namespace, pod, value in pods
                ],
                "promql_expr_test": [
                    {
                        "expr": expr,
                        "eval_time": "5m",
                        "exp_samples": [] if value is None else [{"labels": "{}", "value": value}],
                    }
                    for expr, value in checks
                ],
            }
        ],
    }
    (folder / "case.yaml").write_text(yaml.safe_dump(case))
    run = subprocess.run(
        [promtool, "test", "rules", "case.yaml"], cwd=folder, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(("kind", "comparator", "scope", "width"), SHAPES)
def test_with_two_instances_the_alert_fires_once(
    promtool: str, tmp_path: Path, kind: str, comparator: str, scope: str, width: str
) -> None:
    label = None if scope == "everything" else scope
    beyond = LIMITS[comparator][0]
    default: dict[str, Any] = {"for": "15s"}
    if kind == "the default":
        default["threshold"] = beyond
    tiers = {"warning": {"for": "15s"}, "critical": default}
    catalogued = entry(comparator, label, tiers=tiers)
    spec = None if kind == "the default" else spec_of(kind, comparator, width == "scoped")
    severity = "none" if kind == "a Shadow" else "critical"
    firing = f'count(ALERTS{{alertstate="firing",severity="{severity}",{NAMESPACE}}})'
    every = "count(ALERTS)"
    expect(promtool, tmp_path, rules(catalogued, spec), (firing, 1), (every, 1))


@pytest.mark.parametrize("aggregation", list(Aggregation))
@pytest.mark.parametrize("scope", [None, "queue"])
def test_the_entry_says_how_instances_are_joined(
    promtool: str, tmp_path: Path, aggregation: Aggregation, scope: str | None
) -> None:
    catalogued = entry(">", scope, aggregation=aggregation)
    joined = f"sum(stocks:queue:count{{{NAMESPACE}}})"
    expect(
        promtool,
        tmp_path,
        rules(catalogued, None),
        (joined, JOINED[aggregation]),
        ("count(stocks:queue:count)", 1),
    )


@pytest.mark.parametrize(("comparator", "joined"), [(">", 50.0), ("<", 30.0)])
def test_unless_said_the_instance_nearest_to_the_alert_counts(
    promtool: str, tmp_path: Path, comparator: str, joined: float
) -> None:
    text = rules(entry(comparator), None)
    expect(promtool, tmp_path, text, ("sum(stocks:queue:count)", joined))


def test_a_signal_that_loses_its_namespace_has_a_number_in_force(
    promtool: str, tmp_path: Path
) -> None:
    lost = {"name": "stocks:queue:count", "expr": f"sum(queue_length{{{NAMESPACE}}})"}
    tiers = {"warning": {"for": "15s"}, "critical": {"for": "15s", "threshold": 70}}
    text = rules(entry(">", signal=lost, tiers=tiers), None)
    firing = f'count(ALERTS{{alertstate="firing",{NAMESPACE}}})'
    expect(promtool, tmp_path, text, (firing, 1), ("sum(stocks:queue:count)", 80))
