"""The dashboards at ``/dash`` in the cluster, where the monitoring stack has no Grafana."""

from __future__ import annotations

import json
from pathlib import Path
from string import Template

from cluster import monitoring
from cluster.digest import digest
from cluster.kind import Target
from cluster.paths import CHART, REPO
from cluster.steps import Progress, Step

NAME = "stocks-dash"
MANIFEST = monitoring.HERE / "dash.yaml"
PATTERNS = ((REPO / "monitoring", "dash/*.py"), (REPO / "monitoring", "dash/page/**/*.*"))


def install(target: Target, image: str, progress: Progress) -> None:
    """Install or update the page, and wait until it serves. ``image``: the operator's."""
    with progress.step("dashboards at /dash") as step:
        monitoring.apply(target, step, config_map())
        monitoring.apply(target, step, manifest(image))
        wait_served(target, step)


def files() -> dict[str, Path]:
    """The page, its server and the dashboards: path below the volume -> file."""
    found = [path for folder, pattern in PATTERNS for path in sorted(folder.glob(pattern))]
    found += sorted((CHART / "files" / "dashboards").glob("*.json"))
    return {str(path.relative_to(REPO)): path for path in found}


def config_map() -> str:
    """All files in one object; a key can't hold a slash."""
    data = {key(name): path.read_text() for name, path in files().items()}
    where = {"name": NAME, "namespace": monitoring.NAMESPACE}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": where, "data": data})


def manifest(image: str) -> str:
    """Deployment and Service, with the paths of the files; other files make another pod."""
    items = json.dumps([{"key": key(name), "path": name} for name in files()])
    content = digest([config_map()])
    return Template(MANIFEST.read_text()).substitute(image=image, items=items, digest=content)


def key(name: str) -> str:
    """``page/main.js`` -> ``page.main.js``."""
    return name.replace("/", ".")


def wait_served(target: Target, step: Step) -> None:
    """Until its pod is Ready."""
    inside = ("--namespace", monitoring.NAMESPACE, f"--timeout={monitoring.TIMEOUT}")
    step.run(*target.kubectl("rollout", "status", f"deployment/{NAME}", *inside))
