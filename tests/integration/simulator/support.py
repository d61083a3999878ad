# mypy: disable-error-code="no-untyped-call"
"""What the tests of the simulator share: clients, the control port, waiting with a deadline."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import aiohttp
from ib_insync import IB, Ticker

DEADLINE = 20.0
"""Seconds; the machine may be busy with other things."""


T = TypeVar("T")


async def until(condition: Callable[[], T]) -> T:
    """Wait until a condition is true, and return what it gave."""
    async with asyncio.timeout(DEADLINE):
        while True:
            value = condition()
            if value:
                return value
            await asyncio.sleep(0.01)


def last_tick(ticker: Ticker) -> float:
    """When a ticker last heard anything, seconds since the epoch; 0 for never."""
    return ticker.time.timestamp() if ticker.time else 0.0


class Clients:
    """Connects real clients and disconnects them at the end."""

    def __init__(self, port: Callable[[], int]) -> None:
        self._port = port
        self._all: list[IB] = []

    async def connect(
        self, client_id: int = 1, seconds: float = DEADLINE, client: IB | None = None
    ) -> IB:
        client = client or IB()
        self._all.append(client)
        await client.connectAsync("127.0.0.1", self._port(), clientId=client_id, timeout=seconds)
        return client

    async def disconnect(self) -> None:
        for client in self._all:
            client.disconnect()
        await until(lambda: not any(client.client.conn.isConnected() for client in self._all))


class Control:
    """The control port."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url

    async def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else None
        json = None if isinstance(body, bytes) else body
        async with self._http.request(method, self._url + path, json=json, data=data) as answer:
            return answer.status, await answer.json()

    async def fault(self, name: str, **body: Any) -> Any:
        status, answer = await self.send("POST", f"/faults/{name}", body)
        assert status == 200, answer
        return answer

    async def clear(self) -> None:
        status, _answer = await self.send("DELETE", "/faults")
        assert status == 200

    async def state(self) -> Any:
        _status, answer = await self.send("GET", "/state")
        return answer
