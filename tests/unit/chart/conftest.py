"""The chart through the real ``helm``: what these tests see is what a cluster gets."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.paths import cache

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "stocks-fastapi"

#: What a helm without a cluster takes the cluster for; one built without linker flags says v1.20.
KUBE_VERSION = "1.34.0"

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Helm:
    """Renders a chart with ``--set`` arguments, or those of ``how``."""

    program: str
    chart: Path = CHART

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.program, *arguments], capture_output=True, text=True)

    def template(
        self,
        *settings: str,
        release: str = "stocks",
        namespace: str = "stocks",
        how: str = "--set",
    ) -> subprocess.CompletedProcess[str]:
        where = ["--namespace", namespace, "--kube-version", KUBE_VERSION]
        sets = [part for setting in settings for part in (how, setting)]
        return self.run("template", release, str(self.chart), *where, *sets)

    def render(self, *settings: str, **options: str) -> list[Manifest]:
        done = self.template(*settings, **options)
        assert done.returncode == 0, done.stderr
        return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]

    def refusal(self, *settings: str, **options: str) -> str:
        done = self.template(*settings, **options)
        assert done.returncode != 0, f"accepted: {settings}"
        return done.stderr


@pytest.fixture(scope="session")
def helm() -> Helm:
    found = shutil.which("helm", path=_search_path())
    assert found, "helm is missing: `PYTHONPATH=hack python3 -m cluster tools` finds or builds it"
    return Helm(found)


@pytest.fixture(scope="session")
def promtool() -> str:
    found = shutil.which("promtool", path=_search_path())
    assert found, (
        "promtool is missing: `PYTHONPATH=hack python3 -m cluster tools` finds or builds it"
    )
    return found


@pytest.fixture(scope="session")
def default(helm: Helm) -> list[Manifest]:
    """The default rendering of release ``stocks``."""
    return helm.render()


@pytest.fixture(scope="session")
def find(default: list[Manifest]) -> Callable[[str, str], Manifest]:
    """An object of the default rendering."""
    return lambda kind, name: only(default, kind, name)


def only(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    found = [m for m in manifests if (m["kind"], m["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1, f"{len(found)} of {kind}/{name} in {names(manifests)}"
    return found[0]


def names(manifests: list[Manifest]) -> set[str]:
    """``Kind/name`` of each object."""
    return {f"{m['kind']}/{m['metadata']['name']}" for m in manifests}


def pod_specs(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The pod specification of everything that runs."""
    pods = {m["metadata"]["name"]: m["spec"] for m in manifests if m["kind"] == "Pod"}
    templates = (m for m in manifests if "template" in m.get("spec", {}))
    return pods | {m["metadata"]["name"]: m["spec"]["template"]["spec"] for m in templates}


def _search_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), str(cache("bin"))])
