"""``threshold-operator preview`` on files, over a real socket to something like Prometheus."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml

from threshold_operator.cli.commands import main

ROOT = Path(__file__).parents[3]
TSLA = "examples/tsla-pnl.yaml"


class Prometheus(BaseHTTPRequestHandler):
    """Recorded 0.04 for TSLA in every second hour, and nothing in between."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        data = self.data(url.path.rpartition("/")[2], dict(parse_qsl(url.query)))
        body = json.dumps({"status": "success", "data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def data(self, what: str, asked: dict[str, str]) -> Any:
        if what == "series":
            return [{"symbol": "TSLA"}]
        if what == "query":
            return {"result": []}
        start, end, step = (float(asked[key]) for key in ("start", "end", "step"))
        times = [start + n * step for n in range(round((end - start) / step) + 1)]
        values = [[at, "0.04"] for at in times if at // 3600 % 2]
        return {"result": [{"metric": {"symbol": "TSLA"}, "values": values}]}

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Prometheus) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def preview(url: str, *more: str) -> int:
    """Its exit code."""
    try:
        main(["preview", "--namespace", "trading", "--prometheus", url, *more])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_a_table_for_people(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert preview(url, "--window", "8h", TSLA) == 0
    told = capsys.readouterr()
    head, new, in_force = (line.split() for line in told.out.splitlines())
    assert head[3:9] == ["TIER", "NUMBERS", "THRESHOLD", "EPISODES", "MINUTES", "LAST"]
    tier = ["tsla-pnl", "StocksPnlMoveUnusual", "symbol=TSLA", "critical"]
    assert new[:6] == [*tier, "new", "0.03"]
    assert int(new[6]) in (4, 5), "an hour in two, the first and the last perhaps in part"
    assert in_force[:9] == [*tier, "in", "force", "0.05", "0", "0"]
    assert told.err == "", "no progress where nobody waits at a terminal"


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_rows_for_programs(url: str, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert preview(url, "--window", "2h", "-o", form, TSLA) == 0
    new, in_force = yaml.safe_load(capsys.readouterr().out)
    assert (new["window"], new["step"], new["threshold"]) == ("2h", "5s", 0.03)
    assert new["coverage"] == pytest.approx(0.5, abs=0.01)
    assert (in_force["numbers"], in_force["episodes"], in_force["last"]) == ("in force", 0, None)


@pytest.mark.parametrize(("limit", "code"), [("9", 0), ("1", 1)])
def test_a_pipeline_can_stop_at_too_many_episodes(url: str, limit: str, code: int) -> None:
    assert preview(url, "--window", "8h", "--max-episodes", limit, TSLA) == code


def test_the_objects_own_window_else_a_week(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = yaml.safe_load(Path(TSLA).read_text())
    body["spec"]["preview"] = {"window": "3h"}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(body))
    assert preview(url, "-o", "json", str(tmp_path / "own.yaml")) == 0
    assert preview(url, "-o", "json", TSLA) == 0
    told = capsys.readouterr().out.replace("]\n[", ",")
    assert [row["window"] for row in json.loads(told)][::2] == ["3h", "7d"]


def test_a_prometheus_that_does_not_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert preview("http://127.0.0.1:1", TSLA) == 2
    assert "threshold-operator preview: http://127.0.0.1:1: " in capsys.readouterr().err


@pytest.mark.parametrize("window", ["5", "30m", "31d", "1y", "-1h"])
def test_a_window_out_of_bounds(window: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert preview("http://127.0.0.1:1", f"--window={window}", TSLA) == 2
    assert "must be a duration from 1h to 30d" in capsys.readouterr().err


def test_an_invalid_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(Path(TSLA).read_text().replace("0.03", "5"))
    assert preview("http://127.0.0.1:1", str(bad)) == 2
    assert "spec.critical.threshold: is 5, must lie between" in capsys.readouterr().err


def test_progress_and_colours_on_a_terminal(url: str) -> None:
    near, far = pty.openpty()
    command = [sys.executable, "-m", "threshold_operator", "preview", "--namespace", "trading"]
    environment = {**os.environ, "PYTHONPATH": "operator", "TERM": "xterm", "COLUMNS": "120"}
    environment.pop("NO_COLOR", None)
    run = subprocess.Popen(
        [*command, "--prometheus", url, TSLA],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=far,
    )
    os.close(far)
    terminal = threading.Thread(target=_read, args=(near, shown := bytearray()))
    terminal.start()
    out = run.communicate(timeout=90)[0].decode()
    terminal.join()
    os.close(near)
    assert run.returncode == 0, shown
    assert b"tsla-pnl" in shown
    assert b"100%" in shown
    assert "\x1b" not in out, "the table goes into a pipe"


def _read(terminal: int, shown: bytearray) -> None:
    """Until nobody writes there any more: its buffer is small, and a full one stops the writer."""
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 4096):
            shown += part
