"""What we ask of Docker: is there an image, build one, and a Debian to build it from."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cluster.digest import digest
from cluster.paths import cache
from cluster.steps import Progress, Step

DEBIAN = "bookworm"
PREFIX = "stocks-fastapi"
# Debian's Docker has no buildx; the old builder is everywhere, and our Dockerfiles need no other.
OLD_BUILDER = {"DOCKER_BUILDKIT": "0"}


def has_image(tag: str) -> bool:
    """Whether the daemon has an image of this name."""
    command = ["docker", "image", "inspect", tag]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def context(files: Mapping[str, Path]) -> Iterator[Path]:
    """A build context: a folder holding these files and folders (name there: where it is now)."""
    with tempfile.TemporaryDirectory(dir=cache(), prefix="context-") as folder:
        for name, source in files.items():
            place = Path(folder, name)
            place.parent.mkdir(parents=True, exist_ok=True)
            copy(source, place)
        yield Path(folder)


def copy(source: Path, place: Path) -> None:
    """Copy a file or a folder, without caches and bytecode."""
    if source.is_dir():
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        shutil.copytree(source, place, symlinks=True, ignore=ignored, dirs_exist_ok=True)
    else:
        shutil.copy(source.resolve(), place)


def build(
    step: Step, tag: str, files: Mapping[str, Path], arguments: Mapping[str, str] | None = None
) -> None:
    """``docker build`` in a context of these files, one of which is the Dockerfile."""
    options = [f"--build-arg={name}={value}" for name, value in (arguments or {}).items()]
    with context(files) as folder:
        step.run("docker", "build", "--tag", tag, *options, folder, env=OLD_BUILDER)


def build_scratch(
    step: Step, tag: str, programs: list[Path], where: str = "/usr/local/bin"
) -> None:
    """An image that holds nothing but these static programs and starts the first."""
    lines = [
        "FROM scratch",
        f"COPY {' '.join(p.name for p in programs)} {where}/",
        f"ENV PATH={where}",
        f'ENTRYPOINT ["{where}/{programs[0].name}"]',
    ]
    with context({p.name: p for p in programs}) as folder:
        (folder / "Dockerfile").write_text("\n".join(lines) + "\n")
        step.run("docker", "build", "--tag", tag, folder, env=OLD_BUILDER)


def rootfs_tag(name: str, packages: str) -> str:
    """The image of a Debian with these packages."""
    return f"{PREFIX}/{name}:{DEBIAN}-{digest([packages])}"


def ensure_rootfs(name: str, packages: str, progress: Progress) -> str:
    """A minimal Debian with some packages (separated by blanks) as a Docker image; its tag.

    It is kept as a file too: debootstrap takes minutes, and Docker's storage is often thrown away.
    """
    tag = rootfs_tag(name, packages)
    if has_image(tag):
        return tag
    archive = cache("rootfs") / f"{tag.split('/')[-1].replace(':', '-')}.tar"
    with progress.step(f"Debian {DEBIAN} for {name}") as step:
        if not archive.exists():
            make_rootfs(step, archive, packages)
        step.run("docker", "import", archive, tag)
    return tag


def make_rootfs(step: Step, archive: Path, packages: str) -> None:
    """debootstrap into a tar archive, which gets its name when complete."""
    folder = Path(tempfile.mkdtemp(dir=cache(), prefix="rootfs-"))
    fresh = archive.with_suffix(".new")
    try:
        options = ("--variant=minbase", f"--include={','.join(packages.split())}")
        step.run("debootstrap", *options, DEBIAN, folder)
        strip(folder)
        step.run("tar", "--directory", folder, "--create", "--file", fresh, ".")
        fresh.rename(archive)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def strip(folder: Path) -> None:
    """Take out of a Debian what a container has no use for."""
    for unused in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man"):
        shutil.rmtree(folder / unused, ignore_errors=True)
    (folder / "var/cache/apt/archives/partial").mkdir(parents=True)


def remove_images(step: Step, tags: list[str]) -> None:
    """Forget names of images that are no longer needed."""
    step.run("docker", "image", "rm", "--force", *tags)
