"""A real Alertmanager with our configuration, and the receiver that prints."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import httpx
import pytest
from tests.ports import free_ports
from tests.waiting import eventually

from local.place import Place, Ports, url
from local.processes import Processes
from local.programs import alert_logger, alertmanager, write_monitoring_config

Labels = dict[str, str]

PNL, DELAYED = "StocksPnlMoveUnusual", "StocksMarketDataDelayed"


class Paging:
    """Alertmanager, its receiver, and what Prometheus would send."""

    def __init__(self, ports: Ports, client: httpx.Client) -> None:
        self._ports, self._client = ports, client

    def send(self, *alerts: Labels, ended: bool = False) -> None:
        # As Prometheus does: an alert that began longer ago than group_wait is told at once.
        now = datetime.now(UTC)
        ends = now if ended else now + timedelta(minutes=10)
        body = [
            {
                "labels": {"namespace": "stocks", **labels},
                "annotations": {"description": "It moved."},
                "startsAt": now.isoformat(),
                "endsAt": ends.isoformat(),
            }
            for labels in alerts
        ]
        address = url(self._ports.alertmanager, "/api/v2/alerts")
        self._client.post(address, json=body).raise_for_status()

    def inhibited(self, alert: str) -> set[tuple[str, str]]:
        """Severity and symbol of what is suppressed."""
        answer = self._client.get(url(self._ports.alertmanager, "/api/v2/alerts"))
        return {
            (item["labels"]["severity"], item["labels"]["symbol"])
            for item in answer.json()
            if item["labels"]["alertname"] == alert and item["status"]["inhibitedBy"]
        }

    def told(self, alert: str) -> list[str]:
        """The receiver's lines about it, without the time."""
        answer = self._client.get(url(self._ports.logger))
        lines = (line.partition(" ")[2] for line in answer.text.splitlines())
        return sorted(line for line in lines if alert in line)

    def post(self, body: bytes) -> httpx.Response:
        """Something else that calls the receiver."""
        return self._client.post(url(self._ports.logger, "/page"), content=body)


@pytest.fixture(scope="module")
def paging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paging]:
    ports, place = Ports(*free_ports(7)), Place(tmp_path_factory.mktemp("paging"))
    write_monitoring_config(place, ports)
    with Processes(place.folder("logs")) as processes, httpx.Client(timeout=15) as client:
        for program in (alert_logger(ports), alertmanager(place, ports)):
            processes.start(program)
            eventually(partial(answers, client, program.ready), bool, within=60)
        yield Paging(ports, client)


def answers(client: httpx.Client, address: str) -> bool:
    try:
        return client.get(address).is_success
    except httpx.TransportError:
        return False


def pnl(severity: str, symbol: str, **more: str) -> Labels:
    return {"alertname": PNL, "severity": severity, "symbol": symbol, **more}


def test_people_hear_of_each_thing_once_and_of_a_shadow_never(paging: Paging) -> None:
    paging.send(pnl("critical", "TSLA"), pnl("warning", "TSLA"), pnl("warning", "AAPL"))
    paging.send(pnl("none", "MSFT"), pnl("warning", "TSLA", namespace="stocks-paper"))
    said = [
        "page: firing critical StocksPnlMoveUnusual{namespace=stocks,symbol=TSLA} It moved.",
        "ticket: firing warning StocksPnlMoveUnusual{namespace=stocks,symbol=AAPL} It moved.",
        "ticket: firing warning StocksPnlMoveUnusual{namespace=stocks-paper,symbol=TSLA} It moved.",
    ]
    eventually(lambda: paging.told(PNL), lambda told: told == said, within=90)
    # The same symbol in the same namespace, and nothing else.
    assert paging.inhibited(PNL) == {("warning", "TSLA")}
    # The critical tier recovers, and the warning is news.
    paging.send(pnl("critical", "TSLA"), ended=True)
    eventually(lambda: paging.inhibited(PNL), lambda now: now == set(), within=30)


def test_a_lost_gateway_is_the_cause_of_delayed_market_data(paging: Paging) -> None:
    delayed = {"alertname": DELAYED, "severity": "warning", "symbol": "AAPL"}
    lost = {"alertname": "StocksGatewayConnectionLost", "severity": "critical"}
    paging.send(delayed, {**delayed, "namespace": "stocks-paper", "symbol": "TSLA"}, lost)
    inhibited = {("warning", "AAPL")}
    eventually(lambda: paging.inhibited(DELAYED), lambda now: now == inhibited, within=30)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"not JSON", 400, id="no JSON"),
        pytest.param(b"[1]", 400, id="no object"),
        pytest.param(b'{"alerts": [{"labels": {}}]}', 400, id="an alert without a name"),
        pytest.param(b" " * ((1 << 20) + 1), 413, id="too long"),
    ],
)
def test_the_receiver_refuses_what_no_alertmanager_sends(
    paging: Paging, body: bytes, status: int
) -> None:
    before = paging.told("")
    assert paging.post(body).status_code == status
    assert paging.told("") == before
