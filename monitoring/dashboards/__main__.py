"""``python -m monitoring.dashboards [--check]``, from the top of the checkout (`make generate`)."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from monitoring.dashboards import ALL
from monitoring.dashboards.board import Board

from threshold_operator.model.catalogue import Catalogue

CHART_FILES = Path("charts/stocks-fastapi/files")


def main() -> None:
    """Write the files and remove others, or with ``--check`` exit 1 where one is stale."""
    parser = argparse.ArgumentParser(prog="python -m monitoring.dashboards", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if stale")
    parser.add_argument("--output", type=Path, default=CHART_FILES / "dashboards", metavar="FOLDER")
    arguments = parser.parse_args()
    wanted = files(arguments.output)
    stale = sorted({*stale_files(wanted), *left_over(arguments.output, wanted)})
    if arguments.check and stale:
        sys.exit(f"stale: {', '.join(map(str, stale))}; run `make generate`")
    for path in stale:
        path.write_text(wanted[path]) if path in wanted else path.unlink()
    print(f"{len(wanted)} dashboards in {arguments.output}, {len(stale)} changed")


def files(folder: Path) -> dict[Path, str]:
    """Path -> text of every dashboard."""
    catalogue = Catalogue.load(CHART_FILES / "catalogue.yaml")
    boards = [make(catalogue) for make in ALL]
    return {folder / f"{board.uid}.json": as_text(board) for board in boards}


def as_text(board: Board) -> str:
    """JSON that diffs line by line."""
    return json.dumps(board.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def stale_files(wanted: dict[Path, str]) -> list[Path]:
    """Those that are missing or hold something else."""
    return [p for p, text in wanted.items() if not p.exists() or p.read_text() != text]


def left_over(folder: Path, wanted: dict[Path, str]) -> list[Path]:
    """Dashboards that nothing makes any more."""
    return [path for path in folder.glob("*.json") if path not in wanted]


if __name__ == "__main__":
    main()
