"""``threshold-operator preview``: what numbers would have done, before anybody is paged by them."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from rich.console import Console
from rich.progress import Progress

from threshold_operator.cli.output import Row, add_format, show
from threshold_operator.cli.sources import (
    FOUND,
    ClusterError,
    Commands,
    accepted,
    add_against,
    add_catalogue,
    add_command,
    add_files,
    usable,
)
from threshold_operator.evidence.preview import (
    Outcome,
    Report,
    in_force,
    milliseconds,
    question,
    window,
)
from threshold_operator.model.catalogue import Catalogue
from threshold_operator.model.threshold import AlertThreshold, Severity
from threshold_operator.model.threshold import Preview as Wanted
from threshold_operator.model.times import at_milliseconds

_COLUMNS = (
    *("name", "alert", "scope", "tier", "numbers", "threshold"),
    *("episodes", "minutes", "last", "until", "coverage", "step"),
)


@dataclass(frozen=True)
class _Job:
    """One object, the others that are in force, and how far back to look."""

    threshold: AlertThreshold
    others: Collection[AlertThreshold]
    window: str


def add_preview(commands: Commands) -> None:
    """The command."""
    text = "how often objects would have fired, and how often what they replace has"
    found = "with --max-episodes: a tier of an object would have fired more often"
    parser = add_command(commands, "preview", text, found)
    add_catalogue(parser)
    add_files(parser, nargs="*", without="those of the namespace in the cluster")
    parser.add_argument("--namespace", required=True, help="label of the recorded series")
    parser.add_argument("--prometheus", required=True, metavar="URL", help="whose past to replay")
    parser.add_argument(
        "--window", type=_window, help="how far back, 1h to 30d; default: the object's own, or 7d"
    )
    parser.add_argument(
        "--max-episodes", type=int, metavar="N", help="exit 1 where new numbers exceed this"
    )
    add_against(parser, default="defaults")
    add_format(parser)
    parser.set_defaults(run=_preview)


def _window(text: str) -> str:
    try:
        return Wanted(window=text).window
    except ValueError as error:
        raise argparse.ArgumentTypeError("must be a duration from 1h to 30d, such as 7d") from error


def _preview(arguments: argparse.Namespace) -> int:
    catalogue = Catalogue.load(arguments.catalogue)
    jobs = _jobs(arguments, catalogue)
    reports = asyncio.run(_replay(jobs, arguments, catalogue))
    rows = [row for job, report in zip(jobs, reports, strict=True) for row in _rows(job, report)]
    show(rows, _COLUMNS, arguments.format, nothing="no AlertThresholds")
    return FOUND if _too_many(reports, arguments.max_episodes) else 0


def _jobs(arguments: argparse.Namespace, catalogue: Catalogue) -> list[_Job]:
    """An object of a file is compared with everything that it would meet, its own former self
    included; one that is in the cluster with what holds without it.
    """
    now = datetime.now(UTC)
    if arguments.files:
        asked = usable(arguments, catalogue)
        live = (
            [] if arguments.against == "defaults" else accepted(arguments.namespace, catalogue, now)
        )
        others = {each.name: in_force(live, now) for each in asked}
    else:
        asked = live = accepted(arguments.namespace, catalogue, now)
        others = {a.name: [o for o in in_force(live, now) if o.name != a.name] for a in asked}
    return [
        _Job(each, others[each.name], arguments.window or window(each) or Wanted().window)
        for each in sorted(asked, key=lambda each: each.name)
    ]


async def _replay(
    jobs: Collection[_Job], arguments: argparse.Namespace, catalogue: Catalogue
) -> list[Report]:
    # A third of a second of imports that the other commands needn't wait for.
    import aiohttp

    from threshold_operator.evidence.access import Access, PrometheusError
    from threshold_operator.evidence.history import History, TooMuchError
    from threshold_operator.evidence.prometheus import Address, PrometheusReader

    now = round(datetime.now(UTC).timestamp() * 1000)
    async with aiohttp.ClientSession() as session:
        address = Address("Prometheus", arguments.prometheus)
        reader = PrometheusReader(Access(session), address, arguments.namespace, alerts=())
        past = History(reader)
        try:
            with _progress(len(jobs)) as shown:
                return [
                    await past.preview(
                        question(job.threshold, catalogue[job.threshold.spec.alert], job.others),
                        milliseconds(job.window),
                        now,
                        partial(shown, number, job.threshold.name),
                    )
                    for number, job in enumerate(jobs)
                ]
        except (PrometheusError, TooMuchError) as error:
            raise ClusterError(f"{arguments.prometheus}: {error}") from error


class _Shown:
    """How far all of the objects are, for people who wait at a terminal."""

    def __init__(self, progress: Progress, objects: int) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=objects)

    def __call__(self, done: int, name: str, part: float) -> None:
        self._progress.update(self._task, description=name, completed=done + part)


@contextmanager
def _progress(objects: int) -> Iterator[_Shown]:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        yield _Shown(progress, objects)


def _rows(job: _Job, report: Report) -> Iterator[Row]:
    for severity, (new, old) in report.tiers.items():
        yield _row(job, report, severity, "new", new)
        yield _row(job, report, severity, "in force", old)


def _row(job: _Job, report: Report, severity: Severity, numbers: str, outcome: Outcome) -> Row:
    last = outcome.last
    return {
        "name": job.threshold.name,
        "alert": job.threshold.spec.alert,
        "scope": job.threshold.scope,
        "tier": str(severity),
        "numbers": numbers,
        "threshold": outcome.threshold,
        "episodes": len(outcome.episodes),
        "minutes": round(outcome.firing / 60_000, 2),
        "last": at_milliseconds(last.start) if last else None,
        "until": at_milliseconds(last.end) if last and not outcome.lasts else None,
        "coverage": round(report.coverage, 4),
        "window": job.window,
        "step": f"{report.step // 1000}s",
    }


def _too_many(reports: Collection[Report], limit: int | None) -> bool:
    if limit is None:
        return False
    return any(len(new.episodes) > limit for r in reports for new, _ in r.tiers.values())
