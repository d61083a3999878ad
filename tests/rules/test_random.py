"""Prometheus itself over random objects: what is in force is what the model of ten lines says."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import yaml
from tests.unit.operator.crowd import SYMBOLS, TIERS, Model, crowd
from tests.unit.operator.objects import CATALOGUE, NAMESPACE, PNL

from threshold_operator.model.precedence import Candidate, check, decide
from threshold_operator.model.times import parse_time
from threshold_operator.promql.rules import Group, alert_group, threshold_group
from threshold_operator.promql.series import EFFECTIVE, OWN_RULE
from threshold_operator.promql.text import rule_file

EPOCH = datetime.fromtimestamp(0, UTC)
#: When the operator decided; ten minutes later what had a time to end has ended.
DECIDED = EPOCH + timedelta(minutes=10)
ENDED = DECIDED + timedelta(minutes=11)
ROUNDS = 12


def test_promtool_and_the_model_agree_on_what_is_in_force(tmp_path: Path) -> None:
    random = Random(20261123)
    for n in range(ROUNDS):
        bodies = crowd(random, DECIDED, most=9)
        model = Model.of(bodies, DECIDED)
        (tmp_path / f"rules-{n}.yaml").write_text(rule_file(rules(bodies)))
        case = {
            "rule_files": [f"rules-{n}.yaml"],
            "evaluation_interval": "15s",
            "tests": [check_of(model)],
        }
        (tmp_path / f"case-{n}.yaml").write_text(yaml.safe_dump(case))
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing: `make rules` installs it (Debian package prometheus)"
    cases = sorted(path.name for path in tmp_path.glob("case-*.yaml"))
    run = subprocess.run(
        [promtool, "test", "rules", *cases], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr


def rules(bodies: list[dict[str, Any]]) -> list[Group]:
    """The chart's, and those of each object that the operator puts in force."""
    entry = CATALOGUE[PNL]
    held = (each.in_force for each in decide(map(candidate, bodies), DECIDED).values())
    groups = (threshold_group(threshold, entry) for threshold in held if threshold is not None)
    return [alert_group(entry, NAMESPACE), *(group for group in groups if group["rules"])]


def candidate(raw: dict[str, Any]) -> Candidate:
    meta = raw["metadata"]
    created = parse_time(meta["creationTimestamp"])
    current: Any = check(raw, CATALOGUE)
    return Candidate(meta["name"], meta["uid"], meta["generation"], created, current)


def check_of(model: Model) -> dict[str, Any]:
    """The promtool test that expects what the model says, before and after the expiries."""
    own = f'namespace="{NAMESPACE}"'
    moves = [
        {"series": f'position_pnl_unrealized{{{own},symbol="{s}"}}', "values": "0+1x200"}
        for s in SYMBOLS
    ]
    account = {"series": f"account_net_liquidation{{{own}}}", "values": "1000000x200"}
    return {
        "interval": "15s",
        "input_series": [*moves, account],
        "promql_expr_test": [test for when in (DECIDED, ENDED) for test in expected(model, when)],
    }


def expected(model: Model, when: datetime) -> Iterator[dict[str, Any]]:
    found = {
        (symbol, tier): model.number(symbol, tier, when) for symbol, tier in product(SYMBOLS, TIERS)
    }
    wanted = {
        EFFECTIVE: {key: number for key, (number, _) in found.items()},
        OWN_RULE: {key: 1.0 for key, (_, own) in found.items() if own},
    }
    for record, values in wanted.items():
        samples = [
            {"labels": f"{record}{labels(*instance)}", "value": value}
            for instance, value in values.items()
        ]
        seconds = int((when - EPOCH).total_seconds())
        yield {"expr": record, "eval_time": f"{seconds}s", "exp_samples": samples}


def labels(symbol: str, tier: str) -> str:
    return f'{{alert="{PNL}",severity="{tier}",namespace="{NAMESPACE}",symbol="{symbol}"}}'
