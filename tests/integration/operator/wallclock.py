"""The wall clock of one process, set by a test: Debian's libfaketime."""

from __future__ import annotations

from pathlib import Path


class WallClock:
    """Right until it is set; what counts seconds is left alone, as it is when a clock is set."""

    def __init__(self, folder: Path) -> None:
        self._library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
        assert self._library, "libfaketime is missing: `make integration` installs it"
        self._file = folder / "wall-clock"
        self.jump("+0")

    def jump(self, offset: str) -> None:
        """From the true time, such as ``+2h``."""
        written = self._file.with_suffix(".new")
        written.write_text(offset)
        written.rename(self._file)

    @property
    def environment(self) -> dict[str, str]:
        """Of the process that shall believe it."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
