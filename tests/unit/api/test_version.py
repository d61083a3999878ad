"""The version is written down twice; the image has no package metadata to read it from."""

from __future__ import annotations

import tomllib
from pathlib import Path

import stocks_api


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert stocks_api.__version__ == project["project"]["version"]
