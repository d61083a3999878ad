"""``threshold-operator``: the same rendering and decisions on files, or over a cluster."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from threshold_operator.catalogue import NAMESPACE_TOKEN, Catalogue, CatalogueError, kebab
from threshold_operator.changes import EVERYTHING, Change, World, changes, refusals
from threshold_operator.files import Checked, FileProblemError, load
from threshold_operator.index import with_table
from threshold_operator.model import AlertThreshold, Problem
from threshold_operator.output import Row, add_format, show
from threshold_operator.render import alert_group, rule_file, threshold_group
from threshold_operator.status import condition_of, rfc3339

CHART_FILES = Path("charts/stocks-fastapi/files")
GENERATED = "# Generated from catalogue.yaml by `threshold-operator generate`; edit that instead.\n"

#: Something was found that a pipeline should stop at; and: the command couldn't do its work.
FOUND, FAILED = 1, 2
EXIT_CODES = (
    "exit codes: 0, all is well; 1, {found}; 2, it couldn't be found out:"
    " wrong arguments, a file that can't be used, a cluster that doesn't answer"
)

if TYPE_CHECKING:
    Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(
    argv: Sequence[str] | None = None, commands: Iterable[Callable[[Commands], None]] = ()
) -> None:
    """Run one command; exits with its code, each problem on a line of its own.

    :param commands: add commands that need more than files.
    """
    arguments = _parser(commands).parse_args(argv)
    try:
        code = arguments.run(arguments)
    except (CatalogueError, FileProblemError, ClusterError) as error:
        print(f"threshold-operator {arguments.command}: {error}", file=sys.stderr)
        code = FAILED
    if code:
        sys.exit(code)


class ClusterError(Exception):
    """The cluster can't be asked."""


