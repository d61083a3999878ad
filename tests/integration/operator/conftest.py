"""The operator as a process of its own, with the chart's rights, against real servers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.integration.operator import apiserver
from tests.integration.operator.apiserver import (
    CHART,
    MONITORING,
    PROMETHEUS,
    ApiServer,
    rendered,
)
from tests.integration.operator.monitoring import Monitoring, running_prometheus
from tests.integration.operator.proxy import Proxy, running_proxy
from tests.ports import free_ports
from tests.waiting import eventually

#: Seconds for what takes the operator a moment, on a machine that is busy with other things.
SOON = 90

ALERT = "StocksOrderRejectionRateHigh"


#: What the tests themselves run with, such as another kopf, comes first.
PATH = os.pathsep.join(
    filter(None, [os.environ.get("PYTHONPATH"), str(CHART.parents[1] / "operator")])
)


@dataclass
class Operator:
    """A running operator."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=10)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the series that bear these labels."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.get("/metrics").text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    @property
    def writes(self) -> float:
        return self.metric("thresholds_writes_total")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def wait_ready(self) -> None:
        def ready() -> str:
            assert self.process.poll() is None, self.log.read_text()
            try:
                return self.get("/readyz").text
            except httpx.HTTPError:
                return self.log.read_text()[-2000:]

        eventually(ready, lambda text: text == "ok", within=SOON, every=0.2)


@dataclass(frozen=True)
class Desk:
    """One namespace, in the words of the people who use it."""

    server: ApiServer
    namespace: str

    def apply(self, name: str, alert: str = ALERT, **spec: Any) -> str:
        return self.server.apply(self.namespace, threshold(name, alert, **spec))

    def delete(self, kind: str, name: str) -> None:
        self.server.kubectl(self.namespace, "delete", kind, name)

    def kubectl(self, *arguments: str) -> str:
        return self.server.kubectl(self.namespace, *arguments)

    def object(self, name: str) -> Any:
        return self.server.get(self.namespace, "alertthreshold", name)

    def rule(self, name: str) -> Any:
        """The rule of an object, or None."""
        rules = self.server.items(self.namespace, "prometheusrule")
        return next((r for r in rules if r["metadata"]["name"] == f"threshold-{name}"), None)

    def exprs(self, name: str) -> list[str]:
        """What the rule of an object evaluates."""
        groups = (self.rule(name) or {"spec": {}})["spec"].get("groups", [])
        return [rule["expr"] for group in groups for rule in group["rules"]]

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        conditions = self.object(name).get("status", {}).get("conditions", [])
        return next((c for c in conditions if c["type"] == kind), {})

    def wait_condition(
        self, name: str, kind: str, status: str, reason: str, within: float = SOON
    ) -> dict[str, Any]:
        """The condition, once it speaks of the newest generation and says this."""

        def current() -> tuple[dict[str, Any], int]:
            generation = self.object(name)["metadata"]["generation"]
            return self.condition(name, kind), generation

        def said(answer: tuple[dict[str, Any], int]) -> bool:
            found, generation = answer
            told = (found.get("status"), found.get("reason"), found.get("observedGeneration"))
            return told == (status, reason, generation)

        return eventually(current, said, within=within, every=0.3)[0]

    def versions(self) -> dict[str, str]:
        """The resource version of everything that the operator could write."""
        kinds = ("alertthreshold", "prometheusrule", "event")
        return {
            f"{kind}/{item['metadata']['name']}": item["metadata"]["resourceVersion"]
            for kind in kinds
            for item in self.server.items(self.namespace, kind)
        }


def threshold(name: str, alert: str = ALERT, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "stocks-fastapi.io/v1alpha1",
        "kind": "AlertThreshold",
        "metadata": {"name": name},
        "spec": {"alert": alert, **spec},
    }


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with apiserver.running(tmp_path_factory.mktemp("apiserver")) as running:
        yield running


@pytest.fixture
def desk(server: ApiServer, request: pytest.FixtureRequest) -> Desk:
    """A namespace of this test's own, with the operator's service account and role."""
    return new_desk(server, f"t{abs(hash(request.node.nodeid)):x}"[:40])


def new_desk(server: ApiServer, name: str) -> Desk:
    namespace = _namespace(server, name)
    server.apply(namespace, *rendered(namespace, "serviceaccount", "role", "rolebinding"))
    return Desk(server, namespace)


@pytest.fixture
def other_desk(desk: Desk) -> Desk:
    """Another namespace, in which nobody gave the operator a right."""
    return Desk(desk.server, _namespace(desk.server, f"{desk.namespace}-other"))


