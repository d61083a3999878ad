# mypy: disable-error-code="no-untyped-call"
"""The program: starts, says what is wrong, ends cleanly, and restarts empty on the same port."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from ib_insync import MarketOrder, Stock
from tests.integration.simulator.support import DEADLINE, Clients, until
from tests.ports import free_ports

ROOT = Path(__file__).parents[3]


class Program:
    """The simulator in a process of its own, on fixed ports."""

    def __init__(self, folder: Path) -> None:
        self.port, self.control_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.control_port}"
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        ports = {
            "SIMULATOR_PORT": str(self.port),
            "SIMULATOR_CONTROL_PORT": str(self.control_port),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway_simulator"],
            env=environment(**ports),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    async def healthy(self) -> None:
        async with aiohttp.ClientSession() as http:
            while True:
                try:
                    async with http.get(self.url + "/healthz") as answer:
                        assert answer.status == 200
                        return
                except aiohttp.ClientConnectionError:
                    assert self.process
                    assert self.process.poll() is None, self.process.communicate()

    def files(self) -> list[str]:
        return [one.name for one in self.folder.iterdir()]

    def end(self, number: int) -> tuple[int, str, str]:
        assert self.process
        self.process.send_signal(number)
        out, errors = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, out, errors


def environment(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "simulator"), **more}


def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway_simulator", *arguments],
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.fixture
async def program(tmp_path: Path) -> AsyncIterator[Program]:
    made = Program(tmp_path)
    made.start()
    await made.healthy()
    yield made
    if made.process and made.process.poll() is None:
        made.process.kill()
        made.process.communicate()


@pytest.fixture
async def program_clients(program: Program) -> AsyncIterator[Clients]:
    made = Clients(lambda: program.port)
    yield made
    await made.disconnect()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
async def test_it_ends_cleanly_and_logs_on_standard_error(
    program: Program, program_clients: Clients, number: signal.Signals
) -> None:
    ib = await program_clients.connect()
    status, out, errors = program.end(number)
    assert (status, out) == (0, "")
    assert "SIMULATED" in errors
    assert "Traceback" not in errors
    await until(lambda: not ib.isConnected())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
async def test_a_restart_is_empty_listens_at_once_and_leaves_no_files(
    program: Program, program_clients: Clients, number: signal.Signals
) -> None:
    ib = await program_clients.connect()
    trade = ib.placeOrder(Stock("AAPL", "SMART", "USD"), MarketOrder("BUY", 1))
    await until(trade.isDone)
    program.end(number)
    await until(lambda: not ib.isConnected())

    program.start()
    await program.healthy()
    again = await program_clients.connect()

    assert again.positions() == []
    assert again.trades() == []
    assert again.fills() == []
    assert again.client.getReqId() == trade.order.orderId
    assert program.files() == []


def test_help_names_every_setting() -> None:
    done = run("--help")
    assert done.returncode == 0
    for name in ("HOST", "PORT", "CONTROL_HOST", "CONTROL_PORT", "SEED", "ACCOUNT"):
        assert f"SIMULATOR_{name} " in done.stdout
    assert "SIMULATOR_TICK_SECONDS" in done.stdout
    assert "SIMULATOR_INITIAL_CASH" in done.stdout


def test_wrong_settings_are_told_without_a_traceback() -> None:
    done = run(SIMULATOR_PORT="0.5", SIMULATOR_SEED="x")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2
    assert "SIMULATOR_PORT must be" in done.stderr


def test_a_port_that_is_taken_is_told_without_a_traceback() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run(SIMULATOR_PORT=str(taken.getsockname()[1]), SIMULATOR_CONTROL_PORT="0")
    assert done.returncode == 1
    assert "cannot listen" in done.stderr
    assert "Traceback" not in done.stderr
