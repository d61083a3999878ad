"""``threshold-operator``: the same rendering and checks on files, without a cluster."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import yaml

from threshold_operator.catalogue import NAMESPACE_TOKEN, Catalogue, CatalogueError, kebab
from threshold_operator.model import AlertThreshold, InvalidThresholdError, Problem
from threshold_operator.render import alert_group, rule_file, threshold_group

CHART_FILES = Path("charts/stocks-fastapi/files")
GENERATED = "# Generated from catalogue.yaml by `threshold-operator generate`; edit that instead.\n"


if TYPE_CHECKING:
    Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(
    argv: Sequence[str] | None = None, commands: Iterable[Callable[[Commands], None]] = ()
) -> None:
    """Run one command; exits 1 on bad input, with each problem on a line of its own.

    :param commands: add commands that need more than files.
    """
    arguments = _parser(commands).parse_args(argv)
    try:
        arguments.run(arguments)
    except (CatalogueError, InvalidThresholdError, FileProblemError) as error:
        sys.exit(f"threshold-operator {arguments.command}: {error}")


class FileProblemError(ValueError):
    """A file given on the command line can't be used."""


def _parser(more: Iterable[Callable[[Commands], None]]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="threshold-operator", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    _add_generate(
        commands.add_parser("generate", help="write the chart's rules from the catalogue")
    )
    _add_render(
        commands.add_parser("render", help="write rule files for a Prometheus of one machine")
    )
    _add_validate(
        commands.add_parser("validate", help="check AlertThreshold files against the catalogue")
    )
    for add in more:
        add(commands)
    return parser


def _add_generate(parser: argparse.ArgumentParser) -> None:
    _add_catalogue(parser)
    parser.add_argument(
        "--namespace", default=NAMESPACE_TOKEN, help="default: the token that the chart fills in"
    )
    parser.add_argument("--output", type=Path, default=CHART_FILES / "rules", metavar="FOLDER")
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 if files are stale"
    )
    parser.set_defaults(run=_generate)


def _add_render(parser: argparse.ArgumentParser) -> None:
    _add_catalogue(parser)
    _add_files(parser, nargs="*")
    parser.add_argument("--namespace", required=True, help="label of the series the rules read")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    parser.set_defaults(run=_render)


def _add_validate(parser: argparse.ArgumentParser) -> None:
    _add_catalogue(parser)
    _add_files(parser, nargs="+")
    parser.set_defaults(run=_validate)


def _add_catalogue(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--catalogue", type=Path, default=CHART_FILES / "catalogue.yaml", metavar="FILE"
    )


def _add_files(parser: argparse.ArgumentParser, nargs: str) -> None:
    parser.add_argument(
        "files", type=Path, nargs=nargs, metavar="FILE", help="AlertThreshold objects"
    )


def _generate(arguments: argparse.Namespace) -> None:
    wanted = _alert_files(Catalogue.load(arguments.catalogue), arguments.namespace)
    stale = _differences(arguments.output, wanted)
    if arguments.check and stale:
        raise FileProblemError(f"stale: {', '.join(stale)}; run `make generate`")
    _write(arguments.output, wanted)
    print(f"{len(wanted)} rule files in {arguments.output}, {len(stale)} changed")


def _render(arguments: argparse.Namespace) -> None:
    """The chart's rules and the objects' in one folder that holds nothing else."""
    catalogue = Catalogue.load(arguments.catalogue)
    wanted = _alert_files(catalogue, arguments.namespace)
    for threshold in _load(arguments.files, arguments.namespace, catalogue):
        wanted[f"threshold-{threshold.name}.yaml"] = rule_file([threshold_group(threshold)])
    _write(arguments.output, wanted)
    print(f"{len(wanted)} rule files in {arguments.output}")


def _validate(arguments: argparse.Namespace) -> None:
    catalogue = Catalogue.load(arguments.catalogue)
    thresholds = _load(arguments.files, "default", catalogue)
    print(f"{len(thresholds)} valid")


def _load(files: Sequence[Path], namespace: str, catalogue: Catalogue) -> list[AlertThreshold]:
    """Every object of every file, or all their problems at once."""
    thresholds, problems = [], []
    for file in files:
        for body in _documents(file):
            try:
                threshold = AlertThreshold.parse(body, namespace)
                found = catalogue.problems(threshold)
                thresholds.append(threshold)
            except InvalidThresholdError as error:
                found = error.problems
            problems += [Problem(f"{file}: {problem.field}", problem.message) for problem in found]
    if problems:
        raise FileProblemError("\n  ".join(["", *map(str, problems)]))
    return thresholds


def _documents(file: Path) -> list[dict[str, object]]:
    try:
        documents = [body for body in yaml.safe_load_all(file.read_text()) if body is not None]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise FileProblemError(f"{file}: {error}") from error
    if not all(isinstance(body, dict) for body in documents):
        raise FileProblemError(f"{file}: holds something that is no object; start with apiVersion:")
    return documents


def _alert_files(catalogue: Catalogue, namespace: str) -> dict[str, str]:
    """File name -> text, one file for each alert."""
    return {
        f"{kebab(entry.name)}.yaml": GENERATED + rule_file([alert_group(entry, namespace)])
        for entry in catalogue
    }


def _differences(folder: Path, wanted: dict[str, str]) -> list[str]:
    there = {path.name: path.read_text() for path in folder.glob("*.yaml")}
    return sorted(name for name in there | wanted if there.get(name) != wanted.get(name))


def _write(folder: Path, wanted: dict[str, str]) -> None:
    """Make the folder hold exactly these files; one that is right already is left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _differences(folder, wanted):
        if name in wanted:
            (folder / name).write_text(wanted[name])
        else:
            (folder / name).unlink()
