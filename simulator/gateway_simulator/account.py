"""The account's values as the gateway names them, from the book and the present prices."""

from collections.abc import Mapping
from decimal import Decimal

from gateway_simulator.book import Book, Mark, Order
from gateway_simulator.book import commission as fee_of
from gateway_simulator.order_replies import Impact

Values = Mapping[tuple[str, str], str]
"""Value by key and currency; the currency is empty where a value has none."""

# Regulation T: half of a position is needed to open it, a quarter to keep it.
_INITIAL_MARGIN = Decimal("0.50")
_MAINTENANCE_MARGIN = Decimal("0.25")
_LEDGER = ("CashBalance", "TotalCashBalance", "StockMarketValue", "NetLiquidationByCurrency")


def account_values(book: Book, mark: Mark, account: str) -> Values:
    """All values, USD."""
    return {
        ("AccountCode", ""): account,
        ("AccountReady", ""): "true",
        ("AccountType", ""): "INDIVIDUAL",
        ("DayTradesRemaining", ""): "-1",
        ("HighestSeverity", ""): "0",
        **_ratios(book, mark),
        **{(key, "USD"): _money(value) for key, value in _amounts(book, mark).items()},
        **_ledger(book, mark),
    }


def summary(values: Values, tags: tuple[str, ...]) -> Values:
    """The values that a summary's tags name; `$LEDGER:ALL` names those of each currency."""
    ledger = any(tag.startswith("$LEDGER") for tag in tags)
    return {
        key: value
        for key, value in values.items()
        if key[0] in tags or (ledger and key[0] in _ledger_names())
    }


def impact(book: Book, mark: Mark, order: Order) -> Impact:
    """What an order, filled at the present price, would do to margins and equity."""
    price = mark(order.instrument)
    fee = fee_of(order.terms.quantity, price)
    held = book.position(order.instrument.con_id)
    shares = held.quantity if held else Decimal(0)
    after = abs(shares + order.terms.quantity * order.terms.sign) * price
    before, change = book.gross_value(mark), after - abs(shares) * price
    equity = book.net_liquidation(mark)
    return Impact(
        initial_margin=_change(before, change, _INITIAL_MARGIN),
        maintenance_margin=_change(before, change, _MAINTENANCE_MARGIN),
        equity=_change(equity, -fee, Decimal(1)),
        commission=fee,
    )


def _change(before: Decimal, change: Decimal, part: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    return before * part, change * part, (before + change) * part


def _amounts(book: Book, mark: Mark) -> dict[str, Decimal]:
    equity, gross = book.net_liquidation(mark), book.gross_value(mark)
    initial, maintenance = gross * _INITIAL_MARGIN, gross * _MAINTENANCE_MARGIN
    common = {
        "NetLiquidation": equity,
        "EquityWithLoanValue": equity,
        "RegTEquity": equity,
        "PreviousDayEquityWithLoanValue": equity - book.pnl(mark).daily,
        "TotalCashValue": book.cash,
        "SettledCash": book.cash,
        "AccruedCash": Decimal(0),
        "GrossPositionValue": gross,
        "RegTMargin": initial,
        "SMA": equity - initial,
        "BuyingPower": max(equity - initial, Decimal(0)) * 4,
    }
    margins = {
        "InitMarginReq": initial,
        "MaintMarginReq": maintenance,
        "AvailableFunds": equity - initial,
        "ExcessLiquidity": equity - maintenance,
    }
    prefixed = {
        prefix + key: value
        for prefix in ("", "Full", "LookAhead")
        for key, value in margins.items()
    }
    return common | prefixed


def _ratios(book: Book, mark: Mark) -> dict[tuple[str, str], str]:
    equity, gross = book.net_liquidation(mark), book.gross_value(mark)
    cushion = (equity - gross * _MAINTENANCE_MARGIN) / equity if equity > 0 else Decimal(0)
    leverage = gross / equity if equity > 0 else Decimal(0)
    return {("Cushion", ""): f"{cushion:.6f}", ("Leverage", ""): f"{leverage:.2f}"}


def _ledger(book: Book, mark: Mark) -> dict[tuple[str, str], str]:
    pnl, stocks = book.pnl(mark), book.stock_value(mark)
    amounts = (book.cash, book.cash, stocks, book.cash + stocks)
    values = {key: _money(value) for key, value in zip(_LEDGER, amounts, strict=True)}
    values |= {"UnrealizedPnL": _money(pnl.unrealized), "RealizedPnL": _money(pnl.realized)}
    values["ExchangeRate"] = "1.00"
    return {
        (key, currency): value for currency in ("BASE", "USD") for key, value in values.items()
    } | {("Currency", currency): currency for currency in ("BASE", "USD")}


def _ledger_names() -> frozenset[str]:
    return frozenset({*_LEDGER, "UnrealizedPnL", "RealizedPnL", "ExchangeRate", "Currency"})


def _money(amount: Decimal) -> str:
    """An amount with cents, as account values are written."""
    return f"{amount:.2f}"
