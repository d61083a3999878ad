"""One client's socket: greeting, framing, bounds, and the faults that concern bytes."""

import asyncio
import logging
import re
import socket
import struct
from collections.abc import Iterator
from typing import Protocol

from gateway_simulator import replies
from gateway_simulator.fields import MalformedRequestError
from gateway_simulator.gateway import Gateway
from gateway_simulator.message_faults import kind_of, without_name, without_numbers
from gateway_simulator.requests import Request, StartApi, decode
from gateway_simulator.session import Session
from gateway_simulator.wire import PREAMBLE, FrameReader, WireError, split_fields

SERVER_VERSION = 176
"""The highest version that ib_insync and ib_async share; the only one whose layouts are written."""

MAX_UNSENT = 16 * 1024 * 1024
"""Bytes a client may leave unread before it is dropped: the resync of a full day, twice over."""

_VERSIONS = re.compile(r"v(\d{1,9})\.\.(\d{1,9})( .*)?")
# Close with a reset (RST), not in order (FIN): linger on, for 0 seconds.
_RESET = struct.pack("ii", 1, 0)
# Where requests that are not simulated have their request id, so that their caller hears of it.
_REQUEST_ID_FIELD = dict.fromkeys((10, 50, 52, 54, 55), 2) | dict.fromkeys(
    (20, 22, 78, 79, 81, 83, 84, 86, 87, 88, 96, 97, 100, 102, 104), 1
)

log = logging.getLogger(__name__)


class Host(Protocol):
    """What a connection needs of the server it belongs to."""

    @property
    def gateway(self) -> Gateway:
        """The gateway it speaks for."""

    def admit(self, connection: "Connection") -> bool:
        """Whether there is room for one more."""

    def forget(self, connection: "Connection") -> None:
        """The socket is gone."""


class Connection(asyncio.Protocol):
    """Speaks with one client. A hung gateway does not read; what it says waits in a backlog."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._gateway = host.gateway
        self._reader = FrameReader(preamble=PREAMBLE)
        self._transport: asyncio.Transport | None = None
        self._greeted = False
        self._session: Session | None = None
        self._backlog = bytearray()
        self._late: list[bytes] = []
        self._hung = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio's promise
        self._transport = transport
        transport.set_write_buffer_limits(high=MAX_UNSENT)
        if not self._host.admit(self):
            self.close(reset=True)

    def connection_lost(self, _error: Exception | None) -> None:
        """The socket is closed, by whichever side."""
        self._transport = None
        if self._session:
            log.info("client %d left", self._session.client_id)
            self._gateway.leave(self._session)
        self._host.forget(self)

    def pause_writing(self) -> None:
        """The client reads too slowly: more than MAX_UNSENT bytes wait for it."""
        log.warning("dropping a client that is %d bytes behind", MAX_UNSENT)
        self.close(reset=True)

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        try:
            for payload in self._reader.feed(data):
                self._receive(payload)
        except WireError as error:
            log.warning("closing a connection: %s", error)
            self.close(reset=False)

    # For the server

    def send(self, data: bytes) -> None:
        """Send whole frames, unless a fault keeps them back."""
        if self._transport is not None and not self._gateway.faults.mute:
            for message in self._as_fated(data):
                self._write(message)

    def release(self) -> None:
        """Send what was kept back and is not late any more."""
        late, self._late = self._late, []
        for message in late:
            self.send(message)

    def hang(self, hung: bool) -> None:
        """Stop or resume reading and writing."""
        if hung == self._hung or self._transport is None:
            return
        self._hung = hung
        if hung:
            self._transport.pause_reading()
            return
        self._transport.write(bytes(self._backlog))
        self._backlog.clear()
        self._transport.resume_reading()

    def close(self, *, reset: bool) -> None:
        """Close at once, throwing away what is unsent; or in order, after sending it."""
        transport, self._transport = self._transport, None
        if transport is None:
            return
        if not reset:
            transport.close()
            return
        connected = transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()

    def _as_fated(self, data: bytes) -> Iterator[bytes]:
        match self._gateway.faults.messages.fate(kind_of(data)):
            case "lost":
                return
            case "late":
                self._late.append(data)
            case "twice":
                yield from (data, data)
            case "unset":
                yield without_numbers(data)
            case "nameless":
                yield without_name(data)
            case None:
                yield data

    def _write(self, data: bytes) -> None:
        if self._transport is None:
            return
        if self._hung:
            self._backlog += data
            if len(self._backlog) > MAX_UNSENT:
                self.close(reset=True)
        else:
            self._transport.write(data)

    # Requests

    def _receive(self, payload: bytes) -> None:
        if self._transport is None:
            return  # closed while there were still frames in the buffer
        if not self._greeted:
            self._greet(payload)
            return
        fields = split_fields(payload)
        try:
            request = decode(fields)
        except MalformedRequestError as error:
            self._count("malformed")
            log.warning("malformed request %s: %s", fields[:1], error)
            self._refuse(-1, 320, f"Server error when reading an API client request: {error}")
        else:
            self._obey(request, fields)

    def _greet(self, payload: bytes) -> None:
        """Agree on the version: the lower of the two highest."""
        match = _VERSIONS.fullmatch(payload.decode(errors="replace").rstrip("\0"))
        lowest, highest = (int(match[1]), int(match[2])) if match else (0, 0)
        if not lowest <= SERVER_VERSION <= highest:
            raise WireError(f"needs a client of version {SERVER_VERSION}, got {payload[:40]!r}")
        self._greeted = True
        self.send(replies.handshake(SERVER_VERSION, self._gateway.desk.clock()))

    def _obey(self, request: Request | None, fields: list[str]) -> None:
        self._count(type(request).__name__ if request else "not simulated")
        if self._session is None:
            self._start(request)
        elif request is None:
            number = _request_id(fields)
            self._refuse(number, 321, f"Error validating request: {fields[0]} is not simulated")
        else:
            self._session.handle(request)

    def _start(self, request: Request | None) -> None:
        if not isinstance(request, StartApi):
            raise WireError(f"the first request must be startApi, not {type(request).__name__}")
        self._session = self._gateway.join(request.client_id, self.send)
        if self._session:
            log.info("client %d joined", request.client_id)
            self._session.welcome()
            return
        text = "Unable to connect as the client id is already in use. Retry with a unique client id"
        self._refuse(-1, 326, text)
        self.close(reset=False)

    def _refuse(self, request_id: int, code: int, text: str) -> None:
        self.send(replies.error(request_id, code, text))

    def _count(self, name: str) -> None:
        self._gateway.received[name] += 1


def _request_id(fields: list[str]) -> int:
    """The id of a request that is not simulated, or -1."""
    place = _REQUEST_ID_FIELD.get(int(fields[0] or 0), len(fields))
    text = fields[place] if place < len(fields) else ""
    return int(text) if text.isascii() and text.isdigit() else -1
