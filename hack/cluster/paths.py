"""Where things lie: the repository, this folder, the user's cache."""

from __future__ import annotations

import os
from pathlib import Path

HACK = Path(__file__).resolve().parents[1]
REPO = HACK.parent
CHART = REPO / "charts" / "stocks-fastapi"
KIND_CONFIG = REPO / "kind-config.yaml"


def cache(*parts: str) -> Path:
    """A folder below the project's cache, made if it is not there."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home, "stocks-fastapi", *parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
