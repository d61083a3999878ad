"""Whether the client has heard a message before: then it tells nobody, so it is asked beforehand.

`wrapper` is the client's receiver of messages, the rest are its arguments (TWS API, EWrapper).
"""

from typing import Any

LIVE = -1  # the request id of an execution that nobody asked for


def status_repeated(
    wrapper: Any,
    order_id: int,
    status: str,
    filled: float,
    remaining: float,
    average_price: float,
    perm_id: int,
    _parent_id: int,
    _last_price: float,
    client_id: int,
    *_rest: object,
) -> bool:
    """An orderStatus that says the same as the last one, and acknowledges no change."""
    trade = wrapper.trades.get(wrapper.orderKey(client_id, order_id, perm_id))
    if trade is None or (trade.log and trade.log[-1].message == "Modify"):
        return False
    now = trade.orderStatus
    known = (now.status, now.filled, now.remaining, now.avgFillPrice, now.permId)
    return bool(known == (status, filled, remaining, average_price, perm_id))


def execution_repeated(wrapper: Any, request_id: int, _contract: object, execution: Any) -> bool:
    """An execDetails that came by itself, with an id that is known."""
    return request_id == LIVE and execution.execId in wrapper.fills


def commission_repeated(wrapper: Any, report: Any) -> bool:
    """A commissionReport that says the same as the last one for its execution."""
    fill = wrapper.fills.get(report.execId)
    if fill is None:
        return False
    known, said = fill.commissionReport, report
    return bool(
        (known.execId, known.commission, known.currency)
        == (said.execId, said.commission, said.currency)
    )
