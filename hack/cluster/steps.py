"""Progress a person can follow: a line when a step starts, a line with seconds when it ends.

A Go build or debootstrap prints thousands of lines that matter only when it fails. They go to one
log per step; of a failed step the last lines are shown, and where the rest is.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, TypedDict, Unpack

TAIL_LINES = 20
Argument = str | Path


class Options(TypedDict, total=False):
    """How a command is run: variables added to the environment, folder, text on its stdin."""

    env: Mapping[str, str]
    cwd: Path
    stdin: str


class ClusterError(Exception):
    """Something a person must know about; ``hint`` says what to do."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


class CommandError(ClusterError):
    """A command of a step ended with a non-zero code."""


class Step:
    """A running step. Its commands write to its log; ``note`` ends up on its last line."""

    def __init__(self, title: str, log: Path, children: Children) -> None:
        self.title = title
        self.log = log
        self.note = ""
        self._children = children

    def run(self, *argv: Argument, **options: Unpack[Options]) -> None:
        """Run a command, all it prints going to the log; raises CommandError."""
        self._run(argv, capture=False, **options)

    def output(self, *argv: Argument, **options: Unpack[Options]) -> str:
        """Run a command and return what it printed on stdout; raises CommandError."""
        return self._run(argv, capture=True, **options)

    def _run(
        self,
        argv: tuple[Argument, ...],
        capture: bool,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: str | None = None,
    ) -> str:
        with self.log.open("a") as log:
            print("$", shlex.join(map(str, argv)), file=log, flush=True)
            out = subprocess.PIPE if capture else log
            with self._children.start(argv, log, out, env, cwd) as child:
                text, _ = child.communicate(stdin)
        if child.returncode:
            raise CommandError(f"{Path(argv[0]).name} ended with code {child.returncode}")
        return text or ""

    def pipe(self, source: tuple[Argument, ...], sink: tuple[Argument, ...]) -> None:
        """Run ``source | sink``; a failure of either side fails the step."""
        line = f"{shlex.join(map(str, source))} | {shlex.join(map(str, sink))}"
        self.run("bash", "-o", "pipefail", "-c", line)


class Children:
    """The commands running now, so that the first failure can stop those beside it."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False

    @contextmanager
    def start(
        self,
        argv: tuple[Argument, ...],
        log: TextIO,
        out: TextIO | int,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Iterator[subprocess.Popen[str]]:
        """Start a command with its own environment added to ours; known while it runs."""
        if self._stopped:
            raise CommandError("not started, since another step failed")
        child = subprocess.Popen(
            list(map(str, argv)),
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=log,
            text=True,
            errors="replace",
            env={**os.environ, **(env or {})},
            cwd=cwd,
        )
        self._running.add(child)
        try:
            yield child
        finally:
            self._running.discard(child)

    def stop(self) -> None:
        """End what runs, start nothing more."""
        self._stopped = True
        for child in list(self._running):
            child.terminate()


class Progress:
    """Says on ``out`` which step runs; keeps a log per step in ``logs``."""

    def __init__(self, logs: Path, out: TextIO = sys.stderr) -> None:
        self._logs = logs
        self._out = out
        self._lock = threading.Lock()
        self._children = Children()
        self._started = time.monotonic()

    def say(self, line: str) -> None:
        """Print one line, whole, also when steps run side by side."""
        with self._lock:
            print(line, file=self._out, flush=True)

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """A step: announced, timed, logged, and its failure explained."""
        step = Step(title, self._fresh_log(title), self._children)
        started = time.monotonic()
        self.say(start_line(title))
        try:
            yield step
        except CommandError as failed:
            raise ClusterError(failure_text(title, step.log, failed), failed.hint) from failed
        self.say(end_line(title, time.monotonic() - started, step.note))

    def side_by_side(self, *works: Callable[[], None]) -> None:
        """Run the works in threads; the first failure stops the others and is raised."""
        with ThreadPoolExecutor(len(works)) as pool:
            futures = [pool.submit(work) for work in works]
            done, running = wait(futures, return_when=FIRST_EXCEPTION)
            if running:
                self._children.stop()
        for future in done:
            future.result()

    def seconds(self) -> float:
        """Seconds since the command began."""
        return time.monotonic() - self._started

    def _fresh_log(self, title: str) -> Path:
        log = self._logs / f"{slug(title)}.log"
        log.write_text("")
        return log


def slug(title: str) -> str:
    """A file name for a step: ``etcd 3.6.5 (2 programs)`` becomes ``etcd-3.6.5-2-programs``."""
    return re.sub(r"[^a-z0-9.]+", "-", title.lower()).strip("-")


def start_line(title: str) -> str:
    """What is printed as a step starts."""
    return f"  ..  {title}"


def end_line(title: str, seconds: float, note: str = "") -> str:
    """What is printed as a step ends: its title, seconds, and a note if it left one."""
    return f"  ok  {title}  {seconds:.1f} s" + (f"  ({note})" if note else "")


def failure_text(title: str, log: Path, why: Exception) -> str:
    """The failed step, the end of its log, and where all of it is."""
    tail = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
    shown = "\n".join(f"      | {line[:400]}" for line in tail)
    return f"{title}: {why}\n{shown}\n      the whole log: {log}"
