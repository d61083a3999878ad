"""What the gateway says: one function per message, each giving one frame ready to send.

Layouts are those of server version 176. The first field is the message id; most old messages have
a version number after it, which clients skip. Orders have a module of their own: `order_replies`.
"""

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from gateway_simulator.book import Execution, Pnl, Position
from gateway_simulator.contracts import Instrument
from gateway_simulator.wire import UNSET, Value, encode

EXCHANGE_TIME = ZoneInfo("America/New_York")
SYSTEM = -1
"""The request id of an error that is about the connection, and of a live execution."""


def exchange_time(now: datetime) -> str:
    """A time as clients parse it: ``20261123 10:20:30 America/New_York``."""
    return f"{now.astimezone(EXCHANGE_TIME):%Y%m%d %H:%M:%S} America/New_York"


def handshake(server_version: int, now: datetime) -> bytes:
    """The answer to the greeting: exactly two fields."""
    return encode(server_version, f"{now.astimezone(EXCHANGE_TIME):%Y%m%d %H:%M:%S} EST")


def next_valid_id(order_id: int) -> bytes:
    """The lowest order id the client may use."""
    return encode(9, 1, order_id)


def managed_accounts(account: str) -> bytes:
    """The accounts of the login: one."""
    return encode(15, 1, account)


def error(request_id: int, code: int, text: str) -> bytes:
    """An error, a warning or a notice; the last field is the detail of advanced rejections."""
    return encode(4, 2, request_id, code, text, "")


def current_time(now: datetime) -> bytes:
    """Whole seconds since the epoch."""
    return encode(49, 1, int(now.timestamp()))


# Contracts and executions


def contract_fields(
    instrument: Instrument, *, exchange: str = "SMART", right: str = ""
) -> tuple[Value, ...]:
    """The 11 fields of a contract: the primary exchange is not among them."""
    symbol = instrument.symbol
    return (instrument.con_id, symbol, "STK", "", "0", right, "", exchange, "USD", symbol, "NMS")


def contract_details(request_id: int, instrument: Instrument) -> bytes:
    """Everything about one contract."""
    return encode(
        *(10, request_id, instrument.symbol, "STK", "", "0", "", "SMART", "USD"),
        *(instrument.symbol, "NMS", "NMS", instrument.con_id),  # local symbol, market, class
        *("0.01", ""),  # minimum tick, multiplier
        *("IOC,LMT,MKT,STP,STPLMT,WHATIF", f"SMART,{instrument.primary_exchange}"),
        *(1, 0, instrument.long_name, instrument.primary_exchange, ""),  # magnifier, underlying
        *("Technology", "Computers", "Computers"),  # industry, category, subcategory
        *("America/New_York", "", ""),  # trading and liquid hours: the simulator never closes
        *("", 0, 0),  # economic value rule and multiplier, no security ids
        *(1, "", "", "26,26", "", "COMMON"),  # aggregation group, underlying, ... stock type
        *("0.0001", "0.0001", 100),  # minimum size, size increment, suggested increment
    )


def contract_details_end(request_id: int) -> bytes:
    """No more details for this request."""
    return encode(52, 1, request_id)


def execution_details(request_id: int, execution: Execution, account: str) -> bytes:
    """One fill: live (request id -1) or the answer to reqExecutions."""
    order = execution.order
    return encode(
        *(11, request_id, order.order_id, *contract_fields(order.instrument)),
        *(execution.exec_id, exchange_time(execution.time), account),
        *(order.instrument.primary_exchange, "BOT" if order.terms.sign > 0 else "SLD"),
        *(execution.shares, execution.price, order.perm_id, order.client_id, 0),
        *(order.filled, order.average_price, order.terms.order_ref),
        *("", "", "", 2),  # economic value rule and multiplier, model; removed liquidity
    )


def execution_details_end(request_id: int) -> bytes:
    """No more executions for this request."""
    return encode(55, 1, request_id)


def commission_report(execution: Execution) -> bytes:
    """What a fill cost and realised, in USD; comes after the fill. Yields are for bonds."""
    return encode(
        *(59, 1, execution.exec_id, execution.commission, "USD", execution.realized),
        *(UNSET, ""),
    )


# Account


def position(position: Position, account: str) -> bytes:
    """Shares held and their average cost, USD per share."""
    instrument = position.instrument
    fields = contract_fields(instrument, exchange=instrument.primary_exchange)
    return encode(61, 3, account, *fields, position.quantity, position.average_cost)


def position_end() -> bytes:
    """All positions were told; changes follow as they happen."""
    return encode(62, 1)


def portfolio(position: Position, mark: Decimal, account: str) -> bytes:
    """A position and its value at `mark`, USD."""
    instrument = position.instrument
    return encode(
        *(7, 8, instrument.con_id, instrument.symbol, "STK", "", "0", "0", ""),
        *(instrument.primary_exchange, "USD", instrument.symbol, "NMS"),
        *(position.quantity, mark, position.quantity * mark, position.average_cost),
        *(position.unrealized(mark), position.realized, account),
    )


def account_value(key: str, value: str, currency: str, account: str) -> bytes:
    """One value of the account, in answer to reqAccountUpdates."""
    return encode(6, 2, key, value, currency, account)


def account_time(now: datetime) -> bytes:
    """When the account's values were last computed."""
    return encode(8, 1, f"{now.astimezone(EXCHANGE_TIME):%H:%M}")


def account_download_end(account: str) -> bytes:
    """All values and the portfolio were told; changes follow as they happen."""
    return encode(54, 1, account)


def account_update_multi(
    request_id: int, model_code: str, key: str, value: str, currency: str, account: str
) -> bytes:
    """One value of the account, in answer to reqAccountUpdatesMulti."""
    return encode(73, 1, request_id, account, model_code, key, value, currency)


def account_update_multi_end(request_id: int) -> bytes:
    """All values were told."""
    return encode(74, 1, request_id)


def account_summary(request_id: int, key: str, value: str, currency: str, account: str) -> bytes:
    """One value of the account, in answer to reqAccountSummary."""
    return encode(63, 1, request_id, account, key, value, currency)


def account_summary_end(request_id: int) -> bytes:
    """All values were told."""
    return encode(64, 1, request_id)


def pnl(request_id: int, pnl: Pnl) -> bytes:
    """P&L of the account, USD."""
    return encode(94, request_id, pnl.daily, pnl.unrealized, pnl.realized)


def pnl_single(request_id: int, shares: Decimal, pnl: Pnl, value: Decimal) -> bytes:
    """P&L and market value of one position, USD."""
    return encode(95, request_id, shares, pnl.daily, pnl.unrealized, pnl.realized, value)


# Market data


def tick_parameters(request_id: int) -> bytes:
    """Minimum tick (USD), exchange map, and which snapshots are permitted."""
    return encode(81, request_id, "0.01", "9c0001", 3)


def market_data_type(request_id: int, data_type: int) -> bytes:
    """1 live, 2 frozen, 3 delayed, 4 delayed frozen."""
    return encode(58, 1, request_id, data_type)


def snapshot_end(request_id: int) -> bytes:
    """The snapshot is complete."""
    return encode(57, 1, request_id)
