"""One machine from start to Ctrl-C: data flows, a threshold changes an alert, nothing is left."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest
from tests.integration.local.conftest import ROOT, Running
from tests.waiting import eventually

# The rules are evaluated every 15 s, and an alert waits for its `for`.
pytestmark = pytest.mark.timeout(600)

ALERT = "StocksOrderRejectionRateHigh"
EXAMPLE = str(ROOT / "examples" / "rejection-rate.yaml")
SEVEN = [
    "api_requests_total",
    "api_request_duration_seconds_count",
    "ib_connection_status",
    "orders_total",
    "order_latency_seconds_count",
    "active_positions_total",
    "pnl_unrealized_total",
]


def test_it_says_which_gateway_it_is_where_everything_is_and_what_to_type(
    running: Running,
) -> None:
    assert running.said.startswith("Gateway: SIMULATED")
    for port in (running.ports.api, running.ports.prometheus, running.ports.alertmanager):
        assert f"http://127.0.0.1:{port}" in running.said
    assert "make local-apply FILE=examples/rejection-rate.yaml" in running.said
    assert len(running.children()) == 7


def test_the_key_of_the_first_run_is_private_and_only_its_hash_is_given_to_the_api(
    running: Running,
) -> None:
    key = running.state / "api-key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.read_text() not in (running.state / "keys.yaml").read_text()


def test_every_target_is_up_and_the_seven_metrics_have_samples(running: Running) -> None:
    eventually(lambda: list(running.query("up").values()), lambda now: now == [1, 1], within=60)
    for name in SEVEN:
        eventually(partial(running.query, f'{name}{{namespace="stocks"}}'), bool, within=60)
    assert running.query('node_filesystem_size_bytes{job="node-exporter"}')
    status = running.query('ib_connection_status{namespace="stocks"}')
    assert list(status.values()) == [1.0]


def test_a_bad_object_is_refused_by_field_and_changes_nothing(
    running: Running, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(Path(EXAMPLE).read_text().replace("0.05", "5"))
    before = sorted(path.name for path in (running.state / "prometheus/rules").iterdir())
    done = running.command("apply", str(bad), str(ROOT / "examples" / "tsla-pnl.yaml"))
    assert done.returncode == 1
    assert "spec.critical.threshold: is 5, must lie between" in done.stderr
    assert sorted(path.name for path in (running.state / "prometheus/rules").iterdir()) == before
    assert "is given twice" in running.command("apply", EXAMPLE, EXAMPLE).stderr
    assert "applied: none" in running.command("delete", "rejection-rate").stderr


def test_a_lowered_number_pages_and_deleting_it_brings_the_default_back(running: Running) -> None:
    eventually(lambda: running.effective(ALERT), lambda now: now == {0.2}, within=60)
    applied = running.command("apply", EXAMPLE)
    assert applied.returncode == 0, applied.stderr
    assert applied.stdout.splitlines() == [
        f"rejection-rate: {ALERT} warning is now 0.02, in force",
        f"rejection-rate: {ALERT} critical is now 0.05, in force",
    ]
    assert running.effective(ALERT) == {0.05}

    place_orders(running, accepted=44, rejected=6)  # 12 % lies between the old limit and the new
    eventually(lambda: set(running.paged(ALERT)), lambda now: "critical" in now, within=150)
    assert state(running, "critical") == "active"
    assert "the limit is 5%" in running.paged(ALERT)["critical"]["annotations"]["description"]
    # The warning fires, too, and nobody is told of it twice.
    eventually(lambda: running.paged(ALERT).get("warning"), bool, within=90)
    eventually(lambda: state(running, "warning"), lambda now: now == "suppressed", within=30)

    deleted = running.command("delete", "rejection-rate")
    assert deleted.returncode == 0, deleted.stderr
    assert deleted.stdout.splitlines() == [
        f"rejection-rate: {ALERT} warning is back at 0.1",
        f"rejection-rate: {ALERT} critical is back at 0.2",
    ]
    assert running.effective(ALERT) == {0.2}


def test_ctrl_c_leaves_nothing_behind(running: Running) -> None:
    children = running.children()
    assert children
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(60) == 0
    assert alive(children) == []
    running.ports.require_free()


def test_a_program_that_ends_is_named_with_its_log_and_the_rest_ends_too(another: Running) -> None:
    children = another.children()
    os.kill(children[0], signal.SIGKILL)
    assert another.process.wait(60) == 1
    assert "make local: simulator ended with code -9:" in another.said
    assert "SIMULATED gateway for account" in another.said
    assert alive(children) == []


def test_killed_outright_it_leaves_nothing_behind(another: Running) -> None:
    children = another.children()
    another.process.kill()
    eventually(lambda: alive(children), lambda pids: pids == [], within=60)


def alive(pids: list[int]) -> list[int]:
    """Those that run; one that ended and waits for init to notice does not."""
    return [pid for pid in pids if state_of(pid) not in ("", "Z")]


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


def place_orders(running: Running, accepted: int, rejected: int) -> None:
    for _ in range(accepted):
        assert running.order() in (200, 201, 202)
    running.reject_next(rejected)
    for _ in range(rejected):
        running.order()


def state(running: Running, severity: str) -> str:
    return str(running.paged(ALERT)[severity]["status"]["state"])
