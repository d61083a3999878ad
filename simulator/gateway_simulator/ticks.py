"""Market data messages. A tick is written once per symbol, then addressed to each subscription."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from gateway_simulator.market import Quote
from gateway_simulator.wire import field, frame

# Tick types, live and delayed.
_DELAYED = {1: 66, 2: 67, 4: 68, 6: 72, 7: 73, 8: 74, 9: 75, 14: 76, 45: 88}
BID, ASK, LAST, HIGH, LOW, VOLUME, CLOSE, OPEN, LAST_TIMESTAMP = 1, 2, 4, 6, 7, 8, 9, 14, 45


@dataclass(frozen=True)
class Tick:
    """A message but for its request id, which is the third field in all of them."""

    head: str
    tail: str

    def addressed(self, request_id: int) -> bytes:
        """The frame for one subscription."""
        return frame(f"{self.head}{request_id}\0{self.tail}")


def all_ticks(quote: Quote, now: datetime, *, delayed: bool = False) -> list[Tick]:
    """What a new subscription is told first, and all that a snapshot holds."""
    return [
        *_moving(None, quote, now, delayed=delayed),
        _price(CLOSE, quote.close, 0, delayed=delayed),
        _price(OPEN, quote.open, 0, delayed=delayed),
    ]


def changed_ticks(
    before: Quote, after: Quote, now: datetime, *, delayed: bool = False
) -> list[Tick]:
    """What a subscription is told when the quote moves."""
    return list(_moving(before, after, now, delayed=delayed))


def _moving(before: Quote | None, after: Quote, now: datetime, *, delayed: bool) -> Iterator[Tick]:
    for tick_type, price, size in _prices(after):
        if before is None or (tick_type, price, size) not in _prices(before):
            yield _price(tick_type, price, size, delayed=delayed)
    if before is None or before.volume != after.volume:
        yield _value("2\x006\0", VOLUME, str(after.volume), delayed=delayed)
        yield _value("46\x006\0", LAST_TIMESTAMP, str(int(now.timestamp())), delayed=delayed)


def _prices(quote: Quote) -> tuple[tuple[int, Decimal, int], ...]:
    return (
        (BID, quote.bid, quote.bid_size),
        (ASK, quote.ask, quote.ask_size),
        (LAST, quote.last, quote.last_size),
        (HIGH, quote.high, 0),
        (LOW, quote.low, 0),
    )


def _price(tick_type: int, price: Decimal, size: int, *, delayed: bool) -> Tick:
    """tickPrice with the size that belongs to it; its last field is a mask of attributes."""
    shown = _DELAYED[tick_type] if delayed else tick_type
    return Tick("1\x006\0", f"{shown}\0{field(price)}\0{size}\0" + "0\0")


def _value(head: str, tick_type: int, value: str, *, delayed: bool) -> Tick:
    shown = _DELAYED[tick_type] if delayed else tick_type
    return Tick(head, f"{shown}\0{value}\0")
