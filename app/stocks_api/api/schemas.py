"""What goes over the wire. Quantities and prices come as JSON numbers, and leave as strings."""

from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.config import JsonDict

from stocks_api.domain.market import AccountSummary, Feed, Pnl, Position, Quote
from stocks_api.domain.orders import (
    Change,
    Fill,
    NewOrder,
    Order,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
)
from stocks_api.services.kill_switch import Stop
from stocks_api.services.orders import Resolution

MAX_QUANTITY = Decimal(1_000_000)
MAX_PRICE = Decimal(1_000_000)
# Upper case, as exchanges write them; class shares have a space at IB ("BRK B").
SYMBOL = r"^[A-Z][A-Z0-9]{0,9}([ .][A-Z]{1,3})?$"
PRINTABLE = r"^[\x21-\x7e]+$"


def _number(value: object) -> object:
    if isinstance(value, str):
        raise ValueError("must be a JSON number: send it without quotes")
    if isinstance(value, bool):
        raise ValueError("must be a JSON number")
    return value


def _text(value: Decimal) -> str:
    """Fixed notation without trailing zeros: 10, 0.5."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _schema(most: Decimal) -> WithJsonSchema:
    return WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": int(most)})


_Number = Annotated[Decimal, BeforeValidator(_number)]
Quantity = Annotated[
    _Number,
    Field(gt=0, le=MAX_QUANTITY, decimal_places=4, allow_inf_nan=False),
    _schema(MAX_QUANTITY),
]
Price = Annotated[
    _Number,
    Field(gt=0, le=MAX_PRICE, decimal_places=4, allow_inf_nan=False),
    _schema(MAX_PRICE),
]
Reason = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]
Exact = Annotated[Decimal, PlainSerializer(_text, return_type=str)]


class OrderRequest(BaseModel):
    """An order to place. Quantity in shares, prices in account currency.

    `limit_price` is for LMT and STP_LMT, `stop_price` for STP and STP_LMT.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"symbol": "AAPL", "side": "BUY", "quantity": 10, "order_type": "MKT"},
                {
                    "symbol": "MSFT",
                    "side": "SELL",
                    "quantity": 5,
                    "order_type": "LMT",
                    "limit_price": 410.5,
                    "time_in_force": "GTC",
                },
                {
                    "symbol": "TSLA",
                    "side": "SELL",
                    "quantity": 5,
                    "order_type": "STP_LMT",
                    "stop_price": 200,
                    "limit_price": 198.5,
                },
            ]
        },
    )

    symbol: str = Field(pattern=SYMBOL, max_length=14)
    side: Side
    quantity: Quantity
    order_type: OrderType = OrderType.MARKET
    limit_price: Price | None = Field(None, validate_default=True)
    stop_price: Price | None = Field(None, validate_default=True)
    time_in_force: TimeInForce = TimeInForce.DAY
    client_order_id: str | None = Field(None, min_length=1, max_length=64, pattern=PRINTABLE)

    @field_validator("limit_price", "stop_price")
    @classmethod
    def _price_fits_type(cls, price: Decimal | None, info: ValidationInfo) -> Decimal | None:
        order_type = info.data.get("order_type")
        if order_type is None:  # wrong itself, and said so
            return price
        limit = info.field_name == "limit_price"
        needed = order_type.has_limit if limit else order_type.has_stop
        if needed and price is None:
            raise ValueError(f"an order of type {order_type} needs it")
        if price is not None and not needed:
            fitting = [kind for kind in OrderType if (kind.has_limit if limit else kind.has_stop)]
            raise ValueError(
                f"an order of type {order_type} has none: leave it out, or use order_type "
                + " or ".join(fitting)
            )
        return price

    def to_domain(self) -> NewOrder:
        """The same, for the services."""
        return NewOrder(
            symbol=self.symbol,
            side=self.side,
            order_type=self.order_type,
            quantity=self.quantity,
            limit_price=self.limit_price,
            time_in_force=self.time_in_force,
            client_order_id=self.client_order_id,
            stop_price=self.stop_price,
        )


