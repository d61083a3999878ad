"""How orders are told: openOrder, orderStatus and completedOrder at server version 176.

openOrder and completedOrder list every attribute an order can have, some 130. Those that are not
simulated carry what the gateway sends when they are not set; the comments name them in order.
"""

from decimal import Decimal
from typing import NamedTuple

from gateway_simulator.book import Order
from gateway_simulator.replies import contract_fields, exchange_time
from gateway_simulator.wire import UNSET, Value, encode

_UNSET_INT = "2147483647"


class Impact(NamedTuple):
    """What an order would do to the account: USD before, the change, and after."""

    initial_margin: tuple[Decimal, Decimal, Decimal]
    maintenance_margin: tuple[Decimal, Decimal, Decimal]
    equity: tuple[Decimal, Decimal, Decimal]
    commission: Decimal


def order_status(order: Order) -> bytes:
    """How an order stands; this message has no version field."""
    return encode(
        *(3, order.order_id, order.status, order.filled, order.remaining),
        *(order.average_price, order.perm_id, 0, order.last_price, order.client_id),
        *("", 0),  # whyHeld, mktCapPrice
    )


def open_order(order: Order, account: str) -> bytes:
    """An order with its terms and status."""
    return _open_order(order, account, what_if=False, state=_state(order, None))


def what_if(order: Order, account: str, impact: Impact) -> bytes:
    """What an order would do: an openOrder that no orderStatus follows."""
    return _open_order(order, account, what_if=True, state=_state(order, impact))


def open_order_end() -> bytes:
    """No more open orders."""
    return encode(53, 1)


def _open_order(order: Order, account: str, *, what_if: bool, state: tuple[Value, ...]) -> bytes:
    return encode(
        *(5, order.order_id, *contract_fields(order.instrument, right="?")),
        *_terms(order, account),
        *(order.client_id, order.perm_id, order.terms.outside_rth),
        *(0, 0, "", ""),  # hidden, discretionaryAmt, goodAfterTime, sharesAllocation
        *("", "", "", "", "", ""),  # faGroup, -Method, -Percentage, -Profile, modelCode, goodTill
        *("", "", ""),  # rule80A, percentOffset, settlingFirm
        *(0, "", -1, 0),  # shortSaleSlot, designatedLocation, exemptCode, auctionStrategy
        *("", "", "", "", ""),  # startingPrice, stockRefPrice, delta, stockRangeLower, -Upper
        *("", 0, 0, 0, "", 3),  # displaySize, blockOrder, sweepToFill, allOrNone, minQty, ocaType
        *(0, 0, "", 0, 0),  # eTradeOnly, firmQuoteOnly, nbboPriceCap, parentId, triggerMethod
        *("", 0, *_NO_DELTA_NEUTRAL, *_NONE_OF_ITS_DETAILS),  # volatility, volatilityType, ...
        *(0, "", "", "", "", "", ""),  # continuousUpdate, referencePrice, trail x2, basis x2, legs
        *(0, 0, 0),  # numbers of legs, leg prices and routing parameters
        *("", "", "", ""),  # scaleInitLevelSize, scaleSubsLevelSize, scalePriceIncrement, hedge
        *(0, "", "IB", 0, 0),  # optOutSmartRouting, clearingAccount, -Intent, notHeld, delta
        *("", 0, what_if, *state),  # algoStrategy, solicited
        *(0, 0, 0),  # randomizeSize, randomizePrice, number of conditions
        *("None", "", "", "", "", "", "", 0),  # adjustedOrderType ... adjustableTrailingUnit
        *("", "", "", 0),  # softDollarTier name, value and display name; cashQty
        *(0, 0, 0, 0),  # dontUseAutoPriceForHedge, isOms, discretionaryUpTo, usePriceMgmtAlgo
        *("", "", 0),  # duration, postToAts, autoCancelParent
        *("", "", "", "", ""),  # minTradeQty, minCompeteSize, competeOffset, midOffset x2
    )


