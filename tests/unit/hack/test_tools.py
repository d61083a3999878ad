from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from cluster import tools
from cluster.steps import Progress
from cluster.tools import name_by_go


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "stocks-fastapi"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(place: Path, says: str) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"#!/bin/sh\necho '{says}'\n")
    place.chmod(0o755)
    return place


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("sigs.k8s.io/kind", "kind"),
        ("helm.sh/helm/v3/cmd/helm", "helm"),
        ("go.etcd.io/etcd/server/v3", "server"),
        ("github.com/prometheus-operator/prometheus-operator/cmd/operator", "operator"),
    ],
)
def test_go_names_a_program_after_its_package(package: str, name: str) -> None:
    assert name_by_go(package) == name


def test_a_changed_flag_builds_into_another_folder() -> None:
    with_flag = dataclasses.replace(tools.KIND, tags="osusergo")
    assert tools.KIND.folder != with_flag.folder
    assert tools.KIND.folder.name.startswith(f"kind-{tools.KIND.version}-")


def test_a_fitting_program_on_path_is_used(path: Path) -> None:
    kind = program(path / "kind", "kind version 0.33.0")
    assert tools.on_path("kind") == kind


def test_a_program_of_another_version_is_not_used(path: Path) -> None:
    program(path / "kubectl", "Client Version: v1.20.0")
    assert tools.on_path("kubectl") is None


def test_our_own_link_on_path_does_not_keep_an_old_version_alive(path: Path, cache: Path) -> None:
    ours = program(cache / "tools" / "kind-0.31.0" / "kind", "kind version 0.31.0")
    (path / "kind").symlink_to(ours)
    assert tools.on_path("kind") is None


def test_what_the_cache_holds_is_not_built_again(path: Path, tmp_path: Path) -> None:
    tools.HELM.folder.mkdir(parents=True)
    found = tools.ensure_program("helm", Progress(tmp_path))
    assert found.readlink() == tools.HELM.folder / "helm"


def test_a_link_follows_to_the_new_version(path: Path, cache: Path) -> None:
    old, new = cache / "tools" / "old", cache / "tools" / "new"
    assert tools.link("helm", old) == tools.link("helm", new)
    assert (cache / "bin" / "helm").readlink() == new