class OrderChange(BaseModel):
    """New terms for an open order; what is left out stays."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"limit_price": 411.25}, {"quantity": 20}]},
    )

    quantity: Quantity | None = None
    limit_price: Price | None = None
    stop_price: Price | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.quantity is self.limit_price is self.stop_price is None:
            raise ValueError("say what to change: quantity, limit_price or stop_price")
        return self

    def to_domain(self) -> Change:
        """The same, for the services."""
        return Change(self.quantity, self.limit_price, self.stop_price)


class OrderResolution(BaseModel):
    """What became of an unresolved order: `filled` in full, or `cancelled`: it is no more."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"status": "cancelled", "reason": "never arrived: not in the statement"}]
        },
    )

    status: Literal[OrderStatus.CANCELLED, OrderStatus.FILLED]
    reason: Reason

    def to_domain(self) -> Resolution:
        """The same, for the services."""
        return Resolution(self.status, self.reason)


class OrderFilter(BaseModel):
    """Which orders, and which page: `before` is the previous page's `next_before`."""

    model_config = ConfigDict(extra="forbid")

    status: OrderStatus | None = None
    symbol: str | None = Field(None, pattern=SYMBOL, max_length=14)
    limit: int = Field(50, ge=1, le=200)
    before: int | None = Field(None, ge=1, le=2**53)


class StatusChangeView(BaseModel):
    """An order entered a status."""

    status: OrderStatus
    at: datetime
    detail: str


class FillView(BaseModel):
    """One execution; its commission is null until the gateway tells it, a rebate is negative."""

    exec_id: str
    quantity: Exact
    price: Exact
    at: datetime
    commission: Exact | None
    commission_currency: str | None

    @classmethod
    def of(cls, fill: Fill) -> Self:
        """For the wire."""
        return cls(**asdict(fill))


_FILLED: JsonDict = {
    "id": "5e0d6b1c-6a52-4a0f-9a53-8b6f9d9a9d10",
    "perm_id": 1528347102,
    "status": "filled",
    "symbol": "AAPL",
    "side": "BUY",
    "order_type": "MKT",
    "quantity": "10",
    "limit_price": None,
    "stop_price": None,
    "time_in_force": "DAY",
    "client_order_id": "desk-7",
    "filled_quantity": "10",
    "average_price": "230.01",
    "reason": "",
    "created_at": "2026-11-25T14:30:00.101Z",
    "history": [
        {"status": "pending", "at": "2026-11-25T14:30:00.101Z", "detail": ""},
        {"status": "accepted", "at": "2026-11-25T14:30:00.123Z", "detail": ""},
        {"status": "filled", "at": "2026-11-25T14:30:00.131Z", "detail": ""},
    ],
    "fills": [
        {
            "exec_id": "0000e0d5.05743bd1.01.01",
            "quantity": "10",
            "price": "230.01",
            "at": "2026-11-25T14:30:00Z",
            "commission": "1",
            "commission_currency": "USD",
        }
    ],
}


