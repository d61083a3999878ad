"""The program as it is run: `python -m stocks_api`, its settings, its end."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import yaml
from tests.integration.api.conftest import MARKET_BUY, TRADER, Simulator, keys_file, until
from tests.ports import free_ports

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "stocks_api"]
#: Importing everything on a busy machine takes seconds.
SLOW_START = 60


def environment(folder: Path, **more: str) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return inherited | {"PYTHONPATH": str(ROOT / "app"), "TMPDIR": str(folder)} | more


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment(folder, **variables),
        capture_output=True,
        text=True,
        timeout=SLOW_START,
    )


@contextmanager
def started(folder: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            COMMAND, cwd=folder, env=environment(folder, **variables), stderr=log, text=True
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


async def until_answers(url: str, path: str, status: int) -> httpx.Response:
    async def ask() -> httpx.Response | None:
        async with httpx.AsyncClient(base_url=url) as http:
            try:
                return await http.get(path)
            except httpx.TransportError:
                return None

    answer = await until(ask, lambda got: got is not None and got.status_code == status)
    assert answer is not None
    return answer


async def test_sigterm_ends_it_cleanly(tmp_path: Path, simulator: Simulator) -> None:
    (port,) = free_ports(1)
    keys_file(tmp_path)
    variables = {"STOCKS_PORT": str(port), "STOCKS_GATEWAY_PORT": str(simulator.port)}
    url = f"http://127.0.0.1:{port}"
    with started(tmp_path, **variables) as process:
        await until_answers(url, "/readyz", 200)
        async with httpx.AsyncClient(base_url=url, headers={"X-API-Key": TRADER}) as http:
            placed = await http.post("/v1/orders", json=MARKET_BUY)
        assert placed.status_code == 201
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=SLOW_START) == 0
    log = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert {"order accepted", "gateway link is verified"} <= {entry["message"] for entry in log}
    assert not [entry for entry in log if entry["level"] in ("error", "critical")]
    assert any(entry.get("order_id") == placed.json()["id"] for entry in log)


async def test_sigterm_ends_it_while_there_is_no_gateway(tmp_path: Path) -> None:
    port, nobody = free_ports(2)
    keys_file(tmp_path)
    variables = {"STOCKS_PORT": str(port), "STOCKS_GATEWAY_PORT": str(nobody)}
    with started(tmp_path, **variables) as process:
        await until_answers(f"http://127.0.0.1:{port}", "/readyz", 503)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=SLOW_START) == 0


async def test_what_is_far_too_long_is_refused_saying_what_it_may_be(tmp_path: Path) -> None:
    port, nobody = free_ports(2)
    keys_file(tmp_path)
    variables = {"STOCKS_PORT": str(port), "STOCKS_GATEWAY_PORT": str(nobody)}
    url = f"http://127.0.0.1:{port}"
    with started(tmp_path, **variables):
        await until_answers(url, "/healthz", 200)
        async with httpx.AsyncClient(base_url=url, headers={"X-API-Key": TRADER}) as http:
            key = {"Idempotency-Key": "x" * 1_000_000}
            refused = await http.post("/v1/orders", json=MARKET_BUY, headers=key)
            assert (refused.status_code, len(refused.content) < 500) == (422, True)
            (problem,) = refused.json()["errors"]
            assert problem["field"] == "idempotency-key"
            assert "128 characters" in problem["message"]
        answer = await asyncio.to_thread(announce, port, 100_000_000)
        assert answer.startswith("HTTP/1.1 413")
        assert "must not be longer than 16384 bytes" in answer


def announce(port: int, size: int) -> str:
    """The answer to a request whose body is announced, and need not be sent to be refused."""
    head = f"POST /v1/orders HTTP/1.1\r\nHost: api\r\nX-API-Key: {TRADER}\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=SLOW_START) as connection:
        connection.sendall(f"{head}Content-Length: {size}\r\n\r\n".encode())
        with connection.makefile("rb") as answer:
            return answer.read().decode()


def test_help_names_every_variable(tmp_path: Path) -> None:
    done = run(tmp_path, "--help")
    assert done.returncode == 0
    for name in ("GATEWAY_MODE", "LIVE_TRADING", "GATEWAY_HOST", "DATABASE_URL", "API_KEYS_FILE"):
        assert f"STOCKS_{name}" in done.stdout


def test_hash_key_prints_a_key_and_the_entry_for_it(tmp_path: Path) -> None:
    done = run(tmp_path, "hash-key", "--name", "robot", "--scopes", "read")
    key = re.search(r"nowhere: (\S+)", done.stdout)
    assert key is not None
    entry = yaml.safe_load(done.stdout[done.stdout.index("keys:") :])["keys"][0]
    digest = hashlib.sha256(key[1].encode()).hexdigest()
    assert entry == {"name": "robot", "sha256": digest, "scopes": ["read"]}


def test_risk_schema_prints_the_schema_of_the_risk_file(tmp_path: Path) -> None:
    schema = json.loads(run(tmp_path, "risk-schema").stdout)
    assert {"max_quantity", "price_collar", "restricted"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False


def test_a_wrong_risk_file_is_refused_at_the_start(tmp_path: Path) -> None:
    keys_file(tmp_path)
    (tmp_path / "risk.yaml").write_text("max_qantity: 5")
    done = run(tmp_path, STOCKS_RISK_FILE="risk.yaml")
    assert done.returncode == 1
    assert "STOCKS_RISK_FILE: risk.yaml: max_qantity" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_keys_file_it_says_how_to_make_one(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 1
    assert re.search("STOCKS_API_KEYS_FILE.*hash-key", done.stderr), done.stderr
    assert "Traceback" not in done.stderr
