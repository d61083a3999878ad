"""A simulator on free ports, real clients, and its control port."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from ib_insync import IB, Stock
from tests.integration.simulator.support import Clients, Control

from gateway_simulator import GatewaySimulator, Settings


@pytest.fixture
async def simulator() -> AsyncIterator[GatewaySimulator]:
    async with GatewaySimulator(Settings(port=0, control_port=0, tick_seconds=0.05)) as running:
        yield running


@pytest.fixture
async def clients(simulator: GatewaySimulator) -> AsyncIterator[Clients]:
    made = Clients(lambda: simulator.port)
    yield made
    await made.disconnect()


@pytest.fixture
async def ib(clients: Clients) -> IB:
    return await clients.connect()


@pytest.fixture
async def control(simulator: GatewaySimulator) -> AsyncIterator[Control]:
    async with aiohttp.ClientSession() as http:
        yield Control(http, simulator.control_url)


@pytest.fixture
def aapl() -> Stock:
    return Stock("AAPL", "SMART", "USD", conId=265598)
