"""The running simulator: listens, ticks, and carries out faults that concern sockets."""

import asyncio
import logging
import socket
import time
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from gateway_simulator.connection import Connection
from gateway_simulator.control import Control
from gateway_simulator.gateway import Gateway
from gateway_simulator.settings import Settings

MAX_CLIENTS = 32
"""As many as the real gateway takes."""

log = logging.getLogger(__name__)


class GatewaySimulator:
    """Use as ``async with GatewaySimulator(Settings(port=0, control_port=0)) as simulator``."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.gateway = Gateway(self.settings, lambda: datetime.now(UTC), time.monotonic)
        self._connections: set[Connection] = set()
        self._control = Control(self)
        self._bound: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._listening = asyncio.Lock()
        self._ticking: asyncio.Task[None] | None = None

    # Running

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen on both ports. Raises OSError when one is taken."""
        try:
            self._bound = _bind(self.settings.host, self.settings.port)
            await self._control.start(self.settings.control_host, self.settings.control_port)
            await self.apply_faults()
        except BaseException:
            await self.stop()
            raise
        self._ticking = asyncio.create_task(self._tick_for_ever())

    async def run(self) -> None:
        """Serve until cancelled; raises what stops the ticks, which nothing should."""
        if self._ticking:
            await self._ticking

    async def stop(self) -> None:
        """Stop ticking, close both ports and all connections."""
        if self._ticking:
            self._ticking.cancel()
            await asyncio.wait([self._ticking])
        await self._control.stop()
        self.drop(reset=False)
        if self._server:
            self._server.close()
        if self._bound:
            self._bound.close()

    @property
    def port(self) -> int:
        """Where the TWS protocol is spoken."""
        assert self._bound, "not started"  # noqa: S101 - a mistake of the caller
        return int(self._bound.getsockname()[1])

    @property
    def control_url(self) -> str:
        """Base URL of the control port, without a slash at the end."""
        return self._control.url

    @property
    def listening(self) -> bool:
        """Whether clients can connect."""
        return self._server is not None

    @property
    def connected(self) -> int:
        """Open connections, those that have not named themselves included."""
        return len(self._connections)

    # For connections

    def admit(self, connection: Connection) -> bool:
        """Whether there is room for one more client."""
        if len(self._connections) >= MAX_CLIENTS:
            log.warning("refusing a client: there are %d already", MAX_CLIENTS)
            return False
        self._connections.add(connection)
        connection.hang(self.gateway.faults.hung)
        return True

    def forget(self, connection: Connection) -> None:
        """A connection's socket is gone."""
        self._connections.discard(connection)

    # Faults

    def drop(self, *, reset: bool) -> int:
        """Close all connections, with a reset or in order; returns how many there were."""
        dropped = list(self._connections)
        for connection in dropped:
            connection.close(reset=reset)
        return len(dropped)

    async def apply_faults(self) -> None:
        """Let sockets follow the faults in force."""
        for connection in list(self._connections):
            connection.hang(self.gateway.faults.hung)
            connection.release()
        async with self._listening:
            if self.gateway.faults.refusing:
                self._stop_listening()
            else:
                await self._listen()

    async def _listen(self) -> None:
        if self._server is None and self._bound:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(lambda: Connection(self), sock=self._bound)
            log.info("listening on %s", self._bound.getsockname()[:2])

    def _stop_listening(self) -> None:
        """Close the listening socket, but keep its port bound: connecting is refused."""
        if self._server and self._bound:
            name = self._bound.getsockname()
            self._server.close()
            self._server = None
            self._bound = _bind(name[0], name[1])
            self.drop(reset=True)

    async def _tick_for_ever(self) -> None:
        """Ticks at a steady rate; after a pause of the process it does not catch up."""
        step = self.settings.tick_seconds
        due = time.monotonic() + step
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due + step, time.monotonic())
            await self.apply_faults()
            self.gateway.tick()


def _bind(host: str, port: int) -> socket.socket:
    """A socket bound to the first address of `host`, so that a restart can listen at once."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _name, address = found[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except BaseException:
        bound.close()
        raise
    bound.setblocking(False)
    return bound
