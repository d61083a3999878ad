"""The IB gateway, by ib_insync or ib_async: the only module that knows these clients.

Each session gets a client object of its own: the client clears its state on a drop, and late
messages of an old session must not reach the new one. Facts about its behaviour that this relies
on were read from its source (0.9.86; of its continuation 2.1.0) and are named where they matter.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from inspect import isawaitable
from typing import Any, Protocol, TypeVar

try:
    import ib_insync as ibi
except ModuleNotFoundError:  # its continuation, with the same interface: the extra `api-ib-async`
    import ib_async as ibi  # type: ignore[no-redef]

from stocks_api.domain.errors import ChangeRefused, GatewayUnavailable, OrderUnknownToGateway
from stocks_api.domain.market import (
    AccountSummary,
    Feed,
    Pnl,
    Position,
    Quote,
    finite,
    price,
)
from stocks_api.domain.orders import (
    Fill,
    Order,
    OrderFact,
    OrderStatus,
    OrderType,
    Terms,
    exact,
)
from stocks_api.services.order_writer import Snapshot
from stocks_api.services.pacing import CHORES, Pace

log = logging.getLogger(__name__)

_T = TypeVar("_T")

# What the gateway's own status words mean. The ones that are missing (PendingSubmit,
# PendingCancel, ApiPending) say nothing about the outcome.
_STATUS = {
    "PreSubmitted": OrderStatus.ACCEPTED,
    "Submitted": OrderStatus.ACCEPTED,
    "Filled": OrderStatus.FILLED,
    "Cancelled": OrderStatus.CANCELLED,
    "ApiCancelled": OrderStatus.CANCELLED,
    "Inactive": OrderStatus.REJECTED,
}

# Error codes that end an order. Other codes on an order are notes about it: the client marks the
# order as cancelled for most of them, and is wrong whenever the order lives on (10349, 105, ...).
_REJECTING = frozenset({103, 106, 107, 109, 110, 200, 201, 203, 321, 387, 388, 463, 10052, 10268})
_REFUSING_CHANGE = _REJECTING | {104, 105, 161, 329}
# Good news that comes as an error: data farms are fine, an order was cancelled as asked.
_NOT_ERRORS = frozenset({202, 2104, 2106, 2107, 2108, 2119, 2158})
_TYPE_WORDS = {
    OrderType.MARKET: "MKT",
    OrderType.LIMIT: "LMT",
    OrderType.STOP: "STP",
    OrderType.STOP_LIMIT: "STP LMT",
}
_UPSTREAM_LOST, _RESTORED_DATA_LOST, _RESTORED_DATA_KEPT = 1100, 1101, 1102
_CLIENT_ID_IN_USE = 326
_FEEDS = {1: Feed.LIVE, 2: Feed.FROZEN, 3: Feed.DELAYED, 4: Feed.DELAYED_FROZEN}
# The account's values that are told on, and how they are called here.
_ACCOUNT_VALUES = {
    "NetLiquidation": "net_liquidation",
    "TotalCashValue": "total_cash",
    "SettledCash": "settled_cash",
    "GrossPositionValue": "gross_position_value",
    "BuyingPower": "buying_power",
    "AvailableFunds": "available_funds",
    "ExcessLiquidity": "excess_liquidity",
    "InitMarginReq": "initial_margin",
    "MaintMarginReq": "maintenance_margin",
}

_BEYOND_REASON = 1e12  # shares or dollars; more does not fit the database either

# Paper and simulated accounts begin with DU, live ones never do.
_PAPER_PREFIX = "DU"


class Upstream(Protocol):
    """Who must know that the gateway lost or regained its servers."""

    def upstream_lost(self) -> None:
        """Code 1100."""

    def upstream_restored(self, *, data_lost: bool) -> None:
        """Codes 1101 (data lost) and 1102 (data kept)."""


class OrderFacts(Protocol):
    """Who must know what happens to orders."""

    def record(self, fact: OrderFact) -> None:
        """The gateway said something about an order."""


class PortfolioState(Protocol):
    """Who keeps positions and P&L."""

    def replace_positions(self, positions: Iterable[Position]) -> None:
        """All of them."""

    def position_changed(self, position: Position) -> None:
        """One of them."""

    def position_pnl_changed(self, account: str, symbol: str, pnl: Pnl) -> None:
        """The P&L of one of them."""

    def account_pnl_changed(self, pnl: Pnl) -> None:
        """The account's P&L."""

    def summary_changed(self, summary: AccountSummary) -> None:
        """What the account is worth and may do."""


