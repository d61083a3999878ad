"""The real programs on this machine: everything of ``make local``, and the operator beside it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.ports import free_ports
from tests.waiting import eventually

from local import thresholds
from local.place import Place, Ports, url
from local.processes import Processes, Program
from local.programs import all_programs

ROOT = Path(__file__).parents[2]
CHART_FILES = ROOT / "charts" / "stocks-fastapi" / "files"

#: Eight programs, on a machine that is busy with other things.
START_SECONDS = 180

#: The operator needs no cluster to show its metrics: it goes on asking for one.
NO_CLUSTER = """
apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: nobody, user: {}}]
contexts: [{name: none, context: {cluster: none, user: nobody}}]
current-context: none
"""


@dataclass(frozen=True)
class Live:
    """Where the programs answer."""

    ports: Ports
    operator: int
    key: str
    client: httpx.Client

    def page(self, program: str) -> str:
        """``/metrics`` of one program."""
        port = {"api": self.ports.api, "node-exporter": self.ports.exporter}
        return self.client.get(url(port.get(program, self.operator), "/metrics")).text

    def query(self, expr: str, **more: str) -> Any:
        """The answer of Prometheus, an error too; ``more`` are parameters of its API."""
        kind = "query_range" if "start" in more else "query"
        address = url(self.ports.prometheus, f"/api/v1/{kind}")
        return self.client.get(address, params={"query": expr, **more}).json()

    def buy(self, symbol: str) -> None:
        order = {"symbol": symbol, "side": "BUY", "quantity": 10, "order_type": "MKT"}
        address = url(self.ports.api, "/v1/orders")
        self.client.post(address, json=order, headers={"X-API-Key": self.key}).raise_for_status()

    def routes(self) -> set[str]:
        """The templates of the API's routes."""
        return set(self.client.get(url(self.ports.api, "/openapi.json")).json()["paths"])


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    place = Place(tmp_path_factory.mktemp("local"))
    *chosen, operator_port = free_ports(8)
    ports = Ports(*chosen)
    programs = [*all_programs(place, ports), operator(place, operator_port)]
    thresholds.render(place)
    with Processes(place.folder("logs")) as processes, httpx.Client(timeout=15) as client:
        for program in programs:
            processes.start(program)
        for program in programs:
            eventually(partial(answers, client, program.ready), bool, within=START_SECONDS)
        stack = Live(ports, operator_port, (place.state / "api-key").read_text(), client)
        ready = url(ports.api, "/readyz")
        eventually(partial(answers, client, ready), bool, within=START_SECONDS)
        yield stack


def operator(place: Place, port: int) -> Program:
    config = place.folder("operator") / "kubeconfig"
    config.write_text(NO_CLUSTER)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "operator"),
        "KUBECONFIG": str(config),
        "THRESHOLDS_NAMESPACE": "stocks",
        "THRESHOLDS_CATALOGUE": str(CHART_FILES / "catalogue.yaml"),
        "THRESHOLDS_HOST": "127.0.0.1",
        "THRESHOLDS_PORT": str(port),
    }
    command = [sys.executable, "-m", "threshold_operator", "run"]
    return Program("operator", command, url(port, "/healthz"), environment)


def answers(client: httpx.Client, address: str) -> bool:
    try:
        return client.get(address).is_success
    except httpx.HTTPError:
        return False
