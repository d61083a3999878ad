"""Two replicas of the API on PostgreSQL, as the chart deploys them: one dies, the other leads.

The database runs on this machine, at its address in the cluster's network.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests import postgresql
from tests.e2e.conftest import deploy
from tests.e2e.stack import Stack
from tests.waiting import eventually

RELEASE = NAMESPACE = "replicas"
VALUES = Path(__file__).parent / "replicas.yaml"

#: Far more than the 15 s of the promise: a busy machine, and a scrape.
TAKEN_OVER = 120

ORDER = {"symbol": "AAPL", "side": "BUY", "quantity": 1, "order_type": "MKT"}

ASK = """
import json, sys, urllib.error, urllib.request
request = urllib.request.Request(*{request!r})
try:
    with urllib.request.urlopen(request, timeout=20) as answer:
        print(json.dumps([answer.status, answer.read().decode()]))
except urllib.error.HTTPError as error:
    print(json.dumps([error.code, error.read().decode()]))
except OSError as error:
    print(json.dumps([0, str(error)]))
"""


@dataclass(frozen=True)
class Replicas:
    """The second release, asked from within the cluster."""

    stack: Stack

    def kubectl(self, *arguments: str) -> str:
        output: str = self.stack.cluster.kubectl("--namespace", NAMESPACE, *arguments)
        return output

    def pods(self) -> dict[str, str]:
        """Address of each pod that runs, by name."""
        selector = "app.kubernetes.io/component=api"
        found = json.loads(self.kubectl("get", "pods", "-l", selector, "-o", "json"))["items"]
        alive = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
        return {pod["metadata"]["name"]: pod["status"].get("podIP", "") for pod in alive}

    def leaders(self) -> list[str]:
        """Pods that lead, as Prometheus has it."""
        series = self.stack.query(f'gateway_leader{{namespace="{NAMESPACE}"}} == 1')
        return [labels["pod"] for labels, _ in series if labels["pod"] in self.pods()]

    def order(self, host: str, key: str) -> tuple[int, Any]:
        """POST one, with its key, to a pod or to the Service; status 0: it didn't answer."""
        headers = {"X-API-Key": self._key(), "Idempotency-Key": key}
        headers["Content-Type"] = "application/json"
        request = (f"http://{host}:8000/v1/orders", json.dumps(ORDER).encode(), headers)
        status, text = json.loads(self.stack.in_api(ASK.format(request=request)))
        return status, json.loads(text) if text.startswith("{") else text

    def wait_placed(self, host: str, key: str) -> str:
        """The id of the order, asked for until it is there, as a client does."""
        _, order = eventually(
            lambda: self.order(host, key),
            lambda answer: answer[0] in (200, 201, 202),
            within=TAKEN_OVER,
        )
        return str(order["id"])

    def _key(self) -> str:
        secret = json.loads(self.kubectl("get", "secret", f"{RELEASE}-api-keys", "-o", "json"))
        return base64.b64decode(secret["data"]["key"]).decode()


@pytest.fixture(scope="module")
def replicas(stack: Stack) -> Iterator[Replicas]:
    with postgresql.running(_this_machine()) as server:
        url = f"postgresql+asyncpg://{server.create_database('stocks')}"
        deployed = Replicas(stack)
        stack.cluster.kubectl("create", "namespace", NAMESPACE)
        deployed.kubectl("create", "secret", "generic", "postgresql", f"--from-literal=url={url}")
        release = ("--release", RELEASE, "--namespace", NAMESPACE)
        deploy(stack.cluster, "--only", "chart", *release, files=[VALUES])
        yield deployed
        stack.cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=180s")


def _this_machine() -> str:
    """Its address in kind's network."""
    form = "{{range .IPAM.Config}}{{println .Gateway}}{{end}}"
    command = ["docker", "network", "inspect", "kind", "--format", form]
    addresses = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return next(address for address in addresses if "." in address)


def test_whichever_replica_is_asked_one_order_comes_of_a_key(replicas: Replicas) -> None:
    leader = eventually(replicas.leaders, lambda found: len(found) == 1, within=TAKEN_OVER)[0]
    assert len(replicas.pods()) == 2
    asked = [*replicas.pods().values(), f"{RELEASE}-api.{NAMESPACE}"]
    assert len({replicas.wait_placed(host, "one") for host in asked}) == 1
    assert replicas.leaders() == [leader]


def test_when_the_leader_dies_the_other_leads_and_nothing_is_doubled(replicas: Replicas) -> None:
    leader = eventually(replicas.leaders, lambda found: len(found) == 1, within=TAKEN_OVER)[0]
    service = f"{RELEASE}-api.{NAMESPACE}"
    before = replicas.wait_placed(service, "before")
    replicas.kubectl("delete", "pod", leader, "--grace-period=0", "--force")
    assert replicas.wait_placed(service, "after") != before
    assert replicas.wait_placed(service, "before") == before
    leaders = eventually(replicas.leaders, lambda found: len(found) == 1, within=TAKEN_OVER)
    assert leaders != [leader]
