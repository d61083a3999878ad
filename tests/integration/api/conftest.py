"""The whole API in this process, beside a simulated gateway, over real TCP with the real client."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from gateway_simulator.server import GatewaySimulator
from gateway_simulator.settings import Settings as SimulatorSettings
from stocks_api.main import create
from stocks_api.settings import Settings

T = TypeVar("T")

#: Generous, since other builds may share the machine; a test that passes never waits so long.
PATIENCE = 60.0

TRADER, READER, EXPIRED = "trader-key-0001", "reader-key-0002", "expired-key-0003"
ADMIN, RIVAL, CHIEF = "admin-key-0004", "rival-key-0005", "chief-key-0006"

MARKET_BUY: dict[str, Any] = {"symbol": "AAPL", "side": "BUY", "quantity": 10, "order_type": "MKT"}
#: Far below the market: it rests until cancelled.
RESTING_BUY = MARKET_BUY | {"order_type": "LMT", "limit_price": 1.00}


async def until(probe: Callable[[], Awaitable[T]], accept: Callable[[T], bool]) -> T:
    """The first answer of ``probe`` that is accepted, or the test fails with the last one."""
    deadline = time.monotonic() + PATIENCE
    while not accept(answer := await probe()):
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s; last: {answer!r}"
        await asyncio.sleep(0.02)
    return answer


def keys_file(folder: Path) -> Path:
    def entry(name: str, key: str, *scopes: str, **more: object) -> dict[str, object]:
        digest = hashlib.sha256(key.encode()).hexdigest()
        return {"name": name, "sha256": digest, "scopes": list(scopes), **more}

    yesterday = datetime.now(UTC) - timedelta(days=1)
    path = folder / "keys.yaml"
    keys = [
        entry("desk", TRADER, "read", "trade"),
        entry("auditor", READER, "read"),
        entry("officer", ADMIN, "read", "admin"),
        entry("rival", RIVAL, "read", "trade"),
        entry("chief", CHIEF, "read", "trade", "admin"),
        entry("intern", EXPIRED, "read", expires=yesterday),
    ]
    path.write_text(yaml.safe_dump({"keys": keys}))
    return path


def samples(page: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Name and labels -> value, by Prometheus' own grammar."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


@dataclass
class Api:
    """A running API, seen from outside."""

    settings: Settings
    http: httpx.AsyncClient

    async def get(self, path: str, key: str | None = TRADER) -> httpx.Response:
        return await self.http.get(path, headers=_headers(key))

    async def json(self, path: str) -> Any:
        answer = await self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(
        self, order: dict[str, Any], key: str | None = TRADER, **headers: str
    ) -> httpx.Response:
        return await self.http.post("/v1/orders", json=order, headers=_headers(key) | headers)

    async def orders(self) -> list[dict[str, Any]]:
        """The newest 200."""
        found: list[dict[str, Any]] = (await self.json("/v1/orders?limit=200"))["orders"]
        return found

    async def switch(self, method: str, key: str | None = ADMIN, **body: object) -> httpx.Response:
        """The kill switch: GET, POST or DELETE."""
        return await self.http.request(
            method, "/v1/kill-switch", headers=_headers(key), json=body or None
        )

    async def place(self, order: dict[str, Any]) -> dict[str, Any]:
        answer = await self.post(order)
        assert answer.status_code in (201, 202), answer.text
        placed: dict[str, Any] = answer.json()
        return placed

    async def delete(self, order_id: str, key: str = TRADER) -> httpx.Response:
        return await self.http.delete(f"/v1/orders/{order_id}", headers=_headers(key))

    async def patch(self, order_id: str, key: str = TRADER, **change: float) -> httpx.Response:
        path = f"/v1/orders/{order_id}"
        return await self.http.patch(path, json=change, headers=_headers(key))

    async def resolve(
        self, order_id: str, status: str, reason: str, key: str = ADMIN
    ) -> httpx.Response:
        path, body = f"/v1/orders/{order_id}/resolution", {"status": status, "reason": reason}
        return await self.http.post(path, json=body, headers=_headers(key))

    async def order(self, order_id: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.json(f"/v1/orders/{order_id}")
        return found

    async def metric(self, name: str, **labels: str) -> float | None:
        page = (await self.http.get("/metrics")).text
        return samples(page).get((name, frozenset(labels.items())))

    async def count(self, name: str, **labels: str) -> float:
        """A metric that must be there."""
        value = await self.metric(name, **labels)
        assert value is not None, f"{name}{labels} is not exposed"
        return value

    async def until_status(self, order_id: str, status: str) -> dict[str, Any]:
        return await until(lambda: self.order(order_id), lambda found: found["status"] == status)

    async def until_metric(self, name: str, value: float, **labels: str) -> None:
        await until(lambda: self.metric(name, **labels), lambda now: now == value)

    async def until_ready(self) -> None:
        await until(lambda: self.get("/readyz"), lambda answer: answer.status_code == 200)

    async def until_not_ready(self) -> httpx.Response:
        return await until(lambda: self.get("/readyz"), lambda answer: answer.status_code == 503)


def _headers(key: str | None) -> dict[str, str]:
    return {} if key is None else {"X-API-Key": key}


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Api]:
    """The API with these settings, from start to clean end."""
    app = create(settings)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://api") as http,
    ):
        yield Api(settings, http)


class Simulator:
    """The simulated gateway with its control port."""

    def __init__(self, server: GatewaySimulator, http: httpx.AsyncClient) -> None:
        self.server = server
        self._http = http

    @property
    def port(self) -> int:
        return self.server.port

    async def inject(self, fault: str, **body: object) -> None:
        answer = await self._http.post(f"/faults/{fault}", json=body)
        assert answer.status_code == 200, answer.text

    async def heal(self) -> None:
        await self._http.delete("/faults")

    async def state(self) -> Any:
        """Everything that it tells of itself."""
        return (await self._http.get("/state")).json()

    async def clients(self) -> list[Any]:
        """Sessions that are open now."""
        found: list[Any] = (await self.state())["clients"]
        return found

    async def orders(self) -> list[Any]:
        """Orders that reached it."""
        found: list[Any] = (await self.state())["orders"]
        return found

    async def arrived(self) -> Counter[str]:
        """How often each of our orders reached it."""
        return Counter(order["order_ref"] for order in await self.orders())

    async def received(self, request: str) -> int:
        """How many requests of this kind it was sent."""
        return int((await self.state())["received"].get(request, 0))


@asynccontextmanager
async def simulating(port: int = 0, **settings: Any) -> AsyncIterator[Simulator]:
    """A gateway on this port, or a free one."""
    wanted = SimulatorSettings(port=port, control_port=0, tick_seconds=0.05, **settings)
    async with (
        GatewaySimulator(wanted) as server,
        httpx.AsyncClient(base_url=server.control_url) as http,
    ):
        yield Simulator(server, http)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with simulating() as simulator:
        yield simulator


def quick(gateway_port: int, folder: Path) -> Settings:
    """Timing a tenth of the default, so that outages are noticed within a test."""
    return Settings(
        gateway_port=gateway_port,
        database_url=f"sqlite+aiosqlite:///{folder}/stocks.db",  # type: ignore[arg-type]
        api_keys_file=keys_file(folder),
        calendar="",  # it costs a second of a core to work out; the tests of metrics have one
        probe_seconds=0.5,
        probe_timeout_seconds=0.4,
        stale_seconds=1.5,
        reconnect_min_seconds=0.05,
        reconnect_max_seconds=0.2,
        acknowledge_seconds=2,
        resolve_seconds=0.3,
        database_probe_seconds=0.2,
    )


@pytest.fixture
def settings(simulator: Simulator, tmp_path: Path) -> Settings:
    return quick(simulator.port, tmp_path)


def patient(settings: Settings) -> Settings:
    """For many orders at a time on a busy machine: slow is not lost."""
    return settings.model_copy(
        update={"probe_timeout_seconds": 10, "stale_seconds": 30, "acknowledge_seconds": 30}
    )


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[Api]:
    """A running API that is ready for orders."""
    async with running(settings) as api:
        await api.until_ready()
        yield api
