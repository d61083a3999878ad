"""Framing of the TWS protocol: length-prefixed payloads of NUL-terminated text fields.

Every frame, both ways, is a 4-byte big-endian unsigned payload length followed by the payload;
the payload is UTF-8 text in which each field is *terminated* (not separated) by a NUL byte.
The one exception is the client's greeting, four raw bytes ``API\\0`` before its first frame.
"""

import struct
from collections.abc import Iterator
from decimal import Decimal

PREAMBLE = b"API\0"
"""What a client sends before its first frame."""

MAX_FRAME = 256 * 1024
"""Longest payload accepted from a client, in bytes.

The official client library stops at 0xFFFFFF. No request needs more than a few kilobytes, and 32
clients may all be in the middle of a frame: this keeps their buffers below 8 MiB together.
"""

UNSET = "1.7976931348623157E308"
"""Java's Double.MAX_VALUE as the gateway prints it: a number that is not set."""

Value = str | int | float | bool | Decimal | None
_LENGTH = struct.Struct(">I")


class WireError(Exception):
    """The byte stream cannot be split into frames any more; only closing the socket helps."""


def encode(*values: Value) -> bytes:
    """One frame holding `values` as fields."""
    return frame("".join(field(value) + "\0" for value in values))


def frame(payload: str) -> bytes:
    """Prefix a payload, whose fields are already terminated, with its length."""
    body = payload.encode()
    return _LENGTH.pack(len(body)) + body


def field(value: Value) -> str:
    """A value as it is written in a field: booleans 1 and 0, nothing for None.

    A NUL inside a text would be read as the end of the field, so it is left out.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, Decimal):
        return plain(value)
    return str(value).replace("\0", "")


def plain(number: Decimal) -> str:
    """A decimal without exponent, at most 8 places and no trailing zeros: ``12.5``, ``100``."""
    text = f"{number:.8f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def split_fields(payload: bytes) -> list[str]:
    """Fields of a payload; text that is not UTF-8 is kept readable, never refused here."""
    fields = payload.decode(errors="backslashreplace").split("\0")
    if fields[-1] == "":
        fields.pop()
    return fields


class FrameReader:
    """Cuts a byte stream, arriving in pieces of any size, into payloads."""

    def __init__(self, *, preamble: bytes = b"", max_frame: int = MAX_FRAME) -> None:
        self._buffer = bytearray()
        self._preamble = preamble
        self._max_frame = max_frame

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Add `data` and yield every payload that is complete. Raises WireError."""
        self._buffer += data
        while self._greeted():
            payload = self._next_payload()
            if payload is None:
                return
            yield payload

    def _greeted(self) -> bool:
        expected = self._preamble
        if not expected:
            return True
        start = bytes(self._buffer[: len(expected)])
        if not expected.startswith(start):
            raise WireError(f"expected the greeting {expected!r}, got {start!r}")
        if len(start) < len(expected):
            return False
        del self._buffer[: len(expected)]
        self._preamble = b""
        return True

    def _next_payload(self) -> bytes | None:
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if length > self._max_frame:
            raise WireError(f"a frame of {length} bytes is above the limit of {self._max_frame}")
        end = _LENGTH.size + length
        if len(self._buffer) < end:
            return None
        payload = bytes(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        return payload
