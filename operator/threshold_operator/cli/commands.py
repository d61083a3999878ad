"""``threshold-operator``: the same rendering and decisions on files, or over a cluster."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from threshold_operator.cli.changes import Change, World, changes, refusals
from threshold_operator.cli.files import Checked, FileProblemError, load
from threshold_operator.cli.output import Row, add_format, show
from threshold_operator.cli.preview import add_preview
from threshold_operator.cli.rendering import alert_files, differences, write
from threshold_operator.cli.sources import (
    FAILED,
    FOUND,
    ClusterError,
    Commands,
    accepted,
    add_against,
    add_catalogue,
    add_command,
    add_files,
    cluster,
    complain,
    in_cluster,
    usable,
    valid,
    warn,
)
from threshold_operator.model.catalogue import Catalogue, CatalogueError
from threshold_operator.model.condition import condition_of
from threshold_operator.model.threshold import WIDE, AlertThreshold, Problem
from threshold_operator.model.times import rfc3339
from threshold_operator.promql.rules import threshold_group
from threshold_operator.promql.text import rule_file


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


def _parser(more: Iterable[Callable[[Commands], None]]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="threshold-operator", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    _add_render(commands)
    _add_validate(commands)
    _add_diff(commands)
    add_preview(commands)
    _add_list(commands)
    for add in more:
        add(commands)
    return parser


def _add_render(commands: Commands) -> None:
    text, found = (
        "write rule files for a Prometheus of one machine",
        "an object is invalid, and nothing was written",
    )
    parser = add_command(commands, "render", text, found)
    add_catalogue(parser)
    add_files(parser, nargs="*", without="the chart's rules alone")
    parser.add_argument(
        "--cluster", action="store_true", help="the objects of the namespace instead of files"
    )
    parser.add_argument("--namespace", required=True, help="label of the series the rules read")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    add_format(parser)
    parser.set_defaults(run=_render)


def _add_validate(commands: Commands) -> None:
    text, found = "check AlertThresholds", "an object is invalid"
    parser = add_command(commands, "validate", text, found)
    add_catalogue(parser)
    add_files(parser, nargs="*", without="those of the namespace in the cluster")
    parser.add_argument(
        "--namespace", help="needed without files; an object that names another is a problem"
    )
    add_format(parser)
    parser.set_defaults(run=_validate)


def _add_diff(commands: Commands) -> None:
    text, found = "which numbers applying files would change", "something would change"
    parser = add_command(commands, "diff", text, found)
    add_catalogue(parser)
    add_files(parser, nargs="+")
    parser.add_argument("--namespace", required=True, help="where the files would be applied")
    add_against(parser, default="cluster")
    add_format(parser)
    parser.set_defaults(run=_diff)


def _add_list(commands: Commands) -> None:
    text, found = (
        "the AlertThresholds of a namespace, or of files",
        "an object in a file is invalid",
    )
    parser = add_command(commands, "list", text, found)
    add_catalogue(parser)
    add_files(parser, nargs="*", without="those of the namespace in the cluster")
    parser.add_argument("--namespace", help="needed without files")
    add_format(parser)
    parser.set_defaults(run=_list)


def _render(arguments: argparse.Namespace) -> int:
    """The chart's rules and the objects' in one folder that holds nothing else."""
    catalogue = Catalogue.load(arguments.catalogue)
    if arguments.cluster and arguments.files:
        raise FileProblemError("give files or --cluster, not both")
    if arguments.cluster:
        rendered = accepted(arguments.namespace, catalogue, datetime.now(UTC))
    else:
        checked = _judged(load(arguments.files, arguments.namespace, catalogue), catalogue)
        if complain(arguments.command, checked):
            return FOUND
        rendered = valid(checked)
    wanted = alert_files(catalogue, arguments.namespace)
    for threshold in rendered:
        group = threshold_group(threshold, catalogue[threshold.spec.alert])
        if group["rules"]:
            wanted[f"threshold-{threshold.name}.yaml"] = rule_file([group])
    stale = set(differences(arguments.output, wanted))
    write(arguments.output, wanted)
    if arguments.format == "table":
        print(f"{len(wanted)} rule files in {arguments.output}, {len(stale)} changed")
    else:
        rows = [{"file": name, "changed": name in stale} for name in sorted(wanted)]
        show(rows, ("file", "changed"), arguments.format)
    return 0


def _validate(arguments: argparse.Namespace) -> int:
    catalogue = Catalogue.load(arguments.catalogue)
    if arguments.files:
        checked = _judged(load(arguments.files, arguments.namespace, catalogue), catalogue)
    else:
        checked = in_cluster(arguments.namespace, catalogue, datetime.now(UTC))
    if arguments.format != "table":
        show([_verdict(each) for each in checked], (), arguments.format)
        return FOUND if any(each.problems for each in checked) else 0
    if complain(arguments.command, checked):
        return FOUND
    warn(arguments.command, checked, catalogue, datetime.now(UTC))
    print(f"{len(checked)} valid")
    return 0


def _diff(arguments: argparse.Namespace) -> int:
    catalogue, now = Catalogue.load(arguments.catalogue), datetime.now(UTC)
    wanted = usable(arguments, catalogue)
    world = World() if arguments.against == "defaults" else cluster(arguments.namespace)
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
        if complain(arguments.command, checked):
            return FOUND
        rows = [_row(threshold) for threshold in valid(checked)]
    else:
        rows = [_live_row(body) for body in cluster(arguments.namespace).thresholds]
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
    for threshold in valid(checked):
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
    return ",".join(f"{label}={value}" for label, value in match.items()) or WIDE


def _time(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment else None
