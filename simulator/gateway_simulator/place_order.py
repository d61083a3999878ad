"""placeOrder (message 3): the longest request, about 115 fields with optional parts between.

All of it is read although little of it is used: only so is it known that nothing is left over,
and which features were asked for that are not simulated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from gateway_simulator.book import Terms
from gateway_simulator.contracts import ContractQuery
from gateway_simulator.fields import Fields, MalformedRequestError


@dataclass(frozen=True)
class PlaceOrder:
    """A new order, or new terms for an open one with the same id."""

    order_id: int
    contract: ContractQuery
    terms: Terms
    account: str
    what_if: bool
    unsupported: tuple[str, ...]
    """Features that were asked for and are not simulated, by name."""


class _Extras:
    """Collects the features that are asked for and not simulated."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def note(self, name: str, asked: bool) -> bool:
        if asked:
            self.names.append(name)
        return asked


def place_order(fields: Fields) -> PlaceOrder:
    """Decode the fields after the message id, as laid out at server versions 170 to 176."""
    extras = _Extras()
    order_id, contract = fields.integer(), fields.contract()
    fields.skip("secIdType", "secId")
    terms, account = _terms(fields, extras)
    if contract.sec_type == "BAG":
        _combination(fields)
    _allocation_and_pricing(fields, extras)
    _scale_and_hedge(fields, extras)
    what_if = _routing(fields, extras)
    if terms.order_type == "PEG BENCH":
        fields.skip("refContract", "isDecrease", "amount", "refAmount", "refExchange")
    _conditions(fields, extras)
    _adjustments(fields)
    _pegging(fields, contract, terms.order_type)
    return PlaceOrder(order_id, contract, terms, account, what_if, tuple(extras.names))


def _terms(fields: Fields, extras: _Extras) -> tuple[Terms, str]:
    action, quantity, order_type = fields.text(), fields.number(), fields.text()
    limit_price, stop_price, tif = fields.number(), fields.number(), fields.text()
    extras.note("one-cancels-all groups", bool(fields.text()))
    account = fields.text()
    fields.skip("openClose", "origin")
    order_ref = fields.text()
    extras.note("orders that are not transmitted", not fields.flag())
    extras.note("child orders", fields.integer() != 0)
    fields.skip("blockOrder", "sweepToFill", "displaySize", "triggerMethod")
    outside_rth = fields.flag()
    fields.skip("hidden")
    terms = Terms(
        action=action,
        quantity=Decimal(0) if quantity is None else quantity,
        order_type=order_type,
        limit_price=limit_price,
        stop_price=stop_price,
        tif=tif or "DAY",
        order_ref=order_ref,
        outside_rth=outside_rth,
    )
    return terms, account


def _combination(fields: Fields) -> None:
    fields.skip_many(8 * fields.count())  # legs
    fields.skip_many(fields.count())  # price of each leg
    fields.skip_many(2 * fields.count())  # routing parameters


def _allocation_and_pricing(fields: Fields, extras: _Extras) -> None:
    fields.skip("sharesAllocation", "discretionaryAmt")
    extras.note("good-after times", bool(fields.text()))
    fields.skip("goodTillDate", "faGroup", "faMethod", "faPercentage", "faProfile", "modelCode")
    fields.skip("shortSaleSlot", "designatedLocation", "exemptCode", "ocaType", "rule80A")
    fields.skip("settlingFirm")
    extras.note("all-or-none orders", fields.flag())
    extras.note("minimum quantities", fields.positive())
    fields.skip("percentOffset", "eTradeOnly", "firmQuoteOnly", "nbboPriceCap")
    fields.skip("auctionStrategy", "startingPrice", "stockRefPrice", "delta")
    fields.skip("stockRangeLower", "stockRangeUpper", "overridePercentageConstraints")
    fields.skip("volatility", "volatilityType")
    delta_neutral_type = fields.text()
    fields.skip("deltaNeutralAuxPrice")
    if delta_neutral_type:
        fields.skip_many(8)
    # An order read back from openOrder carries the word None and is sent like that again.
    extras.note("delta-neutral orders", delta_neutral_type not in ("", "None"))


def _scale_and_hedge(fields: Fields, extras: _Extras) -> None:
    fields.skip("continuousUpdate", "referencePriceType", "trailStopPrice", "trailingPercent")
    fields.skip("scaleInitLevelSize", "scaleSubsLevelSize")
    if extras.note("scale orders", fields.positive()):
        fields.skip_many(7)
    fields.skip("scaleTable", "activeStartTime", "activeStopTime")
    if extras.note("hedges", bool(fields.text())):
        fields.skip("hedgeParam")


def _routing(fields: Fields, extras: _Extras) -> bool:
    """Clearing, algorithm and flags; returns whatIf."""
    fields.skip("optOutSmartRouting", "clearingAccount", "clearingIntent", "notHeld")
    extras.note("delta-neutral contracts", fields.delta_neutral_contract())
    if extras.note("algorithms", bool(fields.text())):
        fields.skip_many(2 * fields.count())
    fields.skip("algoId")
    what_if = fields.flag()
    fields.skip("orderMiscOptions", "solicited", "randomizeSize", "randomizePrice")
    return what_if


# Fields of each kind of condition that follow its type, the conjunction among them.
_CONDITION_FIELDS: Mapping[int, int] = {1: 6, 3: 3, 4: 3, 5: 4, 6: 5, 7: 5}


def _conditions(fields: Fields, extras: _Extras) -> None:
    count = fields.count()
    for _ in range(count):
        kind = fields.integer()
        if kind not in _CONDITION_FIELDS:
            raise MalformedRequestError(f"no condition has the type {kind}")
        fields.skip_many(_CONDITION_FIELDS[kind])
    if extras.note("conditions", count > 0):
        fields.skip("ignoreRth", "cancelOrder")


def _adjustments(fields: Fields) -> None:
    fields.skip("adjustedOrderType", "triggerPrice", "lmtPriceOffset", "adjustedStopPrice")
    fields.skip("adjustedStopLimitPrice", "adjustedTrailingAmount", "adjustableTrailingUnit")
    fields.skip("extOperator", "softDollarTierName", "softDollarTierValue", "cashQty")
    fields.skip("decisionMaker", "decisionAlgo", "executionTrader", "executionAlgo")
    fields.skip("dontUseAutoPriceForHedge", "isOmsContainer", "discretionaryUpToLimitPrice")
    fields.skip("usePriceMgmtAlgo", "duration", "postToAts", "autoCancelParent")
    fields.skip("advancedErrorOverride", "manualOrderTime")


def _pegging(fields: Fields, contract: ContractQuery, order_type: str) -> None:
    if contract.exchange == "IBKRATS":
        fields.skip("minTradeQty")
    if order_type == "PEG BEST":
        fields.skip("minCompeteSize")
        if fields.text() == "Infinite":  # competeAgainstBestOffset: up to the midpoint
            fields.skip("midOffsetAtWhole", "midOffsetAtHalf")
    elif order_type == "PEG MID":
        fields.skip("midOffsetAtWhole", "midOffsetAtHalf")
