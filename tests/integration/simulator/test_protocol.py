# mypy: disable-error-code="no-untyped-call"
"""Raw sockets: what a client may do wrong without harming anybody else."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from ib_insync import IB, MarketOrder, Stock
from tests.integration.simulator.support import DEADLINE, Clients, Control, until

from gateway_simulator import GatewaySimulator, connection, server
from gateway_simulator.wire import encode, split_fields

GREETING = b"API\0" + struct.pack(">I", 9) + b"v157..176"


class Raw:
    """A client that sends what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def fields(self) -> list[str]:
        async with asyncio.timeout(DEADLINE):
            (length,) = struct.unpack(">I", await self.reader.readexactly(4))
            return split_fields(await self.reader.readexactly(length))

    async def closed(self) -> bool:
        async with asyncio.timeout(DEADLINE):
            try:
                return await self.reader.read() is not None
            except ConnectionResetError:
                return True

    async def start(self, client_id: int = 77) -> None:
        self.writer.write(GREETING)
        assert (await self.fields())[0] == "176"
        self.writer.write(encode(71, 2, client_id, ""))
        assert (await self.fields())[0] == "15"
        for _ in range(4):
            await self.fields()


@pytest.fixture
async def raw(simulator: GatewaySimulator) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    yield Raw(reader, writer)
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def still_serves(clients: Clients) -> bool:
    ib = await clients.connect(client_id=9)
    await asyncio.wait_for(ib.reqCurrentTimeAsync(), DEADLINE)
    return True


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"API\0" + struct.pack(">I", 0xFFFFFFFF),
        b"API\0" + struct.pack(">I", 3) + b"abc",
        b"API\0" + struct.pack(">I", 9) + b"v100..156",
        b"API\0" + struct.pack(">I", 9) + b"v177..180",
        b"API\0" + struct.pack(">I", 0),
        GREETING + encode(1, 2, 3),
        GREETING + encode(49, 1),
    ],
    ids=[
        "another protocol",
        "a frame of four gigabytes",
        "no version",
        "too old a version",
        "too new a version",
        "an empty version",
        "a malformed request before the start",
        "a request before the start",
    ],
)
async def test_bad_beginnings_are_closed(raw: Raw, clients: Clients, data: bytes) -> None:
    raw.writer.write(data)
    if b"v157..176" in data and data.endswith(encode(1, 2, 3)):
        assert (await raw.fields())[0] == "176"
        assert (await raw.fields())[3] == "320"
    else:
        assert await raw.closed()
    assert await still_serves(clients)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (encode("x"), "320"),
        (encode(3, "not a number"), "320"),
        (encode(3), "320"),
        (encode(49, 1, "left over"), "320"),
        (b"\0\0\0\0", "320"),
        (struct.pack(">I", 2) + b"\xff\xfe", "320"),
        (encode(12345), "321"),
        (encode(71, 2, 5, ""), "321"),
    ],
    ids=[
        "no message id",
        "a field of the wrong kind",
        "no fields",
        "a field too many",
        "nothing",
        "not UTF-8",
        "an unknown message id",
        "a second start",
    ],
)
async def test_malformed_requests_are_answered_and_the_session_goes_on(
    raw: Raw, request_: bytes, code: str
) -> None:
    await raw.start()
    raw.writer.write(request_)
    assert (await raw.fields())[3] == code
    raw.writer.write(encode(49, 1))
    assert (await raw.fields())[0] == "49"


async def test_a_greeting_in_single_bytes_is_understood(raw: Raw) -> None:
    for byte in GREETING:
        raw.writer.write(bytes([byte]))
        await raw.writer.drain()
    assert (await raw.fields())[0] == "176"


@pytest.mark.parametrize("versions", [b"v157..176 +PACEAPI", b"v100..178\0"])
async def test_other_greetings_are_understood(raw: Raw, versions: bytes) -> None:
    raw.writer.write(b"API\0" + struct.pack(">I", len(versions)) + versions)
    version, time = await raw.fields()
    assert version == "176"
    assert time.endswith(" EST")


async def test_a_request_that_is_not_simulated_does_not_leave_its_caller_waiting(
    ib: IB, aapl: Stock
) -> None:
    bars = await asyncio.wait_for(
        ib.reqHistoricalDataAsync(aapl, "", "1 D", "1 hour", "TRADES", True), DEADLINE
    )
    assert list(bars) == []


async def test_clients_are_limited(
    monkeypatch: pytest.MonkeyPatch, simulator: GatewaySimulator, raw: Raw, clients: Clients
) -> None:
    monkeypatch.setattr(server, "MAX_CLIENTS", 1)
    await until(lambda: simulator.connected == 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    assert await Raw(reader, writer).closed()
    writer.close()
    await raw.start()
    raw.writer.close()
    await until(lambda: simulator.connected == 0)
    assert await still_serves(clients)


async def test_a_client_too_far_behind_is_dropped_alone(
    monkeypatch: pytest.MonkeyPatch,
    simulator: GatewaySimulator,
    clients: Clients,
    ib: IB,
) -> None:
    monkeypatch.setattr(connection, "MAX_UNSENT", 100_000)
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    await Raw(reader, writer).start()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    while simulator.connected == 2:
        writer.write(encode(62, 1, 1, "All", "$LEDGER:ALL,NetLiquidation") * 100)
        await asyncio.sleep(0.001)
    writer.transport.abort()
    await asyncio.wait_for(ib.reqCurrentTimeAsync(), DEADLINE)


async def test_a_client_less_far_behind_is_waited_for(
    simulator: GatewaySimulator, raw: Raw
) -> None:
    await raw.start()
    [connected] = simulator._connections
    transport = connected._transport
    assert transport
    raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
    asked = 0
    while transport.get_write_buffer_size() < 1_000_000:
        raw.writer.write(encode(62, 1, 1, "All", "$LEDGER:ALL,NetLiquidation") * 100)
        asked += 100
        await asyncio.sleep(0.001)
    raw.writer.transport.resume_reading()  # type: ignore[attr-defined]
    ended = 0
    while ended < asked:
        ended += (await raw.fields())[0] == "64"
    assert simulator.connected == 1


async def test_orders_of_a_client_that_left_in_mid_request_live_on(
    raw: Raw, clients: Clients, control: Control, ib: IB, aapl: Stock
) -> None:
    trade = ib.placeOrder(aapl, MarketOrder("BUY", 1))
    await until(trade.isDone)
    await raw.start()
    raw.writer.write(encode(49, 1)[:-1])
    raw.writer.close()
    assert len((await control.state())["orders"]) == 1
    assert await still_serves(clients)
