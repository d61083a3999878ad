"""Names from contents, and what goes into our images."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster import docker, images, nodeimage
from cluster.digest import digest
from cluster.paths import REPO


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "module.py").write_text("x = 1\n")
    return tmp_path / "package"


def test_unchanged_contents_keep_their_name(folder: Path, tmp_path: Path) -> None:
    before = digest([folder])
    moved = folder.rename(tmp_path / "other")
    moved.rename(folder)
    assert digest([folder]) == before
    assert len(before) == 12


def test_bytecode_and_caches_do_not_count(folder: Path) -> None:
    before = digest([folder])
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "module.cpython-311.pyc").write_bytes(b"\0")
    (folder / ".mypy_cache").mkdir()
    (folder / ".mypy_cache" / "x.json").write_text("{}")
    assert digest([folder]) == before


@pytest.mark.parametrize("change", ["contents", "name", "mode", "another file", "another base"])
def test_everything_that_goes_in_counts(folder: Path, change: str) -> None:
    before = digest([folder, "base"])
    module = folder / "module.py"
    match change:
        case "contents":
            module.write_text("x = 2\n")
        case "name":
            module.rename(folder / "renamed.py")
        case "mode":
            module.chmod(0o755)
        case "another file":
            (folder / "new.py").touch()
    assert digest([folder, "other" if change == "another base" else "base"]) != before


def test_the_context_is_what_the_dockerfile_copies() -> None:
    dockerfile = (
        "FROM python AS build\n"
        "COPY requirements/api.txt /requirements.txt\n"
        "COPY wheels /wheels\n"
        "FROM python\n"
        "COPY --from=build /venv /venv\n"
        "COPY app/stocks_api app/migrations /srv/\n"
    )
    assert images.copied(dockerfile) == ["requirements/api.txt", "app/stocks_api", "app/migrations"]


@pytest.mark.parametrize("name", images.APPS)
def test_every_image_copies_its_own_lock_and_what_exists(name: str) -> None:
    sources = images.copied((REPO / images.APPS[name] / "Dockerfile").read_text())
    assert f"requirements/{name}.txt" in sources
    assert all((REPO / source).exists() for source in sources)


def test_a_context_holds_no_bytecode(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (folder / "module.pyc").touch()
    with docker.context({"app/package": folder}) as context:
        found = [p.relative_to(context).as_posix() for p in context.rglob("*") if p.is_file()]
    assert found == ["app/package/module.py"]


def test_kubeadm_names_the_images_of_the_components() -> None:
    listed = "host/kube-proxy:v1.34.4\nhost/coredns/coredns:v1.12.1\nhost/pause:3.10.1\n"
    names = nodeimage.by_component(listed)
    assert names["coredns"] == "host/coredns/coredns:v1.12.1"
    assert nodeimage.pause_image(list(names.values())) == "host/pause:3.10.1"
