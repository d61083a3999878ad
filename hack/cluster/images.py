"""The three images of this project, named by what is in them: unchanged sources, unchanged tag.

Dependencies are downloaded on this machine and installed in the build without an index: a build
inside Docker lacks the machine's own CA certificates and proxy settings.
"""

from __future__ import annotations

import re
from pathlib import Path

from cluster import docker, host
from cluster.digest import digest
from cluster.kit import Kit, python_image
from cluster.locks import only_one
from cluster.paths import REPO, cache
from cluster.steps import Progress, Step

APPS = {"api": "app", "operator": "operator", "simulator": "simulator"}


def ensure_app_images(kit: Kit, progress: Progress) -> dict[str, str]:
    """Build those of our images that Docker does not have; name: image with tag."""
    with only_one("build", progress):
        base = python_image(progress, kit.public)
        return {name: ensure_app_image(name, base, progress) for name in APPS}


def ensure_app_image(name: str, base: str, progress: Progress) -> str:
    """One of our images; its name with tag."""
    dockerfile = REPO / APPS[name] / "Dockerfile"
    sources = copied(dockerfile.read_text())
    image = f"{docker.PREFIX}/{name}:{content_tag(dockerfile, sources, base)}"
    if docker.has_image(image):
        return image
    pip = host.pip(progress)
    with progress.step(f"image {image}") as step:
        files = {"Dockerfile": dockerfile, "wheels": wheels(name, pip, step)}
        files |= {source: REPO / source for source in sources}
        docker.build(step, image, files, {"PYTHON_IMAGE": base})
    return image


def copied(dockerfile: str) -> list[str]:
    """What a Dockerfile copies from the repository; not ``wheels``, not from other stages."""
    found = []
    for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile, re.MULTILINE):
        *sources, _ = line.split()
        found += [source for source in sources if source != "wheels"]
    return found


def content_tag(dockerfile: Path, sources: list[str], base: str) -> str:
    """``dev-`` and a digest of the Dockerfile, what it copies and what it stands on."""
    return "dev-" + digest([base, dockerfile, *(REPO / source for source in sources)])


def wheels(name: str, pip: Path, step: Step) -> Path:
    """The folder with the wheels of ``requirements/<name>.txt``, downloaded once per content."""
    requirements = REPO / "requirements" / f"{name}.txt"
    folder = cache("wheels") / f"{name}-{digest([requirements])}"
    if not folder.exists():
        fresh = folder.with_name(f"{folder.name}.new")
        options = ("--require-hashes", "--no-deps", "--dest", fresh, "-r", requirements)
        step.run(pip, "download", *options)
        fresh.rename(folder)
    return folder
