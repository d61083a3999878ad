"""``python -m monitoring.dashboards [--check]``, from the top of the checkout (`make generate`)."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from monitoring.dashboards.overview import overview

from threshold_operator.catalogue import Catalogue

CHART_FILES = Path("charts/stocks-fastapi/files")


def main() -> None:
    """Write the files, or with ``--check`` exit 1 where one is stale."""
    parser = argparse.ArgumentParser(prog="python -m monitoring.dashboards", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if stale")
    parser.add_argument("--output", type=Path, default=CHART_FILES / "dashboards", metavar="FOLDER")
    arguments = parser.parse_args()
    catalogue = Catalogue.load(CHART_FILES / "catalogue.yaml")
    wanted = {arguments.output / "stocks-overview.json": as_text(overview(catalogue))}
    stale = [path for path, text in wanted.items() if not current(path, text)]
    if arguments.check and stale:
        sys.exit(f"stale: {', '.join(map(str, stale))}; run `make generate`")
    for path in stale:
        path.write_text(wanted[path])
    print(f"{len(wanted)} dashboards in {arguments.output}, {len(stale)} changed")


def as_text(dashboard: dict[str, Any]) -> str:
    """JSON that diffs line by line."""
    return json.dumps(dashboard, indent=2) + "\n"


def current(path: Path, text: str) -> bool:
    """Whether the file holds just this."""
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    main()
