"""promtool, which runs every test here."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture(scope="session")
def promtool() -> str:
    found = shutil.which("promtool")
    assert found, "promtool is missing: `make rules` installs it (Debian package prometheus)"
    return found
