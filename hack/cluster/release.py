"""Our chart, installed with the images built here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from cluster.kind import NAMESPACE, Target
from cluster.paths import CHART, HACK
from cluster.steps import CommandError, Progress, Step

VALUES = HACK / "values-kind.yaml"
TIMEOUT = "5m"


@dataclass(frozen=True)
class Release:
    """A Helm release of our chart."""

    name: str = "stocks"
    namespace: str = NAMESPACE
    values: tuple[Path, ...] = ()


def chart_exists() -> bool:
    """Whether there is a chart to install."""
    return (CHART / "Chart.yaml").exists()


def install(target: Target, release: Release, images: dict[str, str], progress: Progress) -> None:
    """``helm upgrade --install``, and wait until its pods are Ready."""
    with progress.step(f"chart {CHART.name} as release {release.name}") as step:
        unblock(target, release, step)
        try:
            step.run(*target.helm(*upgrade(release, images)))
        except CommandError:
            explain(target, release, step)
            raise


def unblock(target: Target, release: Release, step: Step) -> None:
    """Undo what an interrupted Helm left half done, else it refuses every further upgrade."""
    inside = ("--namespace", release.namespace)
    pending = step.output(*target.helm("list", "--pending", "--short", *inside)).split()
    if release.name not in pending:
        return
    history = step.output(*target.helm("history", release.name, "--output", "json", *inside))
    if len(json.loads(history)) > 1:
        step.run(*target.helm("rollback", release.name, *inside))
    else:
        step.run(*target.helm("uninstall", release.name, *inside))


def upgrade(release: Release, images: dict[str, str]) -> list[str]:
    """The arguments of ``helm`` that install the release or bring it up to date."""
    where = ["--namespace", release.namespace, "--create-namespace"]
    files = [word for path in (VALUES, *release.values) for word in ("--values", str(path))]
    tags = [word for name, image in images.items() for word in ("--set", image_value(name, image))]
    wait = ["--wait", "--timeout", TIMEOUT]
    return ["upgrade", "--install", release.name, str(CHART), *where, *files, *tags, *wait]


def image_value(name: str, image: str) -> str:
    """The chart values of one image: ``api.image.repository=...,api.image.tag=...``."""
    repository, tag = image.rsplit(":", 1)
    return f"{name}.image.repository={repository},{name}.image.tag={tag}"


def explain(target: Target, release: Release, step: Step) -> None:
    """Put into the log what Helm does not say: which pods are not Ready, and why."""
    inside = ("--namespace", release.namespace)
    for question in (("get", "pods"), ("get", "events", "--sort-by=.lastTimestamp")):
        step.run(*target.kubectl(*question, *inside))
