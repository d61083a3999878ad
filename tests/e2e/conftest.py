"""One kind cluster for all end-to-end tests: created, filled and deleted by them.

``hack/e2e`` passes the kind and kubectl binaries and the node image that were found or built. Its
ports on this machine are free ones, so the cluster of ``make up`` may run beside.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from pytest_kind import KindCluster
from tests.e2e.stack import NAMESPACE, Stack
from tests.ports import free_ports

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
VALUES = (HERE / "values.yaml", ROOT / "examples" / "own-alerts" / "values.yaml")

#: The node's commands that make the volume of small-volume.yaml.
SMALL_VOLUME = """
set -e
mkdir -p /mnt/small
truncate --size=64M /mnt/small.img
mkfs.ext4 -q /mnt/small.img
mount -o loop /mnt/small.img /mnt/small
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def host_ports() -> dict[int, int]:
    """NodePort -> port on this machine."""
    node_ports = [mapping["containerPort"] for mapping in _port_mappings(_kind_config())]
    return dict(zip(node_ports, free_ports(len(node_ports)), strict=True))


@pytest.fixture(scope="session")
def kind_cluster(
    request: pytest.FixtureRequest,
    host_ports: dict[int, int],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[KindCluster]:
    """pytest-kind's fixture, with our ``kind-config.yaml``."""
    config = _kind_config()
    for mapping in _port_mappings(config):
        mapping["hostPort"] = host_ports[mapping["containerPort"]]
    folder = tmp_path_factory.mktemp("kind")
    (folder / "kind-config.yaml").write_text(yaml.safe_dump(config))
    cluster = _cluster(request.config, folder)
    cluster.delete()  # what a run that was killed, or --keep-cluster, left behind has other ports
    cluster.create(folder / "kind-config.yaml")
    yield cluster
    if not request.config.getoption("keep_cluster"):
        cluster.delete()


@pytest.fixture(scope="session")
def stack(kind_cluster: KindCluster, host_ports: dict[int, int]) -> Iterator[Stack]:
    """The monitoring stack and the chart, installed as ``make up`` does it."""
    kind_cluster.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=180s")
    _make_small_volume(kind_cluster)
    deploy(kind_cluster)
    with Stack(kind_cluster, host_ports) as deployed:
        yield deployed


def deploy(cluster: KindCluster, *options: str, files: Sequence[Path] = VALUES) -> None:
    """``make up``'s own installation, into this cluster; again it is an upgrade."""
    kubeconfig = str(cluster.kubeconfig_path.resolve())
    where = ["--kubeconfig", kubeconfig, "--kind-cluster", cluster.name]
    values = [word for file in files for word in ("--values", str(file))]
    subprocess.run(
        [sys.executable, "-m", "cluster", "deploy", *where, *values, *options],
        check=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": "hack"},
    )


def _make_small_volume(cluster: KindCluster) -> None:
    node = f"{cluster.name}-control-plane"
    subprocess.run(["docker", "exec", node, "sh", "-c", SMALL_VOLUME], check=True)
    cluster.kubectl("apply", "-f", str(HERE / "small-volume.yaml"))


@pytest.fixture
def no_thresholds(stack: Stack) -> Iterator[None]:
    """Ends every test with the defaults in force and no fault injected."""
    yield
    stack.kubectl("delete", "alertthresholds", "--all", "--namespace", NAMESPACE)
    stack.clear_faults()


def _kind_config() -> dict[str, object]:
    config: dict[str, object] = yaml.safe_load((ROOT / "kind-config.yaml").read_text())
    return config


def _port_mappings(config: dict[str, object]) -> list[dict[str, int]]:
    nodes = config["nodes"]
    assert isinstance(nodes, list)
    return [mapping for node in nodes for mapping in node.get("extraPortMappings", [])]


def _cluster(config: pytest.Config, folder: Path) -> KindCluster:
    options = {name: config.getoption(name) for name in ("kind_bin", "kind_kubectl_bin")}
    missing = [name for name, value in options.items() if not value]
    assert not missing, f"{missing} not given: run these tests with `make e2e`"
    return KindCluster(
        config.getoption("cluster_name"),
        folder / "kubeconfig",
        image=config.getoption("kind_image"),
        kind_path=Path(options["kind_bin"]),
        kubectl_path=Path(options["kind_kubectl_bin"]),
    )
