"""What the tests do with the running product, in a desk's words."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from pytest_kind import KindCluster
from tests.waiting import eventually

RELEASE = NAMESPACE = "stocks"
API_NODE_PORT, PROMETHEUS_NODE_PORT, ALERTMANAGER_NODE_PORT = 30800, 30090, 30093

Labels = dict[str, str]


class Stack:
    """The API, Prometheus, Alertmanager, the simulator's faults, and kubectl."""

    def __init__(self, cluster: KindCluster, host_ports: dict[int, int]) -> None:
        self.cluster = cluster
        self._clients = {
            node_port: httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=15)
            for node_port, port in host_ports.items()
        }

    def __enter__(self) -> Self:
        self.api.headers["X-API-Key"] = self.secret("stocks-api-keys", "key")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for client in self._clients.values():
            client.close()

    @property
    def api(self) -> httpx.Client:
        return self._clients[API_NODE_PORT]

    # --- Kubernetes

    def kubectl(self, *arguments: str) -> str:
        """kubectl in the release's namespace; raises CalledProcessError with what it printed."""
        return self._run(*arguments, stderr=subprocess.STDOUT)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        return self._json("get", kind, name)

    def items(self, kind: str, selector: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._json("get", kind, "-l", selector)["items"]
        return found

    def _json(self, *arguments: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._run(*arguments, "-o", "json"))
        return answer

    def _run(self, *arguments: str, **options: Any) -> str:
        output: str = self.cluster.kubectl("--namespace", NAMESPACE, *arguments, **options)
        return output

    def secret(self, name: str, item: str) -> str:
        return base64.b64decode(self.get("secret", name)["data"][item]).decode()

    def apply(self, manifest: Path) -> None:
        self.kubectl("apply", "-f", str(manifest))

    def wait_effective(self, name: str) -> None:
        """As a pipeline that deploys a threshold does it."""
        self.kubectl("wait", "--for=condition=Effective", f"at/{name}", "--timeout=180s")

    def scale(self, deployment: str, replicas: int) -> None:
        self.kubectl("scale", f"deployment/{deployment}", f"--replicas={replicas}")
        self.kubectl("rollout", "status", f"deployment/{deployment}", "--timeout=180s")
        if replicas == 0:
            component = deployment.removeprefix(f"{RELEASE}-")
            selector = f"app.kubernetes.io/component={component}"
            self.kubectl("wait", "--for=delete", "pod", "-l", selector, "--timeout=120s")

    def in_api(self, script: str) -> str:
        """Run Python beside the API, in its container."""
        return self.kubectl("exec", "deployment/stocks-api", "--", "python", "-c", script)

    @contextmanager
    def beside_api(self, script: str) -> Iterator[None]:
        """The same, until the block ends: the script runs as long as its standard input is open."""
        where = ["--kubeconfig", str(self.cluster.kubeconfig_path), "--namespace", NAMESPACE]
        run = ["exec", "--stdin", "deployment/stocks-api", "--", "python", "-c", script]
        command = [str(self.cluster.kubectl_path), *where, *run]
        with subprocess.Popen(command, stdin=subprocess.PIPE):
            yield

    # --- Prometheus and Alertmanager

    def query(self, expression: str) -> list[tuple[Labels, float]]:
        """Every series of an instant query, with its value."""
        answer = self._clients[PROMETHEUS_NODE_PORT].get(
            "/api/v1/query", params={"query": expression}
        )
        answer.raise_for_status()
        return [(r["metric"], float(r["value"][1])) for r in answer.json()["data"]["result"]]

    def value(self, expression: str) -> float | None:
        """The value of a query that gives one series, or none yet."""
        series = self.query(expression)
        assert len(series) <= 1, series
        return series[0][1] if series else None

    def effective(self, alert: str, severity: str = "critical") -> float | None:
        """The number in force, as Prometheus evaluates it."""
        matchers = f'namespace="{NAMESPACE}",alert="{alert}",severity="{severity}"'
        return self.value(f"stocks:alert_threshold:effective{{{matchers}}}")

    def alert(self, name: str, severity: str = "critical") -> dict[str, Any] | None:
        """One active alert of Prometheus (state, activeAt, ...)."""
        answer = self._clients[PROMETHEUS_NODE_PORT].get("/api/v1/alerts")
        answer.raise_for_status()
        wanted = {"alertname": name, "severity": severity, "namespace": NAMESPACE}
        return _first(answer.json()["data"]["alerts"], wanted)

    def paged(self, name: str, severity: str = "critical") -> dict[str, Any] | None:
        """The alert as Alertmanager has it."""
        wanted = {"alertname": name, "severity": severity, "namespace": NAMESPACE}
        return _first(self._alertmanager_alerts(), wanted)

    def _alertmanager_alerts(self) -> list[dict[str, Any]]:
        answer = self._clients[ALERTMANAGER_NODE_PORT].get("/api/v2/alerts")
        answer.raise_for_status()
        alerts: list[dict[str, Any]] = answer.json()
        return alerts

    def all_paged(self) -> set[tuple[str, str]]:
        """Name and severity of everything of ours that Alertmanager has."""
        labels = [item["labels"] for item in self._alertmanager_alerts()]
        return {
            (one["alertname"], one["severity"]) for one in labels if one["namespace"] == NAMESPACE
        }

    def notifications(self) -> str:
        """What the receiver was sent."""
        path = "/api/v1/namespaces/monitoring/services/alert-logger:http/proxy/"
        return self._run("get", "--raw", path)

    def wait_up(self) -> None:
        """Until Prometheus has scraped the API."""
        up = f'up{{namespace="{NAMESPACE}",service="stocks-api"}}'
        eventually(lambda: self.value(up), lambda now: now == 1, within=120)

    def wait_state(self, name: str, state: str, *, within: float) -> None:
        """Until the critical alert is inactive, pending or firing."""
        eventually(
            lambda: (self.alert(name) or {"state": "inactive"})["state"],
            lambda found: found == state,
            within=within,
        )

    # --- the simulator's control port, through the API server's proxy

    def inject(self, fault: str, body: dict[str, Any]) -> None:
        """A fault of the gateway, by the name of its control route."""
        command = ["create", "--raw", f"{_CONTROL}/faults/{fault}", "-f", "-"]
        self.cluster.kubectl(*command, input=json.dumps(body))

    def clear_faults(self) -> None:
        self.kubectl("delete", "--raw", f"{_CONTROL}/faults")

    # --- the desk

    def order(self, symbol: str = "AAPL", **fields: Any) -> dict[str, Any]:
        """Place one order, once the API is ready for it, and return what it says of it."""
        eventually(lambda: self.api.get("/readyz").status_code, lambda s: s == 200, within=60)
        body = {"symbol": symbol, "side": "BUY", "quantity": 1, "order_type": "MKT"} | fields
        answer = self.api.post("/v1/orders", json=body)
        assert answer.status_code in (200, 201, 202), answer.text
        placed: dict[str, Any] = answer.json()
        return placed

    def orders(self, accepted: int, rejected: int) -> None:
        """Place orders of which the gateway rejects some."""
        if rejected:
            self.inject("reject", {"orders": rejected, "code": 201})
        for _ in range(accepted + rejected):
            self.order()


_CONTROL = f"/api/v1/namespaces/{NAMESPACE}/services/stocks-gateway:control/proxy"


def _first(alerts: list[dict[str, Any]], labels: Labels) -> dict[str, Any] | None:
    found = [alert for alert in alerts if labels.items() <= alert["labels"].items()]
    return found[0] if found else None