class QuoteState(Protocol):
    """Who keeps market data."""

    def ticked(self, quote: Quote) -> None:
        """Market data arrived."""


class ErrorMetrics(Protocol):
    """Where the gateway's error messages are counted."""

    def gateway_error(self, code: int) -> None:
        """The gateway sent an error message."""


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Where the gateway is, and what to ask of it; `request_timeout` in seconds."""

    host: str
    port: int
    client_id: int
    symbols: tuple[str, ...]
    live: bool = False
    request_timeout: float = 4.0


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who hears what the gateway says."""

    orders: OrderFacts
    portfolio: PortfolioState
    quotes: QuoteState
    upstream: Upstream
    errors: ErrorMetrics


class IbGateway:
    """One gateway, session after session; lives on the event loop that runs it."""

    def __init__(self, config: GatewayConfig, pace: Pace) -> None:
        self._config = config
        self._pace = pace
        self._listeners: Listeners | None = None
        self._session: _Session | None = None

    def listen(self, listeners: Listeners) -> None:
        """Who hears what the gateway says, from now on."""
        self._listeners = listeners

    async def connect(self) -> None:
        """Open a session and subscribe. Raises GatewayUnavailable."""
        self._session = self.new_session()
        await self._session.open()

    def new_session(self) -> "_Session":
        """A session that is not open yet."""
        assert self._listeners is not None, "listen() comes first"  # noqa: S101 a wiring mistake
        return _Session(self._config, self._listeners, self._pace)

    async def round_trip(self) -> None:
        """Ask the gateway for its time. Raises GatewayUnavailable."""
        await self._current.round_trip()

    async def resubscribe(self) -> None:
        """Ask anew for market data and P&L, as the pace allows. Raises GatewayUnavailable."""
        self._current.subscribe()

    async def wait_closed(self) -> None:
        """Return when the session's socket is gone."""
        await self._current.closed.wait()

    async def close(self) -> None:
        """End the session; never raises."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def place(self, order: Order) -> None:
        """Send the order. Raises GatewayUnavailable when nothing was sent."""
        self._current.place(order)

    def cancel(self, order_id: str) -> None:
        """Ask to cancel. Raises GatewayUnavailable and OrderUnknownToGateway."""
        self._current.cancel(order_id)

    def change(self, order_id: str, terms: Terms) -> asyncio.Future[str]:
        """Ask to change an order; the future gets the gateway's words if it refuses.

        Raises GatewayUnavailable, OrderUnknownToGateway and ChangeRefused.
        """
        return self._current.change(order_id, terms)

    def cancel_all(self) -> None:
        """Ask to cancel every open order, of all clients. Raises GatewayUnavailable."""
        self._current.cancel_all()

    async def snapshot(self) -> Snapshot:
        """All that the gateway knows of orders; positions are renewed too."""
        return await self._current.snapshot()

    @property
    def _current(self) -> "_Session":
        if self._session is None:
            raise GatewayUnavailable("not connected to the gateway", "closed")
        return self._session


@dataclass(frozen=True, slots=True)
class _Change:
    refusal: asyncio.Future[str]
    status_before: str


class _Session:
    def __init__(self, config: GatewayConfig, listeners: Listeners, pace: Pace) -> None:
        self._config = config
        self._to = listeners
        self._pace = pace
        self._ib = ibi.IB()
        self._account = ""
        self._trades: dict[str, ibi.Trade] = {}  # our order id -> the client's object
        self._changes: dict[str, _Change] = {}  # our order id -> the change under way
        self._symbols: dict[int, str] = {}  # contract id -> symbol, of P&L subscriptions
        self._watched = [ibi.Stock(symbol, "SMART", "USD") for symbol in config.symbols]
        self._hint = ""
        self._syncing = asyncio.Lock()  # the client's requests of one kind must not overlap
        self._asking_time = asyncio.Lock()
        self._chores: asyncio.Queue[Callable[[], object]] = asyncio.Queue()
        self._chores_task: asyncio.Task[None] | None = None
        self.closed = asyncio.Event()
        self._listen()
        self._take_over_pacing()

    # Session

    async def open(self) -> None:
        config = self._config
        try:
            await self._ib.connectAsync(
                config.host, config.port, config.client_id, timeout=config.request_timeout
            )
        except (OSError, TimeoutError) as error:
            _restore_cancellation()
            raise GatewayUnavailable(self._explain(error), "connect") from error
        self._listen_to_orders()
        accounts = self._ib.managedAccounts()
        self._check(accounts)
        if len(accounts) > 1:
            log.warning("the gateway serves %s, only the first is used", accounts)
        self._account = accounts[0]
        self._chores_task = asyncio.create_task(self._do_chores())
        for value in self._ib.accountValues(self._account):  # came while connecting
            self._on_account_value(value)
        self.subscribe()

    async def round_trip(self) -> None:
        async with self._asking_time:
            await self._ask(lambda: self._ib.reqCurrentTimeAsync(), "the time")

    def close(self) -> None:
        self._to = _deaf(self._to)
        self.closed.set()
        if self._chores_task is not None:
            self._chores_task.cancel()
        transport = self._ib.client.conn.transport
        with suppress(OSError):  # the client's word for "half connected", it is lost anyhow
            self._ib.disconnect()
        if transport is not None and transport.get_write_buffer_size():
            transport.abort()  # nobody reads the rest, so closing politely would wait for ever

    def _explain(self, error: Exception) -> str:
        where = f"{self._config.host}:{self._config.port}"
        what = self._hint or str(error) or type(error).__name__
        return f"cannot connect to {where}: {what}"

    def _check(self, accounts: Sequence[str]) -> None:
        """Simulated and live must never be mistaken: the account's name is the witness."""
        paper = [account.startswith(_PAPER_PREFIX) for account in accounts]
        if self._config.live and any(paper):
            raise GatewayUnavailable(
                f"STOCKS_GATEWAY_MODE is live, but the gateway serves {accounts}", "account"
            )
        if not self._config.live and not all(paper):
            raise GatewayUnavailable(
                "STOCKS_GATEWAY_MODE is not live, but the gateway serves an account that is not "
                f"a paper account ({_PAPER_PREFIX}...): refused",
                "account",
            )

    def _listen(self) -> None:
        ib = self._ib
        ib.disconnectedEvent += self._on_disconnected
        ib.errorEvent += self._on_error
        ib.positionEvent += self._on_position
        ib.pnlEvent += self._on_pnl
        ib.pnlSingleEvent += self._on_position_pnl
        ib.accountValueEvent += self._on_account_value
        ib.pendingTickersEvent += self._on_tickers

    def _listen_to_orders(self) -> None:
        """From the connection on: what the client hears of orders before, the snapshot tells."""
        ib = self._ib
        ib.openOrderEvent += self._on_open_order
        ib.orderStatusEvent += self._on_order_status
        ib.execDetailsEvent += self._on_execution

    def _take_over_pacing(self) -> None:
        """Count every message, and let the client hold none back: it would lose them on a drop."""
        client: Any = self._ib.client
        client.MaxRequests = 0
        send = client.conn.sendMsg

        def counted(message: bytes) -> None:
            self._pace.spent()
            send(message)

        client.conn.sendMsg = counted

    def _later(self, send: Callable[[], object]) -> None:
        """Send what is in no hurry when there is room."""
        self._chores.put_nowait(send)

    async def _do_chores(self) -> None:
        while True:
            send = await self._chores.get()
            await self._pace.room(CHORES)
            try:
                answer = send()
                if isawaitable(answer):
                    await answer
            except OSError as error:  # the socket is gone, and `closed` says so
                log.info("not asked any more: %s", error)
                return

    def _on_disconnected(self) -> None:
        self.closed.set()

    async def _ask(self, request: Callable[[], Awaitable[_T]], what: str) -> _T:
        try:
            async with asyncio.timeout(self._config.request_timeout):
                return await request()
        except TimeoutError:
            seconds = self._config.request_timeout
            raise GatewayUnavailable(
                f"asked for {what}, no answer within {seconds:g} s", "unresponsive"
            ) from None
        except OSError as error:
            raise GatewayUnavailable(f"asked for {what}: {error}", "closed") from error

    # Orders

    def place(self, order: Order) -> None:
        contract = ibi.Stock(order.request.symbol, "SMART", "USD")
        try:
            trade = self._ib.placeOrder(contract, self._to_ib(order))
        except OSError as error:
            raise GatewayUnavailable(str(error), "closed") from error
        self._trades[order.id] = trade

    def cancel(self, order_id: str) -> None:
        trade = self._trades.get(order_id)
        if trade is None:
            raise OrderUnknownToGateway(f"the gateway does not know order {order_id}")
        try:
            self._ib.cancelOrder(trade.order)
        except OSError as error:
            raise GatewayUnavailable(str(error), "closed") from error

    def cancel_all(self) -> None:
        try:
            self._ib.reqGlobalCancel()
        except OSError as error:
            raise GatewayUnavailable(str(error), "closed") from error

    def _to_ib(self, order: Order) -> ibi.Order:
        request = order.request
        return ibi.Order(
            action=request.side.value,
            orderType=_TYPE_WORDS[request.order_type],
            tif=request.time_in_force.value,
            orderRef=order.id,
            account=self._account,
            **_term_fields(order.terms),
        )

    def change(self, order_id: str, terms: Terms) -> asyncio.Future[str]:
        trade = self._trades.get(order_id)
        if trade is None or trade.order.clientId != self._config.client_id:
            raise OrderUnknownToGateway(f"this session of the gateway does not know {order_id}")
        if trade.isDone():
            raise ChangeRefused(f"the gateway says that the order is {trade.orderStatus.status}")
        if order_id in self._changes:
            raise ChangeRefused("another change of this order is under way")
        # A copy: what the client holds stays what the gateway said.
        changed = replace(trade.order, **_term_fields(terms))
        change = _Change(asyncio.get_running_loop().create_future(), trade.orderStatus.status)
        try:
            self._ib.placeOrder(trade.contract, changed)
        except OSError as error:
            raise GatewayUnavailable(str(error), "closed") from error
        self._changes[order_id] = change
        change.refusal.add_done_callback(lambda _: self._changes.pop(order_id, None))
        return change.refusal

    def _on_open_order(self, trade: ibi.Trade) -> None:
        terms = _terms(trade.order)
        if trade.order.orderRef and terms is not None:
            self._to.orders.record(
                OrderFact(
                    trade.order.orderRef,
                    datetime.now(UTC),
                    perm_id=trade.order.permId or None,
                    terms=terms,
                )
            )

    async def snapshot(self) -> Snapshot:
        async with self._syncing:
            asked_at = time.monotonic()
            ib = self._ib
            resting = await self._ask(ib.reqAllOpenOrdersAsync, "open orders")
            completed = await self._ask(lambda: ib.reqCompletedOrdersAsync(False), "past orders")
            executions = await self._ask(ib.reqExecutionsAsync, "executions")
            positions = await self._ask(ib.reqPositionsAsync, "positions")
        self._trades |= {trade.order.orderRef: trade for trade in resting if trade.order.orderRef}
        self._renew_positions(positions)
        return Snapshot(asked_at, tuple(_facts(completed, resting, executions)))

    def _on_order_status(self, trade: ibi.Trade) -> None:
        if trade.log and trade.log[-1].errorCode:
            return  # the client's own guess after an error: _on_error judges the error itself
        if trade.order.orderRef:
            self._to.orders.record(_fact_of(trade, ()))

    def _on_execution(self, trade: ibi.Trade, fill: ibi.Fill) -> None:
        if trade.order.orderRef:
            self._to.orders.record(
                OrderFact(
                    trade.order.orderRef,
                    datetime.now(UTC),
                    perm_id=trade.order.permId or None,
                    fills=(_fill(fill),),
                )
            )

    # Errors

    def _on_error(self, request_id: int, code: int, message: str, _contract: object) -> None:
        if code in _NOT_ERRORS:
            return
        self._to.errors.gateway_error(code)
        log.warning("gateway message %s: %s", code, message, extra={"code": code})
        self._on_system_code(code, message)
        self._on_order_error(request_id, code, message)

    def _on_system_code(self, code: int, message: str) -> None:
        if code == _UPSTREAM_LOST:
            self._to.upstream.upstream_lost()
        elif code in (_RESTORED_DATA_LOST, _RESTORED_DATA_KEPT):
            self._to.upstream.upstream_restored(data_lost=code == _RESTORED_DATA_LOST)
        elif code == _CLIENT_ID_IN_USE:
            self._hint = (
                f"client id {self._config.client_id} is in use: give this API another "
                f"STOCKS_GATEWAY_CLIENT_ID ({message})"
            )

    def _on_order_error(self, request_id: int, code: int, message: str) -> None:
        order_id = self._order_id(request_id)
        if order_id is None:
            return
        change = self._changes.get(order_id)
        if change is not None and code in _REFUSING_CHANGE:
            # Only the change is refused; the client, wrongly, marks the order as cancelled.
            self._trades[order_id].orderStatus.status = change.status_before
            change.refusal.set_result(f"{code}: {message}")
        elif code in _REJECTING:
            self._to.orders.record(
                OrderFact(
                    order_id,
                    datetime.now(UTC),
                    status=OrderStatus.REJECTED,
                    reason=f"{code}: {message}",
                )
            )

    def _order_id(self, request_id: int) -> str | None:
        """Our id of the order that this client sent under `request_id` in this session."""
        for order_id, trade in self._trades.items():
            mine = trade.order.clientId == self._config.client_id
            if mine and trade.order.orderId == request_id:
                return order_id
        return None

    # Positions and P&L

    def subscribe(self) -> None:
        """Market data of the watch list, P&L of the account and of every position."""
        self._subscribe_market_data()
        self._subscribe_pnl()

    def _subscribe_market_data(self) -> None:
        if self._ib.tickers():
            for contract in self._watched:
                self._later(partial(self._ib.cancelMktData, contract))
        for contract in self._watched:
            self._later(partial(self._watch, contract))

    async def _watch(self, contract: ibi.Contract) -> None:
        """ib_async tells contracts apart by an id that only the gateway knows, so that is first."""
        try:
            if not contract.conId:
                await self._ask(lambda: self._ib.qualifyContractsAsync(contract), contract.symbol)
                await self._pace.room(CHORES)
        except GatewayUnavailable as error:
            log.info("%s is not watched yet: %s", contract.symbol, error)
            if error.reason == "unresponsive":  # on a closed socket it would fail at once, again
                self._later(partial(self._watch, contract))
            return
        if contract.conId:
            self._ib.reqMktData(contract)
        else:
            log.error("no market data: the gateway knows no stock %s", contract.symbol)

    def _subscribe_pnl(self) -> None:
        ib = self._ib
        for known in ib.pnl():
            self._later(partial(ib.cancelPnL, known.account, known.modelCode))
        for single in ib.pnlSingle():
            cancel = partial(ib.cancelPnLSingle, single.account, single.modelCode, single.conId)
            self._later(cancel)
        self._symbols.clear()
        self._later(partial(ib.reqPnL, self._account))
        for position in ib.positions(self._account):
            self._follow_pnl(position)

    def _renew_positions(self, positions: Iterable[ibi.Position]) -> None:
        ours = [position for position in positions if position.account == self._account]
        for position in ours:
            self._follow_pnl(position)
        self._to.portfolio.replace_positions(_position(position) for position in ours)

    def _follow_pnl(self, position: ibi.Position) -> None:
        contract_id = position.contract.conId
        if position.position and contract_id not in self._symbols:
            self._symbols[contract_id] = _symbol(position.contract)
            self._later(partial(self._ib.reqPnLSingle, position.account, "", contract_id))
        elif not position.position and contract_id in self._symbols:
            del self._symbols[contract_id]
            self._later(partial(self._ib.cancelPnLSingle, position.account, "", contract_id))

    def _on_position(self, position: ibi.Position) -> None:
        if position.account == self._account:  # unknown while connecting; snapshot() comes then
            self._to.portfolio.position_changed(_position(position))
            self._follow_pnl(position)

    def _on_pnl(self, pnl: ibi.PnL) -> None:
        self._to.portfolio.account_pnl_changed(_pnl(pnl))

    def _on_position_pnl(self, pnl: ibi.PnLSingle) -> None:
        symbol = self._symbols.get(pnl.conId)
        if symbol is not None:
            self._to.portfolio.position_pnl_changed(pnl.account, symbol, _pnl(pnl))

    def _on_account_value(self, value: ibi.AccountValue) -> None:
        name = _ACCOUNT_VALUES.get(value.tag)
        if name is not None and value.account == self._account:
            known: dict[str, Any] = {name: finite(value.value), "currency": value.currency}
            self._to.portfolio.summary_changed(AccountSummary(value.account, **known))

    # Market data

    def _on_tickers(self, tickers: Iterable[ibi.Ticker]) -> None:
        for ticker in tickers:
            self._to.quotes.ticked(_quote(ticker))


