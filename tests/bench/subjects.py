"""The operators that are measured: ours, with the chart's rights, and the peer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families
from tests.integration.operator.apiserver import CHART, ApiServer, rendered
from tests.integration.operator.conftest import Desk, Operator, kubeconfig, threshold
from tests.ports import free_ports
from tests.waiting import eventually

ROOT = CHART.parents[1]
ALERT = "StocksPnlMoveUnusual"
TICK = os.sysconf("SC_CLK_TCK")
#: For ten thousand objects on a machine that is busy with other things.
LONG = 1800
WRITES = ("POST", "PUT", "PATCH", "APPLY")
ADMIN = {"Authorization": "Bearer admin"}


@dataclass(frozen=True)
class Subject:
    """A running operator and the namespace that it serves."""

    desk: Desk
    process: subprocess.Popen[bytes]

    @property
    def cpu(self) -> float:
        """Seconds of processor time since its start."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    @property
    def memory(self) -> float:
        """MiB that it holds."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)


def namespace(server: ApiServer, name: str) -> Desk:
    server.kubectl("default", "create", "namespace", name)
    server.apply(name, *rendered(name, "serviceaccount", "role", "rolebinding"))
    return Desk(server, name)


@contextmanager
def ours(desk: Desk, folder: Path) -> Iterator[Subject]:
    port = free_ports(1)[0]
    settings = {
        "KUBECONFIG": str(kubeconfig(desk)),
        "THRESHOLDS_NAMESPACE": desk.namespace,
        "THRESHOLDS_HOST": "127.0.0.1",
        "THRESHOLDS_PORT": str(port),
    }
    command = [sys.executable, "-m", "threshold_operator", "run"]
    log = folder / f"ours-{desk.namespace}-{port}.log"
    with _running(desk, command, settings, log) as subject:
        Operator(subject.process, port, log).wait_ready()
        yield subject


@contextmanager
def peer(desk: Desk, folder: Path) -> Iterator[Subject]:
    settings = {"KUBECONFIG": str(desk.server.kubeconfig(desk.namespace))}
    program = [sys.executable, "-m", "kopf", "run", "--standalone", "-n", desk.namespace]
    command = [*program, "-m", "tests.bench.peer"]
    with _running(desk, command, settings, folder / "peer.log") as subject:
        yield subject


@contextmanager
def _running(
    desk: Desk, command: list[str], settings: dict[str, str], log: Path
) -> Iterator[Subject]:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'operator'}{os.pathsep}{ROOT}",
        "THRESHOLDS_CATALOGUE": str(CHART / "files" / "catalogue.yaml"),
        **settings,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            yield Subject(desk, process)
        finally:
            process.kill()
            process.wait()


def create(desk: Desk, names: list[str]) -> None:
    """As fast as the API server takes them."""
    path = f"/apis/stocks-fastapi.io/v1alpha1/namespaces/{desk.namespace}/alertthresholds"

    def one(name: str) -> None:
        symbol = {"symbol": name}
        body = threshold(name, ALERT, match=symbol, critical={"threshold": 0.03})
        _send(desk.server, "POST", path, body)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, names))


def edit(desk: Desk, names: list[str], number: float) -> None:
    """Another number for each of them."""
    path = f"/apis/stocks-fastapi.io/v1alpha1/namespaces/{desk.namespace}/alertthresholds"
    patch = {"spec": {"critical": {"threshold": number}}}
    for name in names:
        _send(desk.server, "PATCH", f"{path}/{name}", patch)


def _send(server: ApiServer, method: str, path: str, body: Any) -> None:
    content = "application/merge-patch+json" if method == "PATCH" else "application/json"
    headers = {**ADMIN, "Content-Type": content}
    answer = server.client.request(method, server.url + path, json=body, headers=headers)
    answer.raise_for_status()


def wait_settled(desk: Desk, count: int, generation: int = 1) -> None:
    """Until each object has a status of this generation, and a rule."""

    def missing() -> int:
        objects = _items(desk, "stocks-fastapi.io/v1alpha1", "alertthresholds")
        rules = _items(desk, "monitoring.coreos.com/v1", "prometheusrules")
        current = [o for o in objects if o["metadata"]["generation"] >= generation]
        settled = [o for o in current if o.get("status", {}).get("conditions")]
        return 2 * count - len(settled) - len(rules)

    every = max(1.0, count / 1000)  # a list of ten thousand is work for the API server, too
    eventually(missing, lambda n: n <= 0, within=LONG, every=every)


def _items(desk: Desk, api: str, plural: str) -> list[Any]:
    url = f"{desk.server.url}/apis/{api}/namespaces/{desk.namespace}/{plural}"
    answer = desk.server.client.get(url, headers=ADMIN, timeout=120)
    found: list[Any] = answer.raise_for_status().json()["items"]
    return found


def writes(server: ApiServer) -> dict[str, float]:
    """Write requests that the API server has answered, by kind: of everybody."""
    text = httpx.get(f"{server.url}/metrics", headers=ADMIN, verify=False, timeout=60).text
    kinds = {"alertthresholds": 0.0, "prometheusrules": 0.0, "events": 0.0}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            kind, verb = sample.labels.get("resource", ""), sample.labels.get("verb")
            if sample.name == "apiserver_request_total" and kind in kinds and verb in WRITES:
                kinds[kind] += sample.value
    return kinds
