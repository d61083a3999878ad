"""The default rendering, object by object, as a person can review it.

``UPDATE_GOLDEN=1 pytest tests/unit/chart`` writes ``golden/`` anew. Left out, since other tests
look at them: the random key, and the bodies of the rules, the dashboards, the catalogue, the CRD.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.chart.conftest import Helm

GOLDEN = Path(__file__).parent / "golden"
SOURCE = re.compile(r"^# Source: stocks-fastapi/templates/(\S+)$", re.MULTILINE)
CHECKSUM = re.compile(r"(checksum/\w+): [0-9a-f]{64}")


@pytest.fixture(scope="session")
def rendered(helm: Helm) -> dict[str, str]:
    """Template file -> what it makes."""
    _, *parts = SOURCE.split(helm.template().stdout)
    made: dict[str, list[str]] = {}
    for source, body in zip(parts[::2], parts[1::2], strict=True):
        made.setdefault(source, []).append(
            as_text(yaml.safe_load(body.strip().removesuffix("---")))
        )
    return {source: "---\n".join(texts) for source, texts in made.items()}


def test_the_default_rendering_is_the_reviewed_one(rendered: dict[str, str]) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        update(rendered)
    reviewed = {str(path.relative_to(GOLDEN)): path.read_text() for path in GOLDEN.rglob("*.yaml")}
    assert rendered == reviewed, "review the difference, then run with UPDATE_GOLDEN=1"


def update(rendered: dict[str, str]) -> None:
    for path in GOLDEN.rglob("*.yaml"):
        path.unlink()
    for source, text in rendered.items():
        (GOLDEN / source).parent.mkdir(parents=True, exist_ok=True)
        (GOLDEN / source).write_text(text)


def as_text(manifest: dict[str, Any]) -> str:
    kind = manifest["kind"]
    if kind in ("Secret", "ConfigMap"):
        for part in {"data", "stringData"} & manifest.keys():
            manifest[part] = dict.fromkeys(manifest[part], "...")
    if kind == "PrometheusRule":
        manifest["spec"]["groups"] = [group["name"] for group in manifest["spec"]["groups"]]
    if kind == "CustomResourceDefinition":
        manifest["spec"]["versions"] = [version["name"] for version in manifest["spec"]["versions"]]
    text: str = yaml.safe_dump(manifest, sort_keys=False, width=100)
    return CHECKSUM.sub(r"\1: ...", text)