def completed_order(order: Order, account: str) -> bytes:
    """An order that is done. There is neither order id nor client id in this message."""
    return encode(
        *(101, *contract_fields(order.instrument, right="?"), *_terms(order, account)),
        *(order.perm_id, order.terms.outside_rth),
        *(0, 0, ""),  # hidden, discretionaryAmt, goodAfterTime
        *("", "", "", "", "", ""),  # faGroup, -Method, -Percentage, -Profile, modelCode, goodTill
        *("", "", ""),  # rule80A, percentOffset, settlingFirm
        *(0, "", -1),  # shortSaleSlot, designatedLocation, exemptCode
        *("", "", "", "", ""),  # startingPrice, stockRefPrice, delta, stockRangeLower, -Upper
        *("", 0, 0, "", 3, 0),  # displaySize, sweepToFill, allOrNone, minQty, ocaType, trigger
        *("", 0, *_NO_DELTA_NEUTRAL, 0, 0, 0, ""),  # volatility, -Type, ..., its 4 details
        *(0, "", "", "", ""),  # continuousUpdate, referencePriceType, trail x2, comboLegsDescrip
        *(0, 0, 0),  # numbers of legs, leg prices and routing parameters
        *("", "", "", ""),  # scaleInitLevelSize, scaleSubsLevelSize, scalePriceIncrement, hedge
        *("", "IB", 0, 0),  # clearingAccount, clearingIntent, notHeld, delta-neutral contract
        *("", 0, _completed_status(order)),  # algoStrategy, solicited
        *(0, 0, 0),  # randomizeSize, randomizePrice, number of conditions
        *("", "", 0, 0, 0),  # trailStopPrice, lmtPriceOffset, cashQty, dontUseAutoPrice, isOms
        *("", order.filled, _UNSET_INT, 0),  # autoCancelDate, refFuturesConId, autoCancelParent
        *("Not an insider or substantial shareholder", 0, 0, 0),  # imbalanceOnly, route, parent
        *_completion(order),
        *("", "", "", "", ""),  # minTradeQty, minCompeteSize, competeOffset, midOffset x2
    )


def completed_orders_end() -> bytes:
    """No more completed orders; this message has no version field."""
    return encode(102)


_NO_DELTA_NEUTRAL: tuple[Value, ...] = ("None", "")
"""Order type and aux price; the word, which is not empty, brings details after it."""
_NONE_OF_ITS_DETAILS: tuple[Value, ...] = (0, "", "", "", "?", 0, 0, "")


def _terms(order: Order, account: str) -> tuple[Value, ...]:
    """Action to order reference, which openOrder and completedOrder have in common."""
    terms = order.terms
    return (
        *(terms.action, terms.quantity, terms.order_type),
        *(terms.limit_price or 0, terms.stop_price or 0, terms.tif),
        *("", account, "?", 0, terms.order_ref),  # ocaGroup, account, openClose, origin
    )


def _state(order: Order, impact: Impact | None) -> tuple[Value, ...]:
    """Status, margins (initial, maintenance, equity: before, change, after) and commission."""
    if impact is None:
        return (order.status, *(UNSET,) * 12, "", "")
    margins = zip(impact.initial_margin, impact.maintenance_margin, impact.equity, strict=True)
    fees = (impact.commission, "", "", "USD", "")  # commission, lowest, highest, currency, warning
    return (order.status, *(number for group in margins for number in group), *fees)


def _completed_status(order: Order) -> str:
    """A rejected order is Inactive while it happens, and Cancelled when read back."""
    return "Filled" if order.status == "Filled" else "Cancelled"


def _completion(order: Order) -> tuple[str, str]:
    """When an order was completed, and how."""
    time = exchange_time(order.completed_at) if order.completed_at else ""
    if order.status == "Filled":
        return time, f"Filled Size: {order.filled}"
    return time, order.reason
