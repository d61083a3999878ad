"""What the commands have in common: options, exit codes, and where objects come from."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from threshold_operator.cli.changes import World
from threshold_operator.cli.files import Checked, FileProblemError, load
from threshold_operator.model.catalogue import Catalogue
from threshold_operator.model.governors import Governors
from threshold_operator.model.threshold import AlertThreshold, Problem
from threshold_operator.model.times import rfc3339

CHART_FILES = Path("charts/stocks-fastapi/files")

#: Something was found that a pipeline should stop at; and: the command couldn't do its work.
FOUND, FAILED = 1, 2
EXIT_CODES = (
    "exit codes: 0, all is well; 1, {found}; 2, it couldn't be found out:"
    " wrong arguments, a file that can't be used, a cluster or Prometheus that doesn't answer"
)

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


class ClusterError(Exception):
    """The cluster can't be asked."""


def add_command(commands: Commands, name: str, text: str, found: str) -> argparse.ArgumentParser:
    """A command; ``found`` says what exit code 1 means for it."""
    epilog = EXIT_CODES.format(found=found)
    return commands.add_parser(name, help=text, description=text, epilog=epilog)


def add_catalogue(parser: argparse.ArgumentParser) -> None:
    """Where the alerts are described."""
    parser.add_argument(
        "--catalogue", type=Path, default=CHART_FILES / "catalogue.yaml", metavar="FILE"
    )


def add_files(parser: argparse.ArgumentParser, nargs: str, without: str = "") -> None:
    """The objects to work on; ``without`` says which they are where no file is named."""
    text = f"AlertThreshold objects{without and '; without: '}{without}"
    parser.add_argument("files", type=Path, nargs=nargs, metavar="FILE", help=text)


def add_against(parser: argparse.ArgumentParser, default: str) -> None:
    """What the objects are compared with."""
    parser.add_argument(
        "--against",
        choices=("cluster", "defaults"),
        default=default,
        help="the namespace's objects as they are, or the catalogue alone; default: %(default)s",
    )


def valid(checked: Iterable[Checked]) -> list[AlertThreshold]:
    """Those without a problem."""
    return [each.threshold for each in checked if each.threshold and not each.problems]


def complain(command: str, checked: Iterable[Checked]) -> bool:
    """Whether there was something to complain of."""
    lines = _problems(checked)
    if lines:
        print("\n  ".join([f"threshold-operator {command}:", *lines]), file=sys.stderr)
    return bool(lines)


def warn(command: str, checked: list[Checked], catalogue: Catalogue, now: datetime) -> None:
    """Say what is valid and most likely not meant."""
    hold: dict[str, list[AlertThreshold]] = {}
    for threshold in valid(checked):
        if not threshold.expired(now):
            hold.setdefault(threshold.namespace, []).append(threshold)
    known = {namespace: Governors.of(thresholds) for namespace, thresholds in hold.items()}
    for each in checked:
        if each.threshold is not None:
            governors = known.get(each.threshold.namespace, Governors())
            for text in _warnings(each.threshold, governors, catalogue, now):
                print(f"threshold-operator {command}: {each}: warning: {text}", file=sys.stderr)


def _warnings(
    threshold: AlertThreshold, governors: Governors, catalogue: Catalogue, now: datetime
) -> Iterator[str]:
    expiry = threshold.spec.expiresAt
    if expiry is not None and expiry <= now:
        text = f"spec.expiresAt: {rfc3339(expiry)} has passed"
        yield f"{text}; the object will be accepted as Expired, and the defaults hold"
    elif text := governors.out_of_order(threshold, catalogue[threshold.spec.alert]):
        yield text


def usable(arguments: argparse.Namespace, catalogue: Catalogue) -> list[AlertThreshold]:
    """The objects of the files.

    :raises FileProblemError: at least one of them is invalid.
    """
    checked = load(arguments.files, arguments.namespace, catalogue)
    if lines := _problems(checked):
        raise FileProblemError("\n  ".join(["invalid objects", *lines]))
    return valid(checked)


def _problems(checked: Iterable[Checked]) -> list[str]:
    return [f"{each}: {problem}" for each in checked for problem in each.problems]


def in_cluster(namespace: str | None, catalogue: Catalogue, now: datetime) -> list[Checked]:
    """The objects of a namespace, as the operator judges them.

    :raises ClusterError: nobody can be asked.
    """
    return [
        Checked(Path("cluster"), decision.name, decision.in_force, problems)
        for decision in cluster(namespace).decisions(catalogue, now).values()
        for problems in [(Problem("spec", decision.refusal.message),) if decision.refusal else ()]
    ]


def accepted(namespace: str, catalogue: Catalogue, now: datetime) -> list[AlertThreshold]:
    """The objects of a namespace as they hold: of a refused edit the generation before it.

    :raises ClusterError: nobody can be asked.
    """
    decisions = cluster(namespace).decisions(catalogue, now).values()
    return [each.in_force for each in decisions if each.in_force is not None]


def cluster(namespace: str | None) -> World:
    """Everything of ours in a namespace.

    :raises ClusterError: nobody can be asked.
    """
    if not namespace:
        raise ClusterError("give --namespace, or files")
    # Half a second of imports that the other commands needn't wait for.
    from threshold_operator.cluster.api import GoneError, Kube, KubeError

    async def ask() -> World:
        kube = await Kube.connect(namespace)
        try:
            thresholds = tuple([each async for each in kube.list_thresholds()])
            try:
                return World(thresholds, tuple([each async for each in kube.list_rules()]))
            except GoneError:  # no prometheus-operator
                return World(thresholds)
        finally:
            await kube.close()

    try:
        return asyncio.run(ask())
    except KubeError as error:
        raise ClusterError(str(error)) from error