class OrderView(BaseModel):
    """An order as it is known now; quantity and prices are those in force at the gateway.

    `perm_id` is the gateway's own id of it, null until the gateway tells it.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_FILLED]})

    id: str
    perm_id: int | None
    status: OrderStatus
    symbol: str
    side: Side
    order_type: OrderType
    quantity: Exact
    limit_price: Exact | None
    stop_price: Exact | None
    time_in_force: TimeInForce
    client_order_id: str | None
    filled_quantity: Exact
    average_price: Exact | None
    reason: str
    created_at: datetime
    history: list[StatusChangeView]
    fills: list[FillView]

    @classmethod
    def of(cls, order: Order) -> Self:
        """For the wire."""
        request, terms = order.request, order.terms
        return cls(
            id=order.id,
            perm_id=order.perm_id,
            status=order.status,
            symbol=request.symbol,
            side=request.side,
            order_type=request.order_type,
            quantity=terms.quantity,
            limit_price=terms.limit_price,
            stop_price=terms.stop_price,
            time_in_force=request.time_in_force,
            client_order_id=request.client_order_id,
            filled_quantity=order.filled_quantity,
            average_price=order.average_price,
            reason=order.reason,
            created_at=order.created_at,
            history=[
                StatusChangeView(status=change.status, at=change.at, detail=change.detail)
                for change in order.history
            ],
            fills=[FillView.of(fill) for fill in order.fills],
        )


class OrderPageView(BaseModel):
    """Orders, newest first; `next_before` is the `before` of the next page, null at the end."""

    orders: list[OrderView]
    next_before: int | None


class PositionView(BaseModel):
    """Shares held (negative: short); cost per share and P&L in account currency."""

    account: str
    symbol: str
    quantity: Exact
    average_cost: float | None
    daily_pnl: float | None
    unrealized_pnl: float | None
    realized_pnl: float | None

    @classmethod
    def of(cls, position: Position) -> Self:
        """For the wire."""
        return cls(
            account=position.account,
            symbol=position.symbol,
            quantity=position.quantity,
            average_cost=position.average_cost,
            daily_pnl=position.pnl.daily,
            unrealized_pnl=position.pnl.unrealized,
            realized_pnl=position.pnl.realized,
        )


class PositionsView(BaseModel):
    """Positions that are not flat; `current` is false while the gateway link is down."""

    positions: list[PositionView]
    current: bool


class PnlView(BaseModel):
    """Account currency; null is "not known yet". `current` is false while the link is down."""

    daily: float | None
    unrealized: float | None
    realized: float | None
    net_liquidation: float | None
    current: bool

    @classmethod
    def of(cls, pnl: Pnl, net_liquidation: float | None, current: bool) -> Self:
        """For the wire."""
        return cls(
            daily=pnl.daily,
            unrealized=pnl.unrealized,
            realized=pnl.realized,
            net_liquidation=net_liquidation,
            current=current,
        )


class AccountView(BaseModel):
    """Account currency; null is "not known yet". `current` is false while the link is down."""

    account: str | None
    currency: str | None
    net_liquidation: float | None
    total_cash: float | None
    settled_cash: float | None
    gross_position_value: float | None
    buying_power: float | None
    available_funds: float | None
    excess_liquidity: float | None
    initial_margin: float | None
    maintenance_margin: float | None
    current: bool

    @classmethod
    def of(cls, summary: AccountSummary, current: bool) -> Self:
        """For the wire."""
        return cls(**asdict(summary), current=current)


class QuoteView(BaseModel):
    """Last known market data; null before the first tick. `feed` and `delayed` say how fresh."""

    symbol: str
    bid: float | None
    ask: float | None
    last: float | None
    bid_size: float | None
    ask_size: float | None
    close: float | None
    feed: Feed
    delayed: bool
    last_tick_at: datetime | None

    @classmethod
    def of(cls, quote: Quote) -> Self:
        """For the wire."""
        return cls(
            symbol=quote.symbol,
            bid=quote.bid,
            ask=quote.ask,
            last=quote.last,
            bid_size=quote.bid_size,
            ask_size=quote.ask_size,
            close=quote.close,
            feed=quote.feed,
            delayed=quote.delayed,
            last_tick_at=quote.last_tick_at,
        )


class KillSwitchRequest(BaseModel):
    """Why trading must stop."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"reason": "runaway strategy"}]}
    )

    reason: Reason


class KillSwitchView(BaseModel):
    """Whether trading is stopped; `stored` is false if a restart would forget it."""

    active: bool
    by: str | None = None
    reason: str | None = None
    at: datetime | None = None
    stored: bool = True

    @classmethod
    def of(cls, stop: Stop | None) -> Self:
        """For the wire."""
        if stop is None:
            return cls(active=False)
        return cls(active=True, by=stop.by, reason=stop.reason, at=stop.at, stored=stop.stored)


class Health(BaseModel):
    """The process lives. `gateway`: SIMULATED, PAPER or LIVE."""

    status: str
    gateway: str
    version: str


class Check(BaseModel):
    """One thing that readiness needs."""

    ok: bool
    detail: str


class Readiness(BaseModel):
    """Whether orders can be placed, and if not, why."""

    ready: bool
    gateway: str
    checks: dict[str, Check]
