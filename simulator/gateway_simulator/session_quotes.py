"""A session's contracts and market data."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway_simulator import replies
from gateway_simulator import requests as ask
from gateway_simulator.contracts import Instrument
from gateway_simulator.desk import Client, Desk
from gateway_simulator.ticks import Tick, all_ticks

MAX_LINES = 100
"""Market data lines of one client: as many as a plain account has at the real gateway."""


_DELAYED = (3, 4)


@dataclass(frozen=True)
class Line:
    """A market data subscription: live, or in the delayed family of ticks."""

    instrument: Instrument
    delayed: bool


class SessionQuotes:
    """The part of a session that deals with market data. Keys are the client's request ids."""

    def __init__(self, client: Client, desk: Desk) -> None:
        self._client = client
        self._desk = desk
        self._data_type = 1
        self._lines: dict[int, Line] = {}
        self._behind: set[int] = set()

    @property
    def symbols(self) -> list[str]:
        """What is subscribed."""
        return sorted({line.instrument.symbol for line in self._lines.values()})

    def contract_details(self, request: ask.RequestContractDetails) -> None:
        """Tell everything about a contract."""
        number = request.request_id
        instrument = self._client.find(self._desk, number, request.contract)
        if instrument:
            self._client.send(replies.contract_details(number, instrument))
            self._client.send(replies.contract_details_end(number))

    def choose_data_type(self, request: ask.RequestMarketDataType) -> None:
        """From the next subscription on: live (1, 2) or delayed (3, 4)."""
        if request.data_type in (1, 2, 3, 4):
            self._data_type = request.data_type

    def subscribe(self, request: ask.RequestMarketData) -> None:
        """Tell the present quote and, unless a snapshot was asked for, all that follow."""
        number = request.request_id
        instrument = self._client.find(self._desk, number, request.contract)
        if instrument is None or not self._has_room(number):
            return
        data_type = self._entitled_type()
        line = Line(instrument, delayed=data_type in _DELAYED)
        self._client.send(replies.tick_parameters(number))
        self._client.send(replies.market_data_type(number, data_type))
        told = self._tell_quote(number, line)
        if request.snapshot:
            self._client.send(replies.snapshot_end(number))
            return
        self._lines[number] = line
        if not told:
            self._behind.add(number)

    def unsubscribe(self, request: ask.CancelMarketData) -> None:
        """Stop telling."""
        number = request.request_id
        self._behind.discard(number)
        if self._lines.pop(number, None) is None:
            self._client.refuse(number, 300, f"Can't find EId with tickerId:{number}")

    def on_ticks(self, ticks_of: Callable[[Line], Iterable[Tick]]) -> None:
        """Pass on what has moved; after a stall the whole quote, since much of it was missed."""
        for number, line in self._lines.items():
            if not self._is_fed(line):
                self._behind.add(number)
            elif number in self._behind:
                self._behind.discard(number)
                self._tell_quote(number, line)
            else:
                self._tell(number, ticks_of(line))

    def lose(self) -> None:
        """Forget all subscriptions, as code 1101 says."""
        self._lines.clear()
        self._behind.clear()

    def _entitled_type(self) -> int:
        """Who asks for live data that the account doesn't have, is told delayed data."""
        asked = self._data_type
        return asked + 2 if self._desk.faults.feeds_delayed and asked not in _DELAYED else asked

    def _is_fed(self, line: Line) -> bool:
        desk, symbol = self._desk, line.instrument.symbol
        return desk.exchange.reachable and not (desk.faults.deaf or desk.faults.stalled(symbol))

    def _tell_quote(self, number: int, line: Line) -> bool:
        """Tell the whole quote, if there is a feed to tell it."""
        fed = self._is_fed(line)
        if fed:
            quote = self._desk.exchange.market.quote(line.instrument)
            self._tell(number, all_ticks(quote, self._desk.clock(), delayed=line.delayed))
        return fed

    def _tell(self, number: int, ticks: Iterable[Tick]) -> None:
        """All ticks at once: one write to the socket for each subscription."""
        frames = b"".join(tick.addressed(number) for tick in ticks)
        if frames:
            self._client.send(frames)

    def _has_room(self, number: int) -> bool:
        room = number in self._lines or len(self._lines) < MAX_LINES
        if not room:
            self._client.refuse(number, 101, "Max number of tickers has been reached")
        return room
