"""What a cluster is made and driven with: built here, or taken from public places."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cluster import docker, host, nodeimage, tools
from cluster.locks import only_one
from cluster.paths import cache
from cluster.steps import ClusterError, Progress

# The image that kind 0.33.0's release notes name for Kubernetes 1.34; tags alone get moved.
PUBLIC_NODE = (
    "kindest/node:v1.34.11@sha256:44e222ee2132dab25ff87301682f89eb82c7880ea3a1bf543bfe9708fd08d67d"
)
PUBLIC_PYTHON = "python:3.11-slim-bookworm"
PYTHON_PACKAGES = "ca-certificates python3 python3-venv tzdata"
# Small, and of the same registry as the two above: does it answer at all?
PROBE_IMAGE = "hello-world"
PROBE_SECONDS = 20
HOST_PROGRAMS = {"debootstrap": "debootstrap"}
TEST_PROGRAMS = ("promtool", "prometheus", "alertmanager")


@dataclass(frozen=True)
class Kit:
    """The programs and images in use on this machine."""

    kind: Path
    kubectl: Path
    helm: Path
    node_image: str
    public: bool
    """Whether images come from public registries."""


def choose_source(progress: Progress) -> bool:
    """Whether public images can be pulled: STOCKS_IMAGES=public|built says so, or one short try.

    The answer is kept in the cache (``images-source``): an unreachable registry costs seconds.
    """
    asked = os.environ.get("STOCKS_IMAGES", "")
    if asked not in {"", "public", "built"}:
        raise ClusterError(
            f"STOCKS_IMAGES={asked}", "use STOCKS_IMAGES=public or STOCKS_IMAGES=built"
        )
    kept = cache() / "images-source"
    if not asked and kept.exists():
        asked = kept.read_text().strip()
    if not asked:
        asked = "public" if registry_answers() else "built"
        kept.write_text(asked)
        progress.say(f"  ok  images: {asked} (STOCKS_IMAGES=public or =built overrides)")
    return asked == "public"


def registry_answers() -> bool:
    """Whether a tiny public image can be pulled within a short time."""
    pull = ["docker", "pull", "--quiet", PROBE_IMAGE]
    try:
        tried = subprocess.run(pull, capture_output=True, check=False, timeout=PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return tried.returncode == 0


def ensure_kit(progress: Progress, for_tests: bool = False) -> Kit:
    """Everything needed before there is a cluster; built, pulled or found."""
    with only_one("build", progress):
        host.ensure_docker(progress)
        public = choose_source(progress)
        if not public:
            build_all(progress)
        names = (*TEST_PROGRAMS,) if for_tests else ()
        for name in names:
            tools.ensure_program(name, progress, public)
        kit = assemble(progress, public)
        tools.offer(("kind", "kubectl", "helm"))
        return kit


def assemble(progress: Progress, public: bool) -> Kit:
    """The kit, of parts that are mostly there by now."""
    kind, kubectl, helm = (
        tools.ensure_program(name, progress, public) for name in ("kind", "kubectl", "helm")
    )
    node = PUBLIC_NODE if public else nodeimage.ensure_node_image(progress)
    return Kit(kind, kubectl, helm, node, public)


def build_all(progress: Progress) -> None:
    """All that is built without public images; Go compiles while debootstrap waits on the disk."""
    node_done = docker.has_image(nodeimage.tag())
    if not node_done:
        host.ensure_programs(progress, HOST_PROGRAMS)
        progress.side_by_side(
            lambda: tools.ensure_all_built(tools.NODE_BUILDS, progress),
            lambda: ensure_debians(progress),
        )
    progress.side_by_side(
        lambda: tools.ensure_all_built(
            (tools.KIND, tools.HELM, *tools.MONITORING_BUILDS), progress
        ),
        lambda: ensure_images(progress),
    )


def ensure_debians(progress: Progress) -> None:
    """Both Debians: the node's, and the one our Python images stand on."""
    nodeimage.ensure_node_rootfs(progress)
    ensure_python(progress)


def ensure_images(progress: Progress) -> None:
    """The node image, and the Python base if that is all that is missing."""
    nodeimage.ensure_node_image(progress)
    ensure_python(progress)


def ensure_python(progress: Progress) -> str:
    """An image with Python 3.11, venv and pip, standing in for the published one."""
    return docker.ensure_rootfs("python", PYTHON_PACKAGES, progress)


def python_image(progress: Progress, public: bool) -> str:
    """The image our own images are built on."""
    return PUBLIC_PYTHON if public else ensure_python(progress)
