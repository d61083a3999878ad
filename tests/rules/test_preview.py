"""The preview's replay against promtool: random signals, numbers and timing, at every evaluation.

For each case one alert as the catalogue ships it (its warning) and one with a rule of an object's
own (its critical), both as the renderer makes them.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from tests.rules.test_rules import FILES

from threshold_operator.evidence.preview import terms
from threshold_operator.evidence.replay import Replay
from threshold_operator.model.catalogue import Catalogue, Entry, TierDefaults
from threshold_operator.model.signal import Signal
from threshold_operator.model.threshold import (
    API_VERSION,
    KIND,
    AlertThreshold,
    Comparator,
    Severity,
)
from threshold_operator.promql.rules import Group, alert_group, threshold_group
from threshold_operator.promql.text import rule_file

INTERVAL = 15_000
CASES, EVALUATIONS = 40, 60
NAMESPACE = "desk"
TEMPLATE = Catalogue.load(FILES / "catalogue.yaml")["StocksOrderRejectionRateHigh"]

TIMES = ["0s", "1s", "15s", "20s", "30s", "1m", "90s"]


@dataclass(frozen=True)
class Case:
    entry: Entry
    threshold: AlertThreshold
    values: list[float | None]

    @property
    def series(self) -> dict[str, str]:
        values = ["stale" if value is None else str(value) for value in self.values]
        name = f'raw{{namespace="{NAMESPACE}",case="{self.entry.name}"}}'
        return {"series": name, "values": " ".join(values)}

    @property
    def groups(self) -> list[Group]:
        return [alert_group(self.entry, NAMESPACE), threshold_group(self.threshold, self.entry)]

    @cached_property
    def firing(self) -> dict[Severity, list[bool]]:
        """What the replay says of both tiers, evaluation by evaluation."""
        own = self.threshold.spec.critical
        replays = {
            Severity.WARNING: Replay(terms(self.entry, Severity.WARNING, None)),
            Severity.CRITICAL: Replay(terms(self.entry, Severity.CRITICAL, own)),
        }
        return {severity: list(self._firing(replay)) for severity, replay in replays.items()}

    def _firing(self, replay: Replay) -> Iterator[bool]:
        for number, value in enumerate(self.values):
            replay.evaluate(number * INTERVAL, value)
            yield replay.firing

    def expected(self, number: int) -> Iterator[dict[str, Any]]:
        for severity, firing in self.firing.items():
            if firing[number]:
                labels = f'{{alertname="{self.entry.name}",severity="{severity}"}}'
                yield {"labels": labels, "value": 1}


def walk(chance: random.Random) -> Iterator[float | None]:
    """A signal that lingers, crosses its limits often, and is absent now and then."""
    level = 5
    for _ in range(EVALUATIONS):
        level = min(max(level + chance.choice([-3, -2, -1, 0, 0, 1, 2, 3]), 0), 10)
        yield None if chance.random() < 0.08 else float(level)


def tier(chance: random.Random, comparator: Comparator) -> dict[str, Any]:
    threshold = chance.choice([4.0, 5.0, 6.0])
    quieter = -1 if comparator is Comparator.ABOVE else 1
    found = {
        "threshold": threshold,
        "for": chance.choice(TIMES),
        "keepFiringFor": chance.choice([None, *TIMES]),
        "recover": chance.choice([None, threshold + quieter, threshold + 3 * quieter]),
    }
    return {key: value for key, value in found.items() if value is not None}


def cases() -> Iterator[Case]:
    chance = random.Random(20261125)
    for number in range(CASES):
        name, comparator = f"StocksCase{number}", chance.choice(list(Comparator))
        expr = f'max by (namespace) (raw{{namespace="__NAMESPACE__",case="{name}"}})'
        warning, critical = tier(chance, comparator), tier(chance, comparator)
        changed = {
            "name": name,
            "comparator": comparator,
            "signal": Signal(name=f"stocks:case{number}:count", expr=expr),
            "tiers": {
                Severity.WARNING: TierDefaults.model_validate(warning),
                # Silent: until it hears of the object's rule, the chart's would fire beside it.
                Severity.CRITICAL: TierDefaults.model_validate({"for": "30s"}),
            },
        }
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": f"case{number}", "namespace": NAMESPACE},
            "spec": {"alert": name, "critical": critical},
        }
        yield Case(
            TEMPLATE.model_copy(update=changed), AlertThreshold.parse(body), list(walk(chance))
        )


def test_the_replay_fires_when_prometheus_does(promtool: str, tmp_path: Path) -> None:
    alerts = list(cases())
    groups = [group for place in (0, 1) for group in (case.groups[place] for case in alerts)]
    test = {
        "interval": "15s",
        "input_series": [case.series for case in alerts],
        "promql_expr_test": [
            {
                "expr": 'group by (alertname, severity) (ALERTS{alertstate="firing"})',
                "eval_time": f"{number * 15}s",
                "exp_samples": [sample for case in alerts for sample in case.expected(number)],
            }
            for number in range(EVALUATIONS)
        ],
    }
    document = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "15s",
        # The signals first, as the objects' own rules see them in the end.
        "group_eval_order": [group["name"] for group in groups],
        "tests": [test],
    }
    (tmp_path / "rules.yaml").write_text(rule_file(groups))
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(document))
    command = [promtool, "test", "rules", "test.yaml"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, (run.stdout + run.stderr)[:4000]
    both = {fires for case in alerts for firing in case.firing.values() for fires in firing}
    assert both == {True, False}