def _restore_cancellation() -> None:
    """Raise CancelledError if it was asked for, and swallowed by the client's `wait_for`.

    https://github.com/python/cpython/issues/86296, up to Python 3.11.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _deaf(listeners: Listeners) -> Listeners:
    """Listeners for a session that is over: whatever it still says is about the past."""
    return Listeners(_Nobody(), _Nobody(), _Nobody(), _Nobody(), listeners.errors)


class _Nobody:
    """Hears everything, does nothing."""

    def __getattr__(self, _name: str) -> Any:
        return lambda *_args, **_kwargs: None


def _facts(
    completed: Iterable[ibi.Trade], resting: Iterable[ibi.Trade], executions: Iterable[ibi.Fill]
) -> Iterable[OrderFact]:
    """One fact for each order, matched by orderRef; executions of orders unknown by then, too.

    Only resting orders tell their terms: of a completed one the quantity may be missing.
    """
    filled: dict[str, list[Fill]] = {}
    for execution in executions:
        filled.setdefault(execution.execution.orderRef, []).append(_fill(execution))
    for trade in completed:
        if trade.order.orderRef:
            yield _fact_of(trade, filled.pop(trade.order.orderRef, []))
    for trade in resting:
        if trade.order.orderRef:
            fact = _fact_of(trade, filled.pop(trade.order.orderRef, []))
            yield replace(fact, terms=_terms(trade.order))
    for order_id, fills in filled.items():
        if order_id:
            yield OrderFact(order_id, datetime.now(UTC), fills=tuple(fills))


def _term_fields(terms: Terms) -> dict[str, Any]:
    """Fields of the client's order; a price that is left out stays its "no value"."""
    fields: dict[str, Any] = {"totalQuantity": float(terms.quantity)}
    if terms.limit_price is not None:
        fields["lmtPrice"] = float(terms.limit_price)
    if terms.stop_price is not None:
        fields["auxPrice"] = float(terms.stop_price)
    return fields


