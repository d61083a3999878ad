"""One session with the gateway, from its connection to its end."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from inspect import isawaitable
from typing import Any, TypeVar

from stocks_api.adapters.gateway.client import ibi
from stocks_api.adapters.gateway.messages import (
    fact_of,
    fill_of,
    name_of,
    names_of,
    order_facts,
    order_of,
    pnl_of,
    position_of,
    quote_of,
    summary_of,
    symbol_of,
    term_fields,
    terms_of,
)
from stocks_api.adapters.gateway.ports import GatewayConfig, Listeners
from stocks_api.adapters.gateway.repeated import (
    commission_repeated,
    execution_repeated,
    status_repeated,
)
from stocks_api.domain.errors import ChangeRefused, GatewayUnavailable, OrderUnknownToGateway
from stocks_api.domain.orders import (
    Irregular,
    Message,
    Order,
    OrderFact,
    OrderStatus,
    Terms,
)
from stocks_api.services.order_writer import Snapshot
from stocks_api.services.pacing import CHORES, Pace

log = logging.getLogger(__name__)

_T = TypeVar("_T")

# Error codes that end an order. Other codes on an order are notes about it: the client marks the
# order as cancelled for most of them, and is wrong whenever the order lives on (10349, 105, ...).
_REJECTING = frozenset({103, 106, 107, 109, 110, 200, 201, 203, 321, 387, 388, 463, 10052, 10268})
_REFUSING_CHANGE = _REJECTING | {104, 105, 161, 329}
# Good news that comes as an error: data farms are fine, an order was cancelled as asked.
_NOT_ERRORS = frozenset({202, 2104, 2106, 2107, 2108, 2119, 2158})
_UPSTREAM_LOST, _RESTORED_DATA_LOST, _RESTORED_DATA_KEPT = 1100, 1101, 1102
_CLIENT_ID_IN_USE = 326

# Paper and simulated accounts begin with DU, live ones never do.
_PAPER_PREFIX = "DU"


@dataclass(frozen=True, slots=True)
class _Change:
    refusal: asyncio.Future[str]
    status_before: str


class Session:
    """Asks and hears; `closed` is set once the socket is gone."""

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
        """Connect and subscribe. Raises GatewayUnavailable."""
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
        """Ask for the time. Raises GatewayUnavailable."""
        async with self._asking_time:
            await self._ask(lambda: self._ib.reqCurrentTimeAsync(), "the time")

    def close(self) -> None:
        """End it; what it still says is not heard."""
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
        ib.commissionReportEvent += self._on_commission
        self._overhear("orderStatus", Message.ORDER_STATUS, status_repeated)
        self._overhear("execDetails", Message.EXECUTION, execution_repeated)
        self._overhear("commissionReport", Message.COMMISSION, commission_repeated)

    def _overhear(self, name: str, message: Message, repeated: Callable[..., bool]) -> None:
        """Count what the client hears again, which it tells nobody."""
        wrapper: Any = self._ib.wrapper
        tell = getattr(wrapper, name)

        def heard(*said: Any) -> None:
            # While we ask, the gateway repeats what it said as it should.
            if not self._syncing.locked() and repeated(wrapper, *said):
                self._to.messages.irregular_message(message, Irregular.DUPLICATE)
            tell(*said)

        setattr(wrapper, name, heard)

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
        """Send the order. Raises GatewayUnavailable when nothing was sent."""
        contract = ibi.Stock(order.request.symbol, "SMART", "USD")
        try:
            trade = self._ib.placeOrder(contract, order_of(order, self._account))
        except OSError as error:
            raise GatewayUnavailable(str(error), "closed") from error
        self._trades[order.id] = trade

    def cancel(self, order: Order) -> None:
        """Ask to cancel. Raises GatewayUnavailable and OrderUnknownToGateway."""
        trade = self._find(order)
        if trade is None:
            raise OrderUnknownToGateway(f"the gateway does not know order {order.id}")
        try:
            self._ib.cancelOrder(trade.order)
        except OSError as error:
            raise GatewayUnavailable(str(error), "closed") from error

    def cancel_all(self) -> None:
        """Ask to cancel every open order, of all clients. Raises GatewayUnavailable."""
        try:
            self._ib.reqGlobalCancel()
        except OSError as error:
            raise GatewayUnavailable(str(error), "closed") from error

    def change(self, order: Order, terms: Terms) -> asyncio.Future[str]:
        """Ask to change an order; the future gets the gateway's words if it refuses."""
        trade = self._find(order)
        if trade is None or trade.order.clientId != self._config.client_id:
            raise OrderUnknownToGateway(f"this session of the gateway does not know {order.id}")
        if trade.isDone():
            raise ChangeRefused(f"the gateway says that the order is {trade.orderStatus.status}")
        if order.id in self._changes:
            raise ChangeRefused("another change of this order is under way")
        # A copy: what the client holds stays what the gateway said.
        changed = replace(trade.order, orderRef=order.id, **term_fields(terms))
        change = _Change(asyncio.get_running_loop().create_future(), trade.orderStatus.status)
        try:
            self._ib.placeOrder(trade.contract, changed)
        except OSError as error:
            raise GatewayUnavailable(str(error), "closed") from error
        self._changes[order.id] = change
        change.refusal.add_done_callback(lambda _: self._changes.pop(order.id, None))
        return change.refusal

    def _find(self, order: Order) -> ibi.Trade | None:
        """What rests at the gateway; by its permanent id, if it came back without orderRef."""
        trade = self._trades.get(order.id)
        if trade is None and order.perm_id is not None:
            trade = self._ib.wrapper.permId2Trade.get(order.perm_id)
        if trade is not None and trade.order.orderId > 0:  # of a completed order there is none
            self._trades[order.id] = trade
            return trade
        return None

    def _on_open_order(self, trade: ibi.Trade) -> None:
        terms = terms_of(trade.order)
        if terms is not None:
            self._record(trade.order, trade, Message.OPEN_ORDER, terms=terms)

    async def snapshot(self) -> Snapshot:
        """All that the gateway knows of orders; positions are renewed too."""
        async with self._syncing:
            asked_at = time.monotonic()
            ib = self._ib
            resting = await self._ask(ib.reqAllOpenOrdersAsync, "open orders")
            completed = await self._ask(lambda: ib.reqCompletedOrdersAsync(False), "past orders")
            executions = await self._ask(ib.reqExecutionsAsync, "executions")
            positions = await self._ask(ib.reqPositionsAsync, "positions")
        self._renew_positions(positions)
        # The client's own objects: commissions come after the answer, and only to them.
        fills = [ib.wrapper.fills.get(one.execution.execId, one) for one in executions]
        names = self._names(resting, completed, fills)
        self._trades |= {name: trade for trade in resting if (name := name_of(trade.order, names))}
        return Snapshot(asked_at, tuple(order_facts(completed, resting, fills, names)))

    def _names(
        self,
        resting: Iterable[ibi.Trade],
        completed: Iterable[ibi.Trade],
        fills: Iterable[ibi.Fill],
    ) -> dict[int, str]:
        """Our ids by the gateway's permanent ones: of what was sent, and of what is told now."""
        sent = {trade.order.permId: order_id for order_id, trade in self._trades.items()}
        sent.pop(0, None)  # not acknowledged yet
        orders = [trade.order for trade in (*completed, *resting)]
        return sent | names_of([*orders, *(fill.execution for fill in fills)])

    def _on_order_status(self, trade: ibi.Trade) -> None:
        if trade.log and trade.log[-1].errorCode:
            return  # the client's own guess after an error: _on_error judges the error itself
        fact = fact_of(trade, self._name(trade))
        if fact.order_id or fact.perm_id:
            self._to.orders.record(replace(fact, message=Message.ORDER_STATUS))

    def _on_execution(self, trade: ibi.Trade, fill: ibi.Fill) -> None:
        self._record(fill.execution, trade, Message.EXECUTION, fills=(fill_of(fill),))

    def _on_commission(self, trade: ibi.Trade, fill: ibi.Fill, _report: object) -> None:
        if not self._syncing.locked():  # else it is an answer, and part of the snapshot
            self._record(fill.execution, trade, Message.COMMISSION, fills=(fill_of(fill),))

    def _record(
        self,
        said: ibi.Order | ibi.Execution,
        trade: ibi.Trade,
        message: Message,
        **what: Any,
    ) -> None:
        """Under the orderRef that was said, else the client's, else the permanent id alone."""
        name, perm_id = said.orderRef or self._name(trade), said.permId or None
        if name or perm_id:
            fact = OrderFact(name, datetime.now(UTC), perm_id=perm_id, message=message, **what)
            self._to.orders.record(fact)

    def _name(self, trade: ibi.Trade) -> str:
        """Our id of an order: what the gateway calls it, else as it was sent; empty if unknown."""
        if trade.order.orderRef:
            return str(trade.order.orderRef)
        return next((order_id for order_id, sent in self._trades.items() if sent is trade), "")

    # Errors

    def _on_error(self, request_id: int, code: int, message: str, _contract: object) -> None:
        if code in _NOT_ERRORS:
            return
        self._to.messages.gateway_error(code)
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
        self._to.portfolio.replace_positions(position_of(position) for position in ours)

    def _follow_pnl(self, position: ibi.Position) -> None:
        contract_id = position.contract.conId
        if position.position and contract_id not in self._symbols:
            self._symbols[contract_id] = symbol_of(position.contract)
            self._later(partial(self._ib.reqPnLSingle, position.account, "", contract_id))
        elif not position.position and contract_id in self._symbols:
            del self._symbols[contract_id]
            self._later(partial(self._ib.cancelPnLSingle, position.account, "", contract_id))

    def _on_position(self, position: ibi.Position) -> None:
        if position.account == self._account:  # unknown while connecting; snapshot() comes then
            self._to.portfolio.position_changed(position_of(position))
            self._follow_pnl(position)

    def _on_pnl(self, pnl: ibi.PnL) -> None:
        self._to.portfolio.account_pnl_changed(pnl_of(pnl))

    def _on_position_pnl(self, pnl: ibi.PnLSingle) -> None:
        symbol = self._symbols.get(pnl.conId)
        if symbol is not None:
            self._to.portfolio.position_pnl_changed(pnl.account, symbol, pnl_of(pnl))

    def _on_account_value(self, value: ibi.AccountValue) -> None:
        summary = summary_of(value)
        if summary is not None and value.account == self._account:
            self._to.portfolio.summary_changed(summary)

    # Market data

    def _on_tickers(self, tickers: Iterable[ibi.Ticker]) -> None:
        for ticker in tickers:
            self._to.quotes.ticked(quote_of(ticker))


def _restore_cancellation() -> None:
    """Raise CancelledError if it was asked for, and swallowed by the client's `wait_for`.

    https://github.com/python/cpython/issues/86296, up to Python 3.11.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _deaf(listeners: Listeners) -> Listeners:
    """Listeners for a session that is over: whatever it still says is about the past."""
    return Listeners(_Nobody(), _Nobody(), _Nobody(), _Nobody(), listeners.messages)


class _Nobody:
    """Hears everything, does nothing."""

    def __getattr__(self, _name: str) -> Any:
        return lambda *_args, **_kwargs: None
