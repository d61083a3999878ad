"""``status.preview`` from a real Prometheus, and the same from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from tests.integration.operator.conftest import SOON, Desk, Operator, threshold
from tests.integration.operator.monitoring import Monitoring
from tests.integration.operator.test_cli import command
from tests.waiting import eventually

ALERT = "StocksPnlMoveUnusual"
TSLA = {"symbol": "TSLA"}
SPEC: dict[str, Any] = {
    "mode": "Preview",
    "match": TSLA,
    "critical": {"threshold": 0.02, "for": "0s"},
    "preview": {"window": "1h"},
}


def seen(desk: Desk, name: str) -> Any:
    return desk.object(name).get("status", {}).get("preview", {})


def test_a_preview_tells_what_would_have_been_and_puts_nothing_in_force(
    desk: Desk, start: Callable[..., Operator], prometheus: Monitoring
) -> None:
    prometheus.move("TSLA", by=3000)  # 3 % of the account: less than the chart's 5, more than 2
    moved = 'stocks:pnl_move:ratio{symbol="TSLA"} > 0.02'
    prometheus.wait_for(f"count_over_time(({moved})[30s:1s]) > 20")
    operator = start(prometheus.url)
    desk.apply("tsla", ALERT, **SPEC)
    found = eventually(lambda: seen(desk, "tsla"), bool, within=SOON, every=0.5)
    tier = found["tiers"]["critical"]
    assert (tier["new"]["threshold"], tier["new"]["episodes"]) == (0.02, 1)
    assert tier["new"]["minutesFiring"] > 0
    assert "end" not in tier["new"]["lastEpisode"], "it would fire now"
    assert tier["inForce"] == {"threshold": 0.05, "episodes": 0, "minutesFiring": 0}
    assert 0 < found["coverage"] < 0.5, "that Prometheus is young"
    assert (found["window"], found["step"], found["observedGeneration"]) == ("1h", "5s", 1)
    assert not desk.exprs("tsla")
    desk.wait_condition("tsla", "Effective", "False", "Preview")

    writes, version = operator.writes, desk.object("tsla")["metadata"]["resourceVersion"]
    looks = operator.metric("thresholds_reconciles_total")
    desk.kubectl("label", "alertthreshold", "tsla", "seen=again")
    eventually(
        lambda: operator.metric("thresholds_reconciles_total"), lambda n: n > looks, within=SOON
    )
    assert operator.writes == writes, f"nothing new since {version}"

    told = command(desk, "preview", "--prometheus", prometheus.url, "-o", "json")
    assert (told.returncode, told.stderr) == (0, "")
    new, in_force = json.loads(told.stdout)
    assert (new["name"], new["window"], new["episodes"], in_force["episodes"]) == (
        "tsla",
        "1h",
        1,
        0,
    )


def test_a_file_is_compared_with_what_is_in_force(
    desk: Desk, prometheus: Monitoring, tmp_path: Path
) -> None:
    desk.apply("tight", ALERT, match=TSLA, critical={"threshold": 0.01})
    file = tmp_path / "new.yaml"
    file.write_text(
        yaml.safe_dump(threshold("tight", ALERT, match=TSLA, critical={"threshold": 0.04}))
    )
    for against, expected in (("cluster", 0.01), ("defaults", 0.05)):
        more = ("--prometheus", prometheus.url, "--against", against, "-o", "json", str(file))
        new, in_force = json.loads(command(desk, "preview", *more).stdout)
        assert (new["threshold"], in_force["threshold"]) == (0.04, expected)