def _terms(order: ibi.Order) -> Terms | None:
    """What the gateway says of quantity and prices; None if it says no quantity."""
    quantity = _positive(order.totalQuantity)
    if quantity is None:
        return None
    return Terms(quantity, _money(order.lmtPrice), _money(order.auxPrice))


def _fact_of(trade: ibi.Trade, fills: Iterable[Fill]) -> OrderFact:
    """What the client knows of an order; a completed one says only its own filled quantity."""
    status = trade.orderStatus
    filled = max(_quantity(status.filled), _quantity(trade.order.filledQuantity))
    return OrderFact(
        trade.order.orderRef,
        datetime.now(UTC),
        perm_id=trade.order.permId or status.permId or None,
        status=_STATUS.get(status.status),
        filled_quantity=filled,
        average_price=_money(status.avgFillPrice),
        fills=tuple(fills),
        reason=status.status if status.status == "Inactive" else "",
    )


def _fill(fill: ibi.Fill) -> Fill:
    execution = fill.execution
    return Fill(
        exec_id=execution.execId,
        quantity=_quantity(execution.shares),
        price=_money(execution.price) or Decimal(0),
        at=execution.time,
    )


def _pnl(pnl: ibi.PnL | ibi.PnLSingle) -> Pnl:
    return Pnl(finite(pnl.dailyPnL), finite(pnl.unrealizedPnL), finite(pnl.realizedPnL))


