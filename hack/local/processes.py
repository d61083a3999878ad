"""Starts programs, watches them, and ends them: by their process handles, never by name."""

from __future__ import annotations

import ctypes
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from local.errors import LocalError

#: Prometheus writes its head to disk when it ends.
END_SECONDS = 20.0
TAIL_LINES = 15


@dataclass(frozen=True)
class Program:
    """What to run. ``ready`` is an address that answers once it serves."""

    name: str
    command: Sequence[str]
    ready: str
    environment: Mapping[str, str]


@dataclass
class Processes:
    """Running programs, ended together in the opposite order when the ``with`` block is left."""

    logs: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self, program: Program) -> None:
        """Start it with its output in a log of its own.

        In a session of its own, so that a Ctrl-C in the terminal reaches us alone, and we end
        everything in order.
        """
        with self.log(program.name).open("wb") as log:
            self.running[program.name] = subprocess.Popen(
                program.command,
                env=dict(program.environment),
                cwd=self.logs,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )

    def check(self) -> None:
        """LocalError if one of them ended, with the end of its log."""
        for name, process in self.running.items():
            code = process.poll()
            if code is not None:
                raise LocalError(f"{name} ended with code {code}:\n{self.tail(name)}")

    def log(self, name: str) -> Path:
        """The log of a program."""
        return self.logs / f"{name}.log"

    def tail(self, name: str) -> str:
        """The last lines of its log."""
        lines = self.log(name).read_text(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-TAIL_LINES:])

    def stop(self) -> None:
        """End all, the last one first: who watches ends before what it watches."""
        while self.running:
            _, process = self.running.popitem()
            process.terminate()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _end_with_parent() -> None:
    """Ask the kernel for a SIGTERM should we be killed outright (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
