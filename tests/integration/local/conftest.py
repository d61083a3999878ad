"""``make local`` for real: free ports, a state folder of its own, and the real programs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.ports import free_ports
from tests.waiting import eventually

from local.place import Ports

ROOT = Path(__file__).parents[3]

#: A cold start of six programs on a machine that is busy with other things.
START_SECONDS = 180


def local(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "local", *arguments]


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "hack"), **changes}


def run(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """One command, from a folder that is not the checkout: nothing may depend on it."""
    return subprocess.run(
        local(*arguments), env=environment(**changes), capture_output=True, text=True, cwd="/"
    )


def port_options(ports: Ports) -> list[str]:
    return [part for name, port in asdict(ports).items() for part in (f"--{name}-port", str(port))]


@dataclass(frozen=True)
class Running:
    """A running ``make local``."""

    process: subprocess.Popen[str]
    ports: Ports
    state: Path
    client: httpx.Client

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run("--state-dir", str(self.state), *arguments)

    @property
    def said(self) -> str:
        return (self.state / "output").read_text()

    def wait_started(self) -> None:
        def ended_or_ready() -> bool:
            return self.process.poll() is not None or "Ctrl-C ends everything" in self.said

        eventually(ended_or_ready, bool, within=START_SECONDS, every=0.2)
        assert self.process.poll() is None, self.said

    def children(self) -> list[int]:
        task = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in task.read_text().split()]

    def get(self, port: int, path: str, **parameters: str) -> Any:
        answer = self.client.get(f"http://127.0.0.1:{port}{path}", params=parameters)
        answer.raise_for_status()
        return answer.json()

    def query(self, expression: str) -> dict[str, float]:
        """Labels as JSON -> value, of an instant query."""
        answer = self.get(self.ports.prometheus, "/api/v1/query", query=expression)
        return {
            json.dumps(series["metric"], sort_keys=True): float(series["value"][1])
            for series in answer["data"]["result"]
        }

    def effective(self, alert: str, severity: str = "critical") -> set[float]:
        matchers = f'namespace="stocks",alert="{alert}",severity="{severity}"'
        return set(self.query(f"stocks:alert_threshold:effective{{{matchers}}}").values())

    def paged(self, alert: str) -> dict[str, dict[str, Any]]:
        """Severity -> the alert as Alertmanager has it."""
        alerts = self.get(self.ports.alertmanager, "/api/v2/alerts")
        found = [item for item in alerts if item["labels"]["alertname"] == alert]
        return {item["labels"]["severity"]: item for item in found}

    def reject_next(self, orders: int) -> None:
        address = f"http://127.0.0.1:{self.ports.control}/faults/reject"
        self.client.post(address, json={"orders": orders, "code": 201}).raise_for_status()

    def order(self) -> int:
        """Place an order; the HTTP status."""
        body = {"symbol": "AAPL", "side": "BUY", "quantity": 1, "order_type": "MKT"}
        key = (self.state / "api-key").read_text()
        address = f"http://127.0.0.1:{self.ports.api}/v1/orders"
        return self.client.post(address, json=body, headers={"X-API-Key": key}).status_code


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with started(tmp_path_factory.mktemp("local")) as everything:
        yield everything


@pytest.fixture
def another(tmp_path: Path) -> Iterator[Running]:
    """A second one, to break."""
    with started(tmp_path) as everything:
        yield everything


@contextmanager
def started(state: Path) -> Iterator[Running]:
    ports = Ports(*free_ports(8))
    command = local("--state-dir", str(state), *port_options(ports))
    with (
        (state / "output").open("w") as output,
        subprocess.Popen(
            command, env=environment(), stdout=output, stderr=subprocess.STDOUT, text=True, cwd="/"
        ) as process,
        httpx.Client(timeout=15) as client,
    ):
        everything = Running(process, ports, state, client)
        try:
            everything.wait_started()
            yield everything
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(60)