def _parser(more: Iterable[Callable[[Commands], None]]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="threshold-operator", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    _add_generate(_command(commands, "generate", "write the chart's rules from the catalogue"))
    _add_render(_command(commands, "render", "write rule files for a Prometheus of one machine"))
    _add_validate(_command(commands, "validate", "check AlertThreshold files"))
    _add_diff(_command(commands, "diff", "which numbers applying files would change"))
    _add_list(_command(commands, "list", "the AlertThresholds of a namespace, or of files"))
    for add in more:
        add(commands)
    return parser


_FOUND = {
    "generate": "--check found files that are stale",
    "render": "an object is invalid, and nothing was written",
    "validate": "an object is invalid",
    "diff": "something would change",
    "list": "an object in a file is invalid",
}


def _command(commands: Commands, name: str, text: str) -> argparse.ArgumentParser:
    epilog = EXIT_CODES.format(found=_FOUND[name])
    return commands.add_parser(name, help=text, description=text, epilog=epilog)


def _add_generate(parser: argparse.ArgumentParser) -> None:
    _add_catalogue(parser)
    parser.add_argument(
        "--namespace", default=NAMESPACE_TOKEN, help="default: the token that the chart fills in"
    )
    parser.add_argument("--output", type=Path, default=CHART_FILES / "rules", metavar="FOLDER")
    parser.add_argument(
        "--table",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="Markdown that holds the table of alerts between two markers; can be repeated",
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 if files are stale"
    )
    parser.set_defaults(run=_generate)


def _add_render(parser: argparse.ArgumentParser) -> None:
    _add_catalogue(parser)
    _add_files(parser, nargs="*")
    parser.add_argument("--namespace", required=True, help="label of the series the rules read")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    add_format(parser)
    parser.set_defaults(run=_render)


def _add_validate(parser: argparse.ArgumentParser) -> None:
    _add_catalogue(parser)
    _add_files(parser, nargs="+")
    parser.add_argument("--namespace", help="an object that names another one is a problem")
    add_format(parser)
    parser.set_defaults(run=_validate)


def _add_diff(parser: argparse.ArgumentParser) -> None:
    _add_catalogue(parser)
    _add_files(parser, nargs="+")
    parser.add_argument("--namespace", required=True, help="where the files would be applied")
    parser.add_argument(
        "--against",
        choices=("cluster", "defaults"),
        default="cluster",
        help="the namespace's objects as they are (the default), or the catalogue alone",
    )
    add_format(parser)
    parser.set_defaults(run=_diff)


def _add_list(parser: argparse.ArgumentParser) -> None:
    _add_catalogue(parser)
    _add_files(parser, nargs="*")
    parser.add_argument("--namespace", help="needed without files")
    add_format(parser)
    parser.set_defaults(run=_list)


def _add_catalogue(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--catalogue", type=Path, default=CHART_FILES / "catalogue.yaml", metavar="FILE"
    )


def _add_files(parser: argparse.ArgumentParser, nargs: str) -> None:
    parser.add_argument(
        "files", type=Path, nargs=nargs, metavar="FILE", help="AlertThreshold objects"
    )


def _generate(arguments: argparse.Namespace) -> int:
    catalogue = Catalogue.load(arguments.catalogue)
    wanted = _alert_files(catalogue, arguments.namespace)
    tables = {file: with_table(file, catalogue) for file in arguments.table}
    stale = _differences(arguments.output, wanted)
    stale += [str(file) for file, text in tables.items() if file.read_text() != text]
    if arguments.check and stale:
        text = f"stale: {', '.join(stale)}; run `make generate`"
        print(f"threshold-operator generate: {text}", file=sys.stderr)
        return FOUND
    _write(arguments.output, wanted)
    for file, text in tables.items():
        file.write_text(text)
    print(f"{len(wanted)} rule files in {arguments.output}, {len(stale)} files changed")
    return 0


def _render(arguments: argparse.Namespace) -> int:
    """The chart's rules and the objects' in one folder that holds nothing else."""
    catalogue = Catalogue.load(arguments.catalogue)
    checked = _judged(load(arguments.files, arguments.namespace, catalogue), catalogue)
    if _complain(arguments.command, checked):
        return FOUND
    wanted = _alert_files(catalogue, arguments.namespace)
    for threshold in _thresholds(checked):
        group = threshold_group(threshold, catalogue[threshold.spec.alert])
        if group["rules"]:
            wanted[f"threshold-{threshold.name}.yaml"] = rule_file([group])
    stale = set(_differences(arguments.output, wanted))
    _write(arguments.output, wanted)
    if arguments.format == "table":
        print(f"{len(wanted)} rule files in {arguments.output}, {len(stale)} changed")
    else:
        rows = [{"file": name, "changed": name in stale} for name in sorted(wanted)]
        show(rows, ("file", "changed"), arguments.format)
    return 0


def _validate(arguments: argparse.Namespace) -> int:
    catalogue = Catalogue.load(arguments.catalogue)
    checked = _judged(load(arguments.files, arguments.namespace, catalogue), catalogue)
    if arguments.format != "table":
        show([_verdict(each) for each in checked], (), arguments.format)
        return FOUND if any(each.problems for each in checked) else 0
    if _complain(arguments.command, checked):
        return FOUND
    print(f"{len(checked)} valid")
    return 0


def _diff(arguments: argparse.Namespace) -> int:
    catalogue, now = Catalogue.load(arguments.catalogue), datetime.now(UTC)
    checked = load(arguments.files, arguments.namespace, catalogue)
    if _complain(arguments.command, checked):
        return FAILED
    wanted = _thresholds(checked)
    world = World() if arguments.against == "defaults" else _cluster(arguments.namespace)
    refused = [*refusals(world, wanted), *_conflicts(world, wanted, catalogue, now)]
    if refused:
        lines = (f"{name}: {problem}" for name, problem in refused)
        raise FileProblemError("\n  ".join(["would be refused", *lines]))
    before = world.decisions(catalogue, now)
    after = world.applied(wanted, now).decisions(catalogue, now)
    rows = [_changed(change) for change in changes(before, after, catalogue, now)]
    show(rows, _CHANGE_COLUMNS, arguments.format, nothing="no number changes")
    return FOUND if rows else 0


def _list(arguments: argparse.Namespace) -> int:
    catalogue = Catalogue.load(arguments.catalogue)
    if arguments.files:
        checked = load(arguments.files, arguments.namespace, catalogue)
        if _complain(arguments.command, checked):
            return FOUND
        rows = [_row(threshold) for threshold in _thresholds(checked)]
    elif not arguments.namespace:
        raise FileProblemError("give --namespace, or files")
    else:
        rows = [_live_row(body) for body in _cluster(arguments.namespace).thresholds]
    rows.sort(key=lambda row: str(row["name"]))
    show(rows, _LIST_COLUMNS, arguments.format, nothing="no AlertThresholds")
    return 0


_CHANGE_COLUMNS = ("alert", "scope", "tier", "before", "by", "after", "until")
_LIST_COLUMNS = (
    *("name", "alert", "scope", "warning", "critical", "mode", "until"),
    *("accepted", "effective", "state"),
)


def _judged(checked: list[Checked], catalogue: Catalogue) -> list[Checked]:
    """Also against each other, as they would meet in a namespace that holds nothing else."""
    now = datetime.now(UTC)
    by_namespace: dict[str, list[AlertThreshold]] = {}
    for threshold in _thresholds(checked):
        by_namespace.setdefault(threshold.namespace, []).append(threshold)
    lost = {
        (namespace, name): problem
        for namespace, thresholds in by_namespace.items()
        for name, problem in _conflicts(World(), thresholds, catalogue, now)
    }
    return [_with_conflict(each, lost) for each in checked]


def _with_conflict(each: Checked, lost: dict[tuple[str, str], Problem]) -> Checked:
    problem = lost.get((each.threshold.namespace, each.name)) if each.threshold else None
    return replace(each, problems=(*each.problems, problem)) if problem else each


def _conflicts(
    world: World, wanted: list[AlertThreshold], catalogue: Catalogue, now: datetime
) -> Iterator[tuple[str, Problem]]:
    """Objects that wouldn't get their numbers: another one of the same scope is older."""
    decisions = world.applied(wanted, now).decisions(catalogue, now)
    for threshold in wanted:
        refusal = decisions[threshold.name].refusal
        if refusal is not None:
            yield threshold.name, Problem("spec", refusal.message)


def _thresholds(checked: Iterable[Checked]) -> list[AlertThreshold]:
    """The valid ones."""
    return [each.threshold for each in checked if each.threshold and not each.problems]


def _complain(command: str, checked: Iterable[Checked]) -> bool:
    """Whether there was something to complain of."""
    lines = [f"{each.file}: {problem}" for each in checked for problem in each.problems]
    if lines:
        print("\n  ".join([f"threshold-operator {command}:", *lines]), file=sys.stderr)
    return bool(lines)


def _cluster(namespace: str) -> World:
    # Half a second of imports that the other commands needn't wait for.
    from threshold_operator.kube import GoneError, Kube, KubeError

    async def ask() -> World:
        kube = await Kube.connect(namespace)
        try:
            thresholds = tuple(await kube.list_thresholds())
            try:
                return World(thresholds, tuple(await kube.list_rules()))
            except GoneError:  # no prometheus-operator
                return World(thresholds)
        finally:
            await kube.close()

    try:
        return asyncio.run(ask())
    except KubeError as error:
        raise ClusterError(str(error)) from error


def _verdict(each: Checked) -> Row:
    problems = [{"field": p.field, "message": p.message} for p in each.problems]
    return {
        "file": str(each.file),
        "name": each.name,
        "valid": not each.problems,
        "problems": problems,
    }


def _changed(change: Change) -> Row:
    return {
        "alert": change.alert,
        "scope": change.scope,
        "tier": str(change.severity),
        "before": change.before.value,
        "by": change.before.source,
        "after": change.after.value,
        "until": _time(change.after.expires),
    }


def _row(threshold: AlertThreshold) -> Row:
    spec = threshold.spec
    return {
        "name": threshold.name,
        "alert": spec.alert,
        "scope": threshold.scope,
        "warning": spec.warning.threshold if spec.warning else None,
        "critical": spec.critical.threshold if spec.critical else None,
        "mode": spec.mode,
        "until": _time(spec.expiresAt),
    }


def _live_row(body: Mapping[str, Any]) -> Row:
    """As written there, valid or not; what holds of it stands beside it."""
    spec, status = body.get("spec") or {}, body.get("status") or {}
    conditions = {kind: condition_of(status, kind) for kind in ("Accepted", "Effective")}
    return {
        "name": body["metadata"]["name"],
        "alert": spec.get("alert"),
        "scope": _scope(spec.get("match") or {}),
        **{tier: (spec.get(tier) or {}).get("threshold") for tier in ("warning", "critical")},
        "mode": spec.get("mode"),
        "until": spec.get("expiresAt"),
        **{kind.lower(): said.get("status") for kind, said in conditions.items()},
        **{f"{kind.lower()}_reason": said.get("reason") for kind, said in conditions.items()},
        "state": status.get("state"),
    }


def _scope(match: Mapping[str, str]) -> str:
    return ",".join(f"{label}={value}" for label, value in match.items()) or EVERYTHING


def _time(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment else None


def _alert_files(catalogue: Catalogue, namespace: str) -> dict[str, str]:
    """File name -> text, one file for each alert; those of a namespace are for one machine."""
    return {
        f"{kebab(entry.name)}.yaml": GENERATED + rule_file([alert_group(entry, namespace)])
        for entry in catalogue
        if namespace == NAMESPACE_TOKEN or entry.needs != "operator"  # none runs there
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
