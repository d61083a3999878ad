"""The kill switch as a file: written whole, readable by people, thrown by `touch`."""

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from stocks_api.services.kill_switch import Stop

_LONGEST = 4096  # bytes; the rest of a larger file says nothing
_BY_HAND = "whoever made the file"


class KillSwitchFile:
    """Its existence counts, whatever is in it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self) -> Stop | None:
        """None while there is no file. Raises OSError."""
        return await asyncio.to_thread(self._read)

    async def write(self, stop: Stop) -> None:
        """Survives a power cut once this returns. Raises OSError."""
        await asyncio.to_thread(self._write, stop)

    async def remove(self) -> None:
        """It may be gone already. Raises OSError."""
        await asyncio.to_thread(self._remove)

    def _read(self) -> Stop | None:
        try:
            with self._path.open("rb") as file:
                content, made = file.read(_LONGEST), os.fstat(file.fileno()).st_mtime
        except FileNotFoundError:
            return None
        at = datetime.fromtimestamp(made, UTC)
        return _parse(content) or Stop(_BY_HAND, f"the file {self._path.name} is there", at)

    def _write(self, stop: Stop) -> None:
        entry = {"by": stop.by, "reason": stop.reason, "at": stop.at.isoformat()}
        new = self._path.with_name(f".{self._path.name}.new")
        with new.open("w", encoding="utf-8") as file:
            json.dump(entry, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
        _sync_folder(self._path.parent)

    def _remove(self) -> None:
        self._path.unlink(missing_ok=True)
        _sync_folder(self._path.parent)


def _parse(content: bytes) -> Stop | None:
    try:
        entry = json.loads(content)
        at = datetime.fromisoformat(entry["at"])
        return Stop(str(entry["by"]), str(entry["reason"]), at)
    except (ValueError, TypeError, KeyError):
        return None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
