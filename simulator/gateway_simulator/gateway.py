"""The whole simulated gateway without its sockets: sessions, the exchange, faults, the tick."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal

from gateway_simulator.book import Book, Order
from gateway_simulator.contracts import Directory, Instrument
from gateway_simulator.desk import Desk
from gateway_simulator.exchange import Event, Exchange, Filled
from gateway_simulator.faults import Faults
from gateway_simulator.market import Market, Quote
from gateway_simulator.replies import EXCHANGE_TIME
from gateway_simulator.session import Session
from gateway_simulator.session_quotes import Line
from gateway_simulator.settings import Settings
from gateway_simulator.ticks import Tick, changed_ticks

PNL_SECONDS = 1.0
VALUES_SECONDS = 3.0
"""The real gateway tells account values every three minutes; nobody waits that long here."""

# Order and execution numbers of one run start at its time, so that runs don't share them.
_FIRST_RUN = datetime(2024, 1, 1, tzinfo=UTC)

SYSTEM_TEXTS = {
    1100: "Connectivity between IB and Trader Workstation has been lost.",
    1101: "Connectivity between IB and Trader Workstation has been restored - data lost.",
    1102: "Connectivity between IB and Trader Workstation has been restored - data maintained.",
}


class Gateway:
    """`clock` gives an aware time, `monotonic` seconds for durations."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        run = int((clock() - _FIRST_RUN).total_seconds())
        market = Market(settings.seed, settings.tick_seconds)
        book = Book(run, settings.initial_cash)
        self.faults = Faults(monotonic)
        self.desk = Desk(
            settings.account,
            Directory(),
            Exchange(book, market, clock),
            self.faults,
            clock,
            self.publish,
        )
        self.sessions: dict[int, Session] = {}
        self.received: Counter[str] = Counter()
        self._monotonic = monotonic
        self._pnl_due = self._values_due = monotonic()
        self._day = self._today()

    # Sessions

    def join(self, client_id: int, send: Callable[[bytes], None]) -> Session | None:
        """A session for a client, or None when its id is in use."""
        if client_id in self.sessions:
            return None
        session = self.sessions[client_id] = Session(client_id, self.desk, send)
        return session

    def leave(self, session: Session) -> None:
        """Forget a session whose socket is gone; its orders live on."""
        if self.sessions.get(session.client_id) is session:
            del self.sessions[session.client_id]

    def publish(self, events: Iterable[Event]) -> None:
        """Tell owners about their orders, and everybody about trades."""
        for event in events:
            owner = self.sessions.get(_order_of(event).client_id)
            if owner:
                owner.orders.on_event(event)
            if isinstance(event, Filled):
                self._tell_trade(_order_of(event).instrument)

    # Time

    def tick(self) -> None:
        """One step of the market, and everything that is due."""
        exchange = self.desk.exchange
        self._hold_or_release_fills()
        self._end_day()
        before = exchange.market.quotes()
        exchange.market.step()
        self.publish(exchange.match())
        self._tell(before)

    def jump(self, instrument: Instrument, price: Decimal) -> Quote:
        """Move a price at once; orders, quotes and P&L follow before this returns."""
        market = self.desk.exchange.market
        before = {instrument.con_id: market.quote(instrument)}
        quote = market.jump(instrument, price)
        self.publish(self.desk.exchange.match())
        self._pnl_due = self._values_due = self._monotonic()
        self._tell(before)
        return quote

    # Faults

    def system(self, code: int) -> None:
        """1100: the link to IB is lost. 1101: it is back without market data. 1102: with it."""
        if code == 1100:
            self.desk.exchange.reachable = False
        for session in self.sessions.values():
            if code == 1101:
                session.quotes.lose()
            session.notify(code, SYSTEM_TEXTS[code])
        if code != 1100:
            self.publish(self.desk.exchange.reconnect())

    def lose_feeds(self) -> None:
        """A silent reset: market data and P&L stop, and nobody is told."""
        for session in self.sessions.values():
            session.quotes.lose()
            session.account.lose_pnl()

    def hold_fills(self, seconds: float | None) -> None:
        """Accept orders and fill none, for some seconds or until faults are cleared."""
        self.faults.hold_fills(seconds)
        self._hold_or_release_fills()

    def clear_faults(self) -> None:
        """End all faults; a lost link comes back with its data (1102)."""
        self.faults.clear()
        self._hold_or_release_fills()
        if not self.desk.exchange.reachable:
            self.system(1102)

    def _hold_or_release_fills(self) -> None:
        self.desk.exchange.fills_held = self.faults.fills_held

    def _tell_trade(self, instrument: Instrument) -> None:
        position = self.desk.book.position(instrument.con_id)
        self._values_due = self._monotonic()
        for session in self.sessions.values():
            if position:
                session.account.on_trade(position)

    def _tell(self, before: dict[int, Quote]) -> None:
        """What comes from IB's servers: nothing while the link to them is lost."""
        self._tell_ticks(before)
        if self.desk.exchange.reachable and not self.faults.deaf:
            self._tell_what_is_due()

    def _tell_ticks(self, before: dict[int, Quote]) -> None:
        """Write each symbol's ticks once, whoever subscribes to it."""
        written: dict[Line, list[Tick]] = {}
        now = self.desk.clock()

        def ticks_of(line: Line) -> list[Tick]:
            if line not in written:
                after = self.desk.exchange.market.quote(line.instrument)
                then = before.get(line.instrument.con_id, after)
                written[line] = changed_ticks(then, after, now, delayed=line.delayed)
            return written[line]

        for session in self.sessions.values():
            session.quotes.on_ticks(ticks_of)

    def _tell_what_is_due(self) -> None:
        now = self._monotonic()
        if now >= self._pnl_due:
            self._pnl_due = now + PNL_SECONDS
            for session in self.sessions.values():
                session.account.on_pnl()
        if now >= self._values_due:
            self._values_due = now + VALUES_SECONDS
            values = self.desk.values()
            for session in self.sessions.values():
                session.account.on_values(values)

    def _end_day(self) -> None:
        today = self._today()
        if today != self._day:
            self._day = today
            self.publish(self.desk.exchange.end_day())

    def _today(self) -> str:
        """Executions and P&L are those since midnight in New York."""
        return f"{self.desk.clock().astimezone(EXCHANGE_TIME):%Y%m%d}"


def _order_of(event: Event) -> Order:
    return event.execution.order if isinstance(event, Filled) else event.order
