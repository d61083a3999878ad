"""Framing: whatever is encoded comes out again, however the bytes are cut."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_simulator.wire import (
    MAX_FRAME,
    PREAMBLE,
    FrameReader,
    WireError,
    encode,
    field,
    split_fields,
)

# Surrogates can't be written as UTF-8, and a NUL ends a field.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
messages = st.lists(st.lists(texts, min_size=1, max_size=8), min_size=1, max_size=6)


@given(messages, st.data())
def test_fields_survive_any_cut(sent: list[list[str]], data: st.DataObject) -> None:
    stream = PREAMBLE + b"".join(encode(*fields) for fields in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    edges = [0, *cuts, len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(edges)]

    reader = FrameReader(preamble=PREAMBLE)
    received = [split_fields(one) for piece in pieces for one in reader.feed(piece)]

    assert received == sent


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_payloads_or_an_error(data: bytes) -> None:
    reader = FrameReader(preamble=PREAMBLE)
    try:
        payloads = list(reader.feed(data))
    except WireError:
        return
    assert all(len(payload) <= len(data) for payload in payloads)
    assert all(isinstance(one, str) for payload in payloads for one in split_fields(payload))


def test_a_frame_above_the_limit_is_refused_before_it_is_collected() -> None:
    reader = FrameReader()
    with pytest.raises(WireError, match="above the limit"):
        list(reader.feed((MAX_FRAME + 1).to_bytes(4, "big")))


def test_a_frame_at_the_limit_is_accepted() -> None:
    payload = b"x" * MAX_FRAME
    assert list(FrameReader().feed(MAX_FRAME.to_bytes(4, "big") + payload)) == [payload]


@pytest.mark.parametrize("start", [b"GET ", b"AP\0", b"\0"])
def test_another_greeting_is_refused_at_its_first_wrong_byte(start: bytes) -> None:
    with pytest.raises(WireError, match="greeting"):
        list(FrameReader(preamble=PREAMBLE).feed(start))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (True, "1"),
        (False, "0"),
        (None, ""),
        (7, "7"),
        (Decimal("12.50"), "12.5"),
        (Decimal("1E+3"), "1000"),
        (Decimal("-0.000000001"), "0"),
        (Decimal(100) / 3, "33.33333333"),
        ("a\0b", "ab"),
    ],
    ids=str,
)
def test_values_are_written_as_the_protocol_wants(
    value: Decimal | str | None, written: str
) -> None:
    assert field(value) == written