def _position(position: ibi.Position) -> Position:
    return Position(
        account=position.account,
        symbol=_symbol(position.contract),
        quantity=exact(Decimal(str(finite(position.position) or 0))),
        average_cost=finite(position.avgCost),
    )


def _symbol(contract: ibi.Contract) -> str:
    """A stock's symbol; options and futures of it must not be taken for the stock."""
    return contract.symbol if contract.secType == "STK" else contract.localSymbol


def _quote(ticker: ibi.Ticker) -> Quote:
    return Quote(
        symbol=ticker.contract.symbol if ticker.contract else "",
        bid=price(ticker.bid),
        ask=price(ticker.ask),
        last=price(ticker.last),
        bid_size=finite(ticker.bidSize),
        ask_size=finite(ticker.askSize),
        close=price(ticker.close),
        feed=_FEEDS.get(ticker.marketDataType, Feed.LIVE),
        last_tick_at=ticker.time,
    )


def _quantity(value: float) -> Decimal:
    return _positive(value) or Decimal(0)


def _money(value: float) -> Decimal | None:
    return _positive(value)


def _positive(value: float) -> Decimal | None:
    """The number as it is stored, or None for what can be no quantity and no price."""
    number = finite(value)
    if number is None or not 0 < number < _BEYOND_REASON:
        return None
    return exact(Decimal(str(number)))
