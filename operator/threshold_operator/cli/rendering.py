"""A folder of rule files, for a Prometheus of one machine and for the chart."""

from __future__ import annotations

from pathlib import Path

from threshold_operator.model.catalogue import Catalogue, kebab
from threshold_operator.model.signal import NAMESPACE_TOKEN
from threshold_operator.promql.rules import alert_group
from threshold_operator.promql.text import rule_file

GENERATED = "# Generated from catalogue.yaml by `make generate`; edit that instead.\n"


def alert_files(catalogue: Catalogue, namespace: str) -> dict[str, str]:
    """File name -> text, one file for each alert; those of a namespace are for one machine."""
    return {
        f"{kebab(entry.name)}.yaml": GENERATED + rule_file([alert_group(entry, namespace)])
        for entry in catalogue
        if namespace == NAMESPACE_TOKEN or entry.needs != "operator"  # none runs there
    }


def differences(folder: Path, wanted: dict[str, str]) -> list[str]:
    """Names of the files that aren't as wanted, or are there and shouldn't be."""
    there = {path.name: path.read_text() for path in folder.glob("*.yaml")}
    return sorted(name for name in there | wanted if there.get(name) != wanted.get(name))


def write(folder: Path, wanted: dict[str, str]) -> None:
    """Make the folder hold exactly these files; one that is right already is left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in differences(folder, wanted):
        if name in wanted:
            (folder / name).write_text(wanted[name])
        else:
            (folder / name).unlink()
