"""``PYTHONPATH=operator:hack python -m generator``: called by ``make generate``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from generator.alert_table import with_table
from generator.crd import with_spec
from threshold_operator.cli.rendering import alert_files, differences, write
from threshold_operator.cli.sources import CHART_FILES
from threshold_operator.model.catalogue import Catalogue, CatalogueError
from threshold_operator.model.signal import NAMESPACE_TOKEN


def main(argv: Sequence[str] | None = None) -> None:
    """Write the files; exits with 1 where ``--check`` finds one that is stale."""
    arguments = _parser().parse_args(argv)
    try:
        stale = _stale(arguments)
    except CatalogueError as error:
        sys.exit(f"generator: {error}")
    if arguments.check and stale:
        sys.exit(f"generator: stale: {', '.join(stale)}; run `make generate`")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="generator", description="Files from the catalogue.")
    parser.add_argument("--catalogue", type=Path, default=CHART_FILES / "catalogue.yaml")
    parser.add_argument(
        "--namespace", default=NAMESPACE_TOKEN, help="default: the token that the chart fills in"
    )
    parser.add_argument("--output", type=Path, default=CHART_FILES / "rules", metavar="FOLDER")
    parser.add_argument(
        "--table",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="Markdown that holds the table of alerts between two markers; can be repeated",
    )
    parser.add_argument(
        "--crd", type=Path, action="append", default=[], metavar="FILE", help="the CRD's template"
    )
    parser.add_argument("--check", action="store_true", help="change nothing")
    return parser


def _stale(arguments: argparse.Namespace) -> list[str]:
    """Names of the files that were not as they should be; now they are, unless ``--check``."""
    catalogue = Catalogue.load(arguments.catalogue)
    rules = alert_files(catalogue, arguments.namespace)
    texts = {file: with_table(file, catalogue) for file in arguments.table}
    texts |= {file: with_spec(file) for file in arguments.crd}
    stale = differences(arguments.output, rules)
    stale += [str(file) for file, text in texts.items() if file.read_text() != text]
    if not arguments.check:
        write(arguments.output, rules)
        for file, text in texts.items():
            file.write_text(text)
    print(f"{len(rules)} rule files in {arguments.output}, {len(stale)} files changed")
    return stale


if __name__ == "__main__":
    main()
