"""Names from contents: nothing is rebuilt or reloaded while what it is made of stays the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

LEFT_OUT = {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"}


def files_in(path: Path) -> list[Path]:
    """The files below a path (or the file itself), sorted, without caches and bytecode."""
    if path.is_file():
        return [path]
    found = (p for p in path.rglob("*") if p.is_file() and not LEFT_OUT & set(p.parts))
    return sorted(p for p in found if p.suffix != ".pyc")


def digest(parts: Iterable[str | Path], length: int = 12) -> str:
    """Hex digest over texts and files; of a file its name below the part, its mode and contents."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            total.update(f"text {part}\0".encode())
            continue
        for file in files_in(part):
            name = file.relative_to(part.parent).as_posix()
            executable = bool(file.stat().st_mode & 0o100)
            inner = hashlib.sha256(file.read_bytes()).hexdigest()
            total.update(f"file {name} {executable} {inner}\0".encode())
    return total.hexdigest()[:length]
