"""The files of the chart are what the code makes, no more and no less."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.dashboards import FILES, ROOT


def generate(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "monitoring.dashboards", *options]
    environment = os.environ | {"PYTHONPATH": "operator"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_the_dashboards_are_current() -> None:
    done = generate("--check")
    assert done.returncode == 0, done.stderr


def test_stale_and_left_over_files_are_named_then_mended(tmp_path: Path) -> None:
    for path in FILES:
        shutil.copy(path, tmp_path)
    (tmp_path / FILES[0].name).write_text("{}\n")
    (tmp_path / "stocks-overview.json").write_text("{}\n")
    done = generate("--check", "--output", str(tmp_path))
    assert done.returncode == 1
    assert f"{FILES[0].name}, {tmp_path}/stocks-overview.json; run `make generate`" in done.stderr
    assert generate("--output", str(tmp_path)).returncode == 0
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {
        p.name: p.read_text() for p in FILES
    }
