"""A part of a file between two markers, which is written by code."""

from __future__ import annotations

import re
from pathlib import Path

from threshold_operator.model.catalogue import CatalogueError


def filled(file: Path, begin: str, end: str, section: str) -> str:
    """The text of a file with ``section`` between its markers.

    :raises CatalogueError: where the file can't be read, or hasn't each marker once.
    """
    try:
        text = file.read_text()
    except OSError as error:
        raise CatalogueError(f"{file}: {error}") from error
    between = re.compile(f"(?<={re.escape(begin)}).*(?={re.escape(end)})", re.DOTALL)
    done, count = between.subn(lambda _: section, text)
    if count != 1:
        raise CatalogueError(f"{file}: there must be one {begin.strip()} with its end")
    return done
