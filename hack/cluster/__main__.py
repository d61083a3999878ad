"""The command line: ``PYTHONPATH=hack python3 -m cluster up``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from cluster import host, images, tools
from cluster.deploy import PARTS, deploy
from cluster.down import down
from cluster.kind import CLUSTER, NAMESPACE, Target
from cluster.kit import TEST_PROGRAMS, Kit, ensure_kit
from cluster.locks import only_one
from cluster.paths import cache
from cluster.release import Release
from cluster.steps import ClusterError, Progress
from cluster.up import up


def main() -> int:
    """Run one command; 0 when it did all it says."""
    options = parser().parse_args()
    host.search_sbin()
    progress = Progress(cache("logs"))
    try:
        said = run(options, progress)
    except ClusterError as failed:
        hint = f"\n  what to do: {failed.hint}" if failed.hint else ""
        print(f"FAILED after {progress.seconds():.0f} s: {failed}{hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; run it again to go on from here", file=sys.stderr)
        return 130
    if said:
        print(said)
    return 0


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(prog="cluster", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("up", help="a cluster with everything in it; run again to repair")
    end = commands.add_parser("down", help="delete that cluster, and no other")
    end.add_argument("--all", action="store_true", help="also stop the Docker daemon we started")
    add_tools(commands.add_parser("tools", help="find or build all programs, no cluster"))
    built = commands.add_parser("images", help="build our three images")
    built.add_argument("--json", action="store_true", help="print their names as JSON")
    add_deploy(commands.add_parser("deploy", help="monitoring stack and chart into a kind cluster"))
    return top


def add_tools(command: argparse.ArgumentParser) -> None:
    """Options of ``tools``."""
    form = command.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print name and path as JSON")
    form.add_argument("--print-env", action="store_true", help="print shell lines to evaluate")


def add_deploy(command: argparse.ArgumentParser) -> None:
    """Options of ``deploy``."""
    command.add_argument("--kubeconfig", type=Path, help="default: the user's own")
    command.add_argument(
        "--kind-cluster", default=CLUSTER, metavar="NAME", help="default: %(default)s"
    )
    command.add_argument("--namespace", default=NAMESPACE, help="of the release (%(default)s)")
    command.add_argument("--release", default="stocks", help="its name (%(default)s)")
    command.add_argument(
        "--values", type=Path, action="append", default=[], help="more Helm values"
    )
    command.add_argument("--only", choices=PARTS, action="append", help="leave the others out")


def run(options: argparse.Namespace, progress: Progress) -> str:
    """Do what was asked; the text to print at the end."""
    if options.command == "up":
        return up(progress)
    if options.command == "down":
        return down(progress, options.all)
    if options.command == "tools":
        return show_tools(ensure_kit(progress, for_tests=True), options, progress)
    if options.command == "images":
        ours = images.ensure_app_images(ensure_kit(progress), progress)
        return json.dumps(ours, indent=2) if options.json else "\n".join(ours.values())
    return run_deploy(options, progress)


def run_deploy(options: argparse.Namespace, progress: Progress) -> str:
    """``deploy``, one at a time for each cluster."""
    target = Target(ensure_kit(progress), options.kind_cluster, options.kubeconfig)
    release = Release(options.release, options.namespace, tuple(options.values))
    with only_one(f"cluster-{target.name}", progress):
        deploy(target, release, progress, tuple(options.only or PARTS))
    return ""


def show_tools(kit: Kit, options: argparse.Namespace, progress: Progress) -> str:
    """The programs' paths and the node image: a table, JSON, or shell lines."""
    found = {"kind": kit.kind, "kubectl": kit.kubectl, "helm": kit.helm}
    found |= {name: tools.ensure_program(name, progress, kit.public) for name in TEST_PROGRAMS}
    known = {name: str(path) for name, path in found.items()} | {"node_image": kit.node_image}
    if options.json:
        return json.dumps(known, indent=2)
    if options.print_env:
        return "\n".join(f"export {name.upper()}={value}" for name, value in known.items())
    return "\n".join(f"{name:12}  {value}" for name, value in known.items())


if __name__ == "__main__":
    sys.exit(main())
