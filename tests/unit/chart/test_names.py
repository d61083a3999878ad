"""Names of releases and namespaces that YAML would read as something else."""

from __future__ import annotations

import json

import pytest
from tests.unit.chart.conftest import Helm, Manifest

NUMBERS = ("4444412", "0123", "1e3", "on", "null", "yes")


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("what", ["release", "namespace"])
def test_row_i_a_name_stays_a_string(helm: Helm, name: str, what: str) -> None:
    plain, odd = (objects(helm.render(**{what: each})) for each in ("stand-in", name))
    wrong = [
        where for where, value in odd.items() if value != plain[where].replace("stand-in", name)
    ]
    assert wrong == []


def objects(manifests: list[Manifest]) -> dict[str, str]:
    """Each object as JSON, in the order of the chart; without what is random or a digest."""
    for manifest in manifests:
        annotations = manifest.get("spec", {}).get("template", {}).get("metadata", {})
        annotations.pop("annotations", None)
    return {
        f"{index} {manifest['kind']}": json.dumps(manifest, sort_keys=True)
        for index, manifest in enumerate(manifests)
        if manifest["kind"] not in ("Secret", "CustomResourceDefinition")
    }
