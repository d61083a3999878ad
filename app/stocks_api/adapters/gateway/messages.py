"""What the client's objects mean: translated into values of the domain, and back."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from stocks_api.adapters.gateway.client import ibi
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

_TYPE_WORDS = {
    OrderType.MARKET: "MKT",
    OrderType.LIMIT: "LMT",
    OrderType.STOP: "STP",
    OrderType.STOP_LIMIT: "STP LMT",
}
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


def order_facts(
    completed: Iterable[ibi.Trade],
    resting: Iterable[ibi.Trade],
    executions: Iterable[ibi.Fill],
    names: Mapping[int, str],
) -> Iterable[OrderFact]:
    """One fact for each order; executions of orders unknown by then, too.

    `names` are our ids by the gateway's permanent ones, for what comes without orderRef. Only
    resting orders tell their terms: of a completed one the quantity may be missing.
    """
    filled: dict[tuple[str, int], list[Fill]] = {}
    for one in executions:
        filled.setdefault(_identity(one.execution, names), []).append(fill_of(one))
    for trade in completed:
        name, _ = key = _identity(trade.order, names)
        yield fact_of(trade, name, filled.pop(key, ()))
    for trade in resting:
        name, _ = key = _identity(trade.order, names)
        yield replace(fact_of(trade, name, filled.pop(key, ())), terms=terms_of(trade.order))
    for (name, perm_id), fills in filled.items():
        yield OrderFact(name, datetime.now(UTC), perm_id=perm_id or None, fills=tuple(fills))


def names_of(said: Iterable[ibi.Order | ibi.Execution]) -> dict[int, str]:
    """Our ids by the gateway's permanent ones, as far as it says both."""
    return {one.permId: one.orderRef for one in said if one.permId and one.orderRef}


def name_of(said: ibi.Order | ibi.Execution, names: Mapping[int, str]) -> str:
    """Our id of an order; empty if neither it nor `names` tells."""
    return said.orderRef or names.get(said.permId, "")


def _identity(said: ibi.Order | ibi.Execution, names: Mapping[int, str]) -> tuple[str, int]:
    return name_of(said, names), said.permId


def order_of(order: Order, account: str) -> ibi.Order:
    """An order as the client sends it; our id travels as orderRef."""
    request = order.request
    return ibi.Order(
        action=request.side.value,
        orderType=_TYPE_WORDS[request.order_type],
        tif=request.time_in_force.value,
        orderRef=order.id,
        account=account,
        **term_fields(order.terms),
    )


def term_fields(terms: Terms) -> dict[str, Any]:
    """Fields of the client's order; a price that is left out stays its "no value"."""
    fields: dict[str, Any] = {"totalQuantity": float(terms.quantity)}
    if terms.limit_price is not None:
        fields["lmtPrice"] = float(terms.limit_price)
    if terms.stop_price is not None:
        fields["auxPrice"] = float(terms.stop_price)
    return fields


def terms_of(order: ibi.Order) -> Terms | None:
    """What the gateway says of quantity and prices; None if it says no quantity."""
    quantity = _positive(order.totalQuantity)
    if quantity is None:
        return None
    return Terms(quantity, _money(order.lmtPrice), _money(order.auxPrice))


def fact_of(trade: ibi.Trade, order_id: str, fills: Iterable[Fill] = ()) -> OrderFact:
    """What the client knows of an order; a completed one says only its own filled quantity."""
    status = trade.orderStatus
    filled = max(_quantity(status.filled), _quantity(trade.order.filledQuantity))
    return OrderFact(
        order_id,
        datetime.now(UTC),
        perm_id=trade.order.permId or status.permId or None,
        status=_STATUS.get(status.status),
        filled_quantity=filled,
        average_price=_money(status.avgFillPrice),
        fills=tuple(fills),
        reason=status.status if status.status == "Inactive" else "",
    )


def fill_of(fill: ibi.Fill) -> Fill:
    """One execution, with its commission if that was reported."""
    execution, report = fill.execution, fill.commissionReport
    commission = _amount(report.commission) if report.execId else None
    return Fill(
        exec_id=execution.execId,
        quantity=_quantity(execution.shares),
        price=_money(execution.price) or Decimal(0),
        at=execution.time,
        commission=commission,
        commission_currency=None if commission is None else _currency(report.currency),
    )


def pnl_of(pnl: ibi.PnL | ibi.PnLSingle) -> Pnl:
    """P&L of the account or of a position; what is not known is None."""
    return Pnl(finite(pnl.dailyPnL), finite(pnl.unrealizedPnL), finite(pnl.realizedPnL))


def position_of(position: ibi.Position) -> Position:
    """What is held of one stock."""
    return Position(
        account=position.account,
        symbol=symbol_of(position.contract),
        quantity=exact(Decimal(str(finite(position.position) or 0))),
        average_cost=finite(position.avgCost),
    )


def symbol_of(contract: ibi.Contract) -> str:
    """A stock's symbol; options and futures of it must not be taken for the stock."""
    return contract.symbol if contract.secType == "STK" else contract.localSymbol


def summary_of(value: ibi.AccountValue) -> AccountSummary | None:
    """One value of the account; None if it is not told on."""
    name = _ACCOUNT_VALUES.get(value.tag)
    if name is None:
        return None
    known: dict[str, Any] = {name: finite(value.value), "currency": value.currency}
    return AccountSummary(value.account, **known)


def quote_of(ticker: ibi.Ticker) -> Quote:
    """Market data of one stock."""
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
    number = _amount(value)
    return number if number and number > 0 else None


def _amount(value: float) -> Decimal | None:
    """The number as it is stored, of either sign; None for what means that there is none."""
    number = finite(value)
    if number is None or not abs(number) < _BEYOND_REASON:
        return None
    return exact(Decimal(str(number)))


def _currency(text: str) -> str | None:
    """An ISO 4217 code, which is all that the database has room for."""
    return text if re.fullmatch("[A-Z]{3}", text) else None
