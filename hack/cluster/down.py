"""`make down`: the cluster goes, what was built stays for the next time."""

from __future__ import annotations

import shutil

from cluster import host
from cluster.kind import Target, delete
from cluster.kit import Kit
from cluster.steps import Progress
from cluster.tools import ensure_program


def down(progress: Progress, everything: bool) -> str:
    """Delete the cluster that `up` makes; with ``everything`` also stop the daemon we started."""
    said = []
    if shutil.which("docker") and host.docker_answers():
        gone = delete(Target(deleting_kit(progress)), progress)
        said.append("" if gone else "there is no cluster of ours")
    else:
        said.append("Docker does not run, so no cluster does")
    if everything and not host.stop_docker(progress):
        said.append("no Docker daemon of ours runs")
    return "\n".join(line for line in said if line)


def deleting_kit(progress: Progress) -> Kit:
    """Enough of a kit to delete with: nothing is built for that but kind."""
    kind = ensure_program("kind", progress)
    return Kit(kind, kubectl=kind, helm=kind, node_image="", public=False)
