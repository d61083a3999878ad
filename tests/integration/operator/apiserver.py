"""A real Kubernetes API server and its etcd as plain processes: no kubelet, no controllers.

Enough to try what the operator asks of the API (server-side apply, CEL, admission policies, RBAC,
watches), and up within seconds.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from tests.ports import free_ports
from tests.waiting import eventually

from cluster.paths import cache
from cluster.steps import Progress
from cluster.tools import ETCD, HELM, KUBERNETES, Build, ensure_built

HERE = Path(__file__).parent
CHART = Path(__file__).parents[3] / "charts" / "stocks-fastapi"

#: Where the chart expects the monitoring stack, and the Prometheus object of it.
MONITORING, PROMETHEUS = "monitoring", "kube-prometheus-stack-prometheus"

#: On a machine that is busy compiling beside us.
START_SECONDS = 120


def program(name: str, build: Build) -> str:
    """From the PATH, else as the cluster has it; built if need be, never done without."""
    found = shutil.which(name, path=f"{os.environ['PATH']}{os.pathsep}{cache('bin')}")
    return found or str(ensure_built(build, Progress(cache("logs"))) / name)


@dataclass(frozen=True)
class ApiServer:
    """Talks to it as its administrator."""

    folder: Path
    port: int
    client: httpx.Client

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def certificate(self) -> Path:
        return self.folder / "certs" / "apiserver.crt"

    def kubeconfig(
        self, namespace: str, token: str = "admin", name: str = "admin", url: str = ""
    ) -> Path:
        """For the bearer of a token; the token file knows only ``admin``.

        :param url: of a proxy, in the server's place.
        """
        path = self.folder / f"{name}-{namespace}.kubeconfig"
        cluster = {"server": self.url, "certificate-authority": str(self.certificate)}
        if url:
            cluster = {"server": url}
        context = {"cluster": "test", "user": name, "namespace": namespace}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": "test", "context": context}],
            "current-context": "test",
        }
        path.write_text(yaml.safe_dump(content))
        return path

    def kubectl(self, namespace: str, *arguments: str, stdin: str | None = None) -> str:
        """kubectl's output; raises CalledProcessError with what it printed."""
        config = self.kubeconfig(namespace)
        return subprocess.run(
            [program("kubectl", KUBERNETES), "--kubeconfig", str(config), *arguments],
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        ).stdout

    def apply(self, namespace: str, *bodies: Any) -> str:
        """Server-side, as a desk's pipeline would."""
        text = yaml.safe_dump_all(bodies)
        return self.kubectl(namespace, "apply", "--server-side", "-f", "-", stdin=text)

    def get(self, namespace: str, kind: str, name: str) -> Any:
        return json.loads(self.kubectl(namespace, "get", kind, name, "-o", "json"))

    def items(self, namespace: str, kind: str) -> list[Any]:
        found: list[Any] = json.loads(self.kubectl(namespace, "get", kind, "-o", "json"))["items"]
        return found


def rendered(namespace: str, *only: str, **values: Any) -> list[Any]:
    """The chart's objects of the operator, as helm makes them."""
    helm = program("helm", HELM)
    files = [part for name in only for part in ("-s", f"templates/operator/{name}.yaml")]
    settings = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    command = [helm, "template", "stocks", str(CHART), "-n", namespace, *files, *settings]
    text = subprocess.run(
        [*command, "--kube-version", "1.34.0"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    return [body for body in yaml.safe_load_all(text) if body]


@contextmanager
def running(folder: Path) -> Iterator[ApiServer]:
    """etcd and kube-apiserver, with the CRDs installed."""
    etcd_port, peer_port, port = free_ports(3)
    with ExitStack() as stack:
        stack.enter_context(_process(folder / "etcd.log", _etcd(folder, etcd_port, peer_port)))
        stack.enter_context(_process(folder / "apiserver.log", _apiserver(folder, etcd_port, port)))
        client = stack.enter_context(httpx.Client(verify=False, timeout=10))
        server = ApiServer(folder, port, client)
        _wait_ready(server)
        install_crds(server)
        server.kubectl("default", "create", "namespace", MONITORING)
        yield server


def _etcd(folder: Path, port: int, peer_port: int) -> list[str]:
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    return [
        program("etcd", ETCD),
        f"--data-dir={folder / 'etcd'}",
        *(f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
        *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"),
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
    ]


def _apiserver(folder: Path, etcd_port: int, port: int) -> list[str]:
    key, tokens = folder / "sa.key", folder / "tokens.csv"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    tokens.write_text('admin,admin,1,"system:masters"\n')
    return [
        program("kube-apiserver", KUBERNETES),
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        *("--bind-address=127.0.0.1", f"--secure-port={port}", f"--cert-dir={folder / 'certs'}"),
        *("--authorization-mode=RBAC", f"--token-auth-file={tokens}"),
        *(f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}"),
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=10.96.0.0/24",
        "--disable-admission-plugins=ServiceAccount",
    ]


@contextmanager
def _process(log: Path, command: list[str]) -> Iterator[None]:
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=_environment())
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def _environment() -> dict[str, str]:
    """Without the settings that would point etcd elsewhere."""
    return {key: value for key, value in os.environ.items() if not key.startswith("ETCD_")}


def _wait_ready(server: ApiServer) -> None:
    def ready() -> str:
        try:
            headers = {"Authorization": "Bearer admin"}
            return server.client.get(f"{server.url}/readyz", headers=headers).text
        except httpx.HTTPError as error:
            log = (server.folder / "apiserver.log").read_text()
            return f"{error}: {log[-500:]}"

    eventually(ready, lambda text: text == "ok", within=START_SECONDS, every=0.2)


def install_crds(server: ApiServer) -> None:
    """Ours and prometheus-operator's, and wait until they are served."""
    theirs = (yaml.safe_load(path.read_text()) for path in HERE.glob("*-crd.yaml"))
    server.apply("default", *theirs, *rendered("default", "crd"))
    crds = [f"crd/{item['metadata']['name']}" for item in server.items("default", "crd")]
    server.kubectl("default", "wait", "--for=condition=Established", *crds, "--timeout=60s")
