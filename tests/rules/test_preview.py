"""The preview's replay against promtool: hundreds of random alerts, evaluation by evaluation."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from threshold_operator.model import Comparator
from threshold_operator.replay import Replay, Terms

INTERVAL = 15_000
CASES, EVALUATIONS = 300, 80

DURATIONS = [0, 1_000, 15_000, 20_000, 30_000, 60_000, 90_000]


@dataclass(frozen=True)
class Case:
    name: str
    terms: Terms
    values: list[float | None]

    @property
    def series(self) -> dict[str, str]:
        values = ["stale" if value is None else str(value) for value in self.values]
        return {"series": f'raw{{case="{self.name}"}}', "values": " ".join(values)}

    @property
    def group(self) -> dict[str, Any]:
        terms, signal = self.terms, f'signal{{case="{self.name}"}}'
        expr = f"{signal} {terms.comparator} {terms.threshold}"
        if terms.recover is not None:
            firing = f'ALERTS{{alertname="{self.name}",alertstate="firing"}}'
            expr += f" or ({signal} {terms.comparator} {terms.recover} and on (case) {firing})"
        alert = {
            "alert": self.name,
            "expr": expr,
            "for": f"{terms.hold}ms",
            "keep_firing_for": f"{terms.keep}ms",
        }
        record = {"record": "signal", "expr": f'raw{{case="{self.name}"}}'}
        return {"name": self.name, "interval": "15s", "rules": [record, alert]}

    def firing(self) -> Iterator[bool]:
        """What the replay says, evaluation by evaluation."""
        replay = Replay(self.terms)
        for number, value in enumerate(self.values):
            replay.evaluate(number * INTERVAL, value)
            yield replay.firing


def walk(chance: random.Random) -> Iterator[float | None]:
    """A signal that lingers, crosses its limits often, and is absent now and then."""
    level = 5
    for _ in range(EVALUATIONS):
        level = min(max(level + chance.choice([-3, -2, -1, 0, 0, 1, 2, 3]), 0), 10)
        yield None if chance.random() < 0.08 else float(level)


def cases() -> Iterator[Case]:
    chance = random.Random(20261125)
    for number in range(CASES):
        comparator, threshold = chance.choice(list(Comparator)), chance.choice([4, 5, 6])
        quieter = -1 if comparator is Comparator.ABOVE else 1
        recover = chance.choice([None, threshold + quieter, threshold + 3 * quieter])
        hold, keep = chance.choice(DURATIONS), chance.choice(DURATIONS)
        terms = Terms(comparator, threshold, hold, keep, recover)
        yield Case(f"Case{number}", terms, list(walk(chance)))


def test_the_replay_fires_when_prometheus_does(promtool: str, tmp_path: Path) -> None:
    alerts = list(cases())
    firing = {case.name: list(case.firing()) for case in alerts}
    checks = [
        {
            "expr": 'ALERTS{alertstate="firing"}',
            "eval_time": f"{number * 15}s",
            "exp_samples": [
                {
                    "labels": f'ALERTS{{alertname="{c.name}",alertstate="firing",case="{c.name}"}}',
                    "value": 1,
                }
                for c in alerts
                if firing[c.name][number]
            ],
        }
        for number in range(EVALUATIONS)
    ]
    test = {
        "interval": "15s",
        "input_series": [c.series for c in alerts],
        "promql_expr_test": checks,
    }
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": "15s", "tests": [test]}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [c.group for c in alerts]}))
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(document))
    command = [promtool, "test", "rules", "test.yaml"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, (run.stdout + run.stderr)[:4000]
