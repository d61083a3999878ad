"""What the operator costs: ``make bench``. Figures and ratios, never an absolute limit.

Everything runs against one real API server in the same minutes: our operator, and the peer beside
it. Processor time is that of the operator's process alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.subjects import (
    Subject,
    create,
    edit,
    namespace,
    ours,
    peer,
    wait_settled,
    writes,
)
from tests.integration.operator import apiserver
from tests.integration.operator.apiserver import ApiServer
from tests.integration.operator.conftest import Desk

Start = Callable[[Desk, Path], AbstractContextManager[Subject]]

#: Seconds in which nothing may happen any more, before it is counted.
QUIET = 5
#: Seconds between two edits of the same object in the soak: an hour of it leaves others room.
ROUND = 10


@dataclass(frozen=True)
class Cost:
    """Of some objects: milliseconds of processor time and writes, for each."""

    cpu: float
    writes: float

    def __str__(self) -> str:
        return f"{self.cpu:6.2f} ms  {self.writes:5.2f} writes"


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as name, apiserver.running(Path(name)) as server:
        folder = Path(name)
        theirs = _created(server, folder, peer, arguments.objects, "peer")
        own = _created(server, folder, ours, arguments.objects, "ours")
        print(f"  ours / peer {own.cpu / theirs.cpu:18.2f}", flush=True)
        if arguments.many:
            many = _many(server, folder, arguments.many)
            print(f"  {arguments.many} / {arguments.objects} {many.cpu / own.cpu:17.2f}")
        if arguments.soak:
            _soak(server, folder, arguments.soak)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=1000)
    parser.add_argument("--many", type=int, default=10_000, help="0: leave it out")
    parser.add_argument("--soak", type=float, default=0, help="minutes of edits")
    return parser.parse_args()


def _created(server: ApiServer, folder: Path, start: Start, count: int, name: str) -> Cost:
    """The cost of creating objects; that of an edit and of a restart is printed."""
    desk, names = namespace(server, name), [f"at-{number}" for number in range(count)]
    with start(desk, folder) as subject:
        cost = _measured(subject, count, lambda: _create(desk, names), by_us=count)
        print(f"{name}: {count} created {cost}", flush=True)
        edits = names[: count // 5]
        edited = _measured(subject, len(edits), lambda: edit(desk, edits, 0.04), by_us=len(edits))
        print(f"{name}: {len(edits)} edited  {edited}", flush=True)
        subject.stop()
    return cost


def _create(desk: Desk, names: list[str]) -> None:
    create(desk, names)
    wait_settled(desk, len(names))


def _measured(subject: Subject, count: int, work: Callable[[], None], by_us: int) -> Cost:
    time.sleep(QUIET)
    cpu, before = subject.cpu, sum(writes(subject.desk.server).values())
    work()
    _settle(subject)
    made = sum(writes(subject.desk.server).values()) - before - by_us
    return Cost((subject.cpu - cpu) * 1000 / count, made / count)


def _settle(subject: Subject) -> None:
    """Until it has written nothing for a while, its status and rules included."""
    server = subject.desk.server
    quiet_since, last = time.monotonic(), writes(server)
    while time.monotonic() - quiet_since < QUIET:
        time.sleep(1)
        now = writes(server)
        if now != last:
            quiet_since, last = time.monotonic(), now


def _many(server: ApiServer, folder: Path, count: int) -> Cost:
    desk, names = namespace(server, "many"), [f"at-{number}" for number in range(count)]
    with ours(desk, folder) as subject:
        cost = _measured(subject, count, lambda: _create(desk, names), by_us=count)
        print(f"ours: {count} created {cost}  {subject.memory:.0f} MiB", flush=True)
        edits = names[:200]
        edited = _measured(subject, len(edits), lambda: edit(desk, edits, 0.04), by_us=len(edits))
        print(f"ours: {len(edits)} of {count} edited  {edited}", flush=True)
        subject.stop()
    before = sum(writes(server).values())
    with ours(desk, folder) as subject:
        _settle(subject)
        print(
            f"ours: restart over {count}: {sum(writes(server).values()) - before:.0f} writes,"
            f" {subject.cpu * 1000 / count:.2f} ms each"
        )
        subject.stop()
    return cost


def _soak(server: ApiServer, folder: Path, minutes: float) -> None:
    """Edits without end: what is held must not grow."""
    desk, names = namespace(server, "soak"), [f"at-{number}" for number in range(200)]
    with ours(desk, folder) as subject:
        create(desk, names)
        _settle(subject)
        end, round_, edits = time.monotonic() + minutes * 60, 0, 0
        report = time.monotonic()
        while time.monotonic() < end:
            round_ += 1
            begun = time.monotonic()
            edit(desk, names, 0.03 + round_ % 20 / 1000)
            edits += len(names)
            time.sleep(max(ROUND - (time.monotonic() - begun), 0))
            if time.monotonic() >= report:
                print(f"soak: {edits:6} edits  {subject.memory:6.1f} MiB", flush=True)
                report = time.monotonic() + max(minutes * 60 / 12, 5)
        print(f"soak: {edits:6} edits  {subject.memory:6.1f} MiB", flush=True)
        subject.stop()


if __name__ == "__main__":
    main()
