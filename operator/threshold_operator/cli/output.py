"""Rows for people (a table) and for programs (JSON, YAML)."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

FORMATS = ("table", "json", "yaml")
Row = Mapping[str, Any]

#: A pipe has no width: what is cut off there is lost.
_WIDTH_OF_A_PIPE = 10_000

_STYLES = {
    "True": "green",
    "valid": "green",
    "False": "red",
    "invalid": "red",
    "firing": "red",
    "Unknown": "yellow",
    "pending": "yellow",
}


def add_format(parser: argparse.ArgumentParser) -> None:
    """The option that every command with rows has."""
    parser.add_argument("-o", "--output-format", choices=FORMATS, default="table", dest="format")


def show(rows: Sequence[Row], columns: Sequence[str], form: str, nothing: str = "") -> None:
    """Print the rows: all they hold for programs, the columns for people.

    :param nothing: what a table without rows says instead.
    """
    if form == "json":
        print(json.dumps(rows, indent=2))
    elif form == "yaml":
        print(yaml.safe_dump(list(map(dict, rows)), sort_keys=False, allow_unicode=True), end="")
    elif rows:
        _print_table(rows, columns)
    elif nothing:
        print(nothing)


def _print_table(rows: Sequence[Row], columns: Sequence[str]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        # A name that is cut short is nobody's name.
        table.add_column(column.upper(), no_wrap=column != "problem", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    # Colours on a terminal only, and none where NO_COLOR is set: rich sees to both.
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE)
    console.print(table, crop=False)


def _cell(value: Any) -> Text:
    """Never markup, never an escape sequence: some of it comes from other people's objects."""
    if isinstance(value, float):
        text = repr(int(value)) if value.is_integer() else repr(value)
    else:
        text = "" if value is None else str(value)
    shown = text if text.isprintable() else repr(text)[1:-1]
    return Text(shown, style=_STYLES.get(text, ""))
