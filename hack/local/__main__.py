"""Runs API, simulator, Prometheus, Alertmanager and dashboards on loopback until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path

from local import thresholds
from local.errors import LocalError
from local.place import STATE, Place, Ports, url
from local.processes import Processes, Program
from local.programs import all_programs
from local.web import answers, until

#: Of all together, on a machine that is busy with other things.
START_SECONDS = 120.0
WATCH_SECONDS = 1.0


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; exits 1 with one line that says what to do."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(Place(arguments.state_dir.resolve()), arguments)
    except LocalError as error:
        sys.exit(f"make local: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument("--state-dir", type=Path, default=STATE, help="default: .local")
    for field in fields(Ports):
        option = f"--{field.name}-port"
        parser.add_argument(option, type=int, default=field.default, help="default: %(default)s")
    parser.set_defaults(run=_run)
    commands = parser.add_subparsers(metavar="COMMAND", title="while it runs, in another terminal")
    apply = commands.add_parser("apply", help="put AlertThreshold files in force, and wait for it")
    apply.add_argument("files", type=Path, nargs="+", metavar="FILE")
    apply.set_defaults(run=lambda place, given: thresholds.apply(place, given.files))
    delete = commands.add_parser("delete", help="take objects back: the default holds again")
    delete.add_argument("names", nargs="+", metavar="NAME")
    delete.set_defaults(run=lambda place, given: thresholds.delete(place, given.names))
    return parser


def _run(place: Place, arguments: argparse.Namespace) -> None:
    """Start everything, say where it is, and wait."""
    ports = Ports(
        **{field.name: getattr(arguments, f"{field.name}_port") for field in fields(Ports)}
    )
    stopped = _stopped_by_signal()
    ports.require_free()
    programs = all_programs(place, ports)
    thresholds.render(place)
    with Processes(place.folder("logs")) as processes:
        for program in programs:
            processes.start(program)
        if _wait_ready(processes, programs, ports, stopped):
            place.remember(ports)
            print(_where(place, ports), flush=True)
        while not stopped.wait(WATCH_SECONDS):
            processes.check()
        print("stopping ...", flush=True)


def _stopped_by_signal() -> threading.Event:
    """Set by Ctrl-C, SIGTERM, or the terminal's end, at any moment from now on."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopped.set())
    return stopped


def _wait_ready(
    processes: Processes, programs: list[Program], ports: Ports, stopped: threading.Event
) -> bool:
    """True once all serve and the API has its gateway; False if told to stop before."""

    def ready(address: str) -> bool:
        processes.check()
        return stopped.is_set() or answers(address)

    waits = [(program.name, program.ready) for program in programs]
    for name, address in [*waits, ("api", url(ports.api, "/readyz"))]:
        if not until(partial(ready, address), START_SECONDS):
            raise LocalError(f"{name} does not answer at {address}:\n{processes.tail(name)}")
    return not stopped.is_set()


def _where(place: Place, ports: Ports) -> str:
    return f"""\
Gateway: SIMULATED. No account, no market, no money.

API           {url(ports.api, "/docs")}   (key in {place.state / "api-key"})
Dashboards    {url(ports.dash, "/dash")}
Prometheus    {url(ports.prometheus, "/alerts")}
Alertmanager  {url(ports.alertmanager)}
Notifications {url(ports.logger)}   (what would be sent to people)
Simulator     {url(ports.control)}   (faults to inject)
Logs          {place.state / "logs"}

Next, in another terminal: make local-apply FILE=examples/rejection-rate.yaml
Ctrl-C ends everything."""


if __name__ == "__main__":
    main()
