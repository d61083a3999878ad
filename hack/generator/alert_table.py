"""The table of all alerts for people, in Markdown: what each watches, its defaults, its runbook."""

from __future__ import annotations

import os
from pathlib import Path

from generator.section import filled
from threshold_operator.model.catalogue import Catalogue, Entry
from threshold_operator.model.threshold import Severity

RUNBOOKS = Path("docs/runbooks")
BEGIN, END = "<!-- alerts: written by `make generate` -->\n", "<!-- end of alerts -->\n"

_COLUMNS = ("alert", "fires when", "warning", "critical", "scope", "without series")
_HEAD = f"| {' | '.join(_COLUMNS)} |\n{'|---' * len(_COLUMNS)}|\n"


def with_table(file: Path, catalogue: Catalogue) -> str:
    """The text of a file with the table of today between its two markers.

    :raises CatalogueError: where the file can't be read, or has no markers.
    """
    runbooks = os.path.relpath(RUNBOOKS, file.parent)
    rows = "".join(_row(entry, runbooks) for entry in catalogue)
    return filled(file, BEGIN, END, f"\n{_HEAD}{rows}\n")


def _row(entry: Entry, runbooks: str) -> str:
    link = f"[{entry.name}]({runbooks}/{entry.name}.md)".replace("(./", "(")
    tiers = (_tier(entry, severity) for severity in Severity)
    absent = {"firing": "fires", "silent": "silent"}.get(entry.absent.means, entry.absent.by or "")
    return f"| {' | '.join([link, entry.summary, *tiers, entry.scope or '', absent])} |\n"


def _tier(entry: Entry, severity: Severity) -> str:
    default = entry.default(severity)
    if default is None:
        return "-"
    return f"{entry.comparator} {_quantity(default, entry.unit)} for {entry.tiers[severity].for_}"


def _quantity(value: float, unit: str) -> str:
    if unit == "ratio":
        return f"{100 * value:g} %"
    return f"{value:g}" + {"seconds": " s", "per_minute": " a minute"}.get(unit, "")