def _namespace(server: ApiServer, name: str) -> str:
    server.kubectl("default", "create", "namespace", name)
    return name


@pytest.fixture
def start(desk: Desk, tmp_path: Path) -> Iterator[Callable[..., Operator]]:
    """Starts the operator in the desk's namespace; again after it was stopped."""
    with operators(desk, tmp_path) as begin:
        yield begin


def kubeconfig(desk: Desk, through: str = "") -> Path:
    """As the pod would sign in: with a token of the chart's service account."""
    token = desk.kubectl("create", "token", "stocks-operator").strip()
    return desk.server.kubeconfig(desk.namespace, token, name="operator", url=through)


@contextmanager
def operators(
    desk: Desk, folder: Path, sign_in: Callable[[Desk, str], Path] = kubeconfig
) -> Iterator[Callable[..., Operator]]:
    """Starts operators; all of them end with the block."""
    with ExitStack() as stack:

        def begin(
            prometheus_url: str = "",
            through: str = "",
            served: str = "",
            *,
            ready: bool = True,
            **more: str,
        ) -> Operator:
            port = free_ports(1)[0]
            log = folder / f"operator-{port}.log"
            output = stack.enter_context(log.open("wb"))
            environment = {
                **os.environ,
                "PYTHONPATH": PATH,
                "KUBECONFIG": str(sign_in(desk, through)),
                "THRESHOLDS_NAMESPACE": served or desk.namespace,
                "THRESHOLDS_LEASE_NAMESPACE": desk.namespace,
                "THRESHOLDS_CATALOGUE": str(CHART / "files" / "catalogue.yaml"),
                "THRESHOLDS_PROMETHEUS_URL": prometheus_url,
                "THRESHOLDS_PROMETHEUS_OBJECT": f"{MONITORING}/{PROMETHEUS}",
                "THRESHOLDS_HOST": "127.0.0.1",
                "THRESHOLDS_PORT": str(port),
                **more,
            }
            command = [sys.executable, "-m", "threshold_operator", "run"]
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
            stack.callback(process.wait)
            stack.callback(process.kill)
            operator = Operator(process, port, log)
            if ready:
                operator.wait_ready()
            return operator

        yield begin


@dataclass(frozen=True)
class Proxied:
    """Operators whose every request goes through a proxy that can be told to go wrong."""

    proxy: Proxy
    begin: Callable[..., Operator]

    def start(self, served: str = "", prometheus_url: str = "", **more: str) -> Operator:
        return self.begin(prometheus_url, through=self.proxy.url, served=served, **more)


@pytest.fixture
def proxied(desk: Desk, tmp_path: Path) -> Iterator[Proxied]:
    with behind_a_proxy(desk, tmp_path) as operators_of_the_desk:
        yield operators_of_the_desk


@contextmanager
def behind_a_proxy(desk: Desk, folder: Path) -> Iterator[Proxied]:
    with operators(desk, folder) as begin, running_proxy(desk.server.url) as proxy:
        yield Proxied(proxy, begin)


@pytest.fixture
def select(server: ApiServer) -> Iterator[Callable[..., None]]:
    """Says what the Prometheus object selects, and which pods it has; until the test ends."""

    def become(*replicas: Monitoring, **spec: Any) -> None:
        meta = {"name": PROMETHEUS, "namespace": MONITORING}
        head = {"apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus", "metadata": meta}
        server.apply(MONITORING, {**head, "spec": {**spec, "replicas": len(replicas)}})
        for number, replica in enumerate(replicas):
            run_pod(server, f"prometheus-{number}", replica)

    yield become
    server.kubectl(MONITORING, "delete", "prometheus", PROMETHEUS, "--ignore-not-found")
    server.kubectl(MONITORING, "delete", "pods", "--all", "--force", "--grace-period=0")


def run_pod(server: ApiServer, name: str, replica: Monitoring) -> None:
    """A pod as prometheus-operator and the kubelet make it, whose address is the process's."""
    port = {"name": "web", "containerPort": replica.port}
    labels = {"operator.prometheus.io/name": PROMETHEUS}
    container = {"name": "prometheus", "image": "prometheus", "ports": [port]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [container], "automountServiceAccountToken": False},
    }
    server.apply(MONITORING, pod)
    status = json.dumps({"status": {"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}})
    server.kubectl(
        MONITORING, "patch", "pod", name, "--subresource=status", "--type=merge", "-p", status
    )


@pytest.fixture
def prometheus(desk: Desk, tmp_path: Path) -> Iterator[Monitoring]:
    with running_prometheus(tmp_path, desk.namespace) as monitoring:
        yield monitoring
