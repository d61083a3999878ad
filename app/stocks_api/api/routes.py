"""The routes under /v1."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

from stocks_api.api import schemas
from stocks_api.api.problems import Problem
from stocks_api.api.strict import ADMIN, KEY, REFUSALS, ClientRoute, LeaderRoute
from stocks_api.domain.errors import GatewayUnavailable
from stocks_api.domain.orders import Actor, OrderStatus
from stocks_api.services.orders import OrderQuery, OrderService
from stocks_api.services.portfolio import Portfolio
from stocks_api.services.quotes import Quotes

_Responses = dict[int | str, dict[str, Any]]

UNAVAILABLE: _Responses = {
    503: {"model": Problem, "description": "Gateway or database is not available"}
}
NOT_FOUND: _Responses = {404: {"model": Problem, "description": "Unknown"}}
CONFLICT: _Responses = {409: {"model": Problem, "description": "The order's status forbids it"}}

router = APIRouter(
    prefix="/v1",
    route_class=LeaderRoute,
    dependencies=[KEY],
    responses=REFUSALS | UNAVAILABLE,
)
# Stored orders are the same for every replica.
stored = APIRouter(
    prefix="/v1",
    route_class=ClientRoute,
    dependencies=[KEY],
    responses=REFUSALS | UNAVAILABLE,
)


async def _orders(request: Request) -> OrderService:
    service: OrderService = request.app.state.services.orders
    return service


async def _portfolio(request: Request) -> Portfolio:
    portfolio: Portfolio = request.app.state.services.portfolio
    return portfolio


async def _quotes(request: Request) -> Quotes:
    quotes: Quotes = request.app.state.services.quotes
    return quotes


async def actor(request: Request) -> Actor:
    """Who asks; an admin's word counts for every client's orders."""
    return Actor(request.state.client, any_order=ADMIN in request.state.scopes)


Orders = Annotated[OrderService, Depends(_orders)]
WhoAsks = Annotated[Actor, Depends(actor)]
PortfolioState = Annotated[Portfolio, Depends(_portfolio)]
QuoteState = Annotated[Quotes, Depends(_quotes)]
OrderId = Annotated[str, Path(pattern=r"^[0-9a-f-]{36}$")]
SymbolPath = Annotated[str, Path(pattern=schemas.SYMBOL, max_length=14)]
IdempotencyKey = Annotated[
    str | None, Header(min_length=1, max_length=128, pattern=schemas.PRINTABLE)
]

_UNSETTLED = frozenset({OrderStatus.PENDING, OrderStatus.UNRESOLVED})


@router.post(
    "/orders",
    status_code=201,
    tags=["orders"],
    responses={202: {"model": schemas.OrderView, "description": "Outcome not known yet"}},
)
async def place_order(
    request: Request,
    response: Response,
    order: schemas.OrderRequest,
    orders: Orders,
    idempotency_key: IdempotencyKey = None,
) -> schemas.OrderView:
    """Place an order, once.

    201 with the order as the gateway answered, also when it rejected it: see `status`. 202 while
    its outcome is not known: ask again by its id. With an `Idempotency-Key` (or else a
    `client_order_id`) the same request gives the same order, and another request is refused.
    """
    key = idempotency_key or order.client_order_id
    placed = await orders.place(request.state.client, order.to_domain(), key)
    if placed.order.status in _UNSETTLED:
        response.status_code = 202
    if placed.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    response.headers["Location"] = f"/v1/orders/{placed.order.id}"
    return schemas.OrderView.of(placed.order)


@stored.get("/orders", tags=["orders"])
async def list_orders(
    orders: Orders, query: Annotated[schemas.OrderFilter, Query()]
) -> schemas.OrderPageView:
    """Orders, newest first."""
    page = await orders.find(
        OrderQuery(status=query.status, symbol=query.symbol, limit=query.limit, before=query.before)
    )
    return schemas.OrderPageView(
        orders=[schemas.OrderView.of(order) for order in page.orders],
        next_before=page.next_before,
    )


@stored.get("/orders/{order_id}", tags=["orders"], responses=NOT_FOUND)
async def get_order(order_id: OrderId, orders: Orders) -> schemas.OrderView:
    """One order with its history and fills."""
    return schemas.OrderView.of(await orders.get(order_id))


@router.patch("/orders/{order_id}", tags=["orders"], responses=NOT_FOUND | CONFLICT)
async def change_order(
    order_id: OrderId,
    change: schemas.OrderChange,
    response: Response,
    orders: Orders,
    who: WhoAsks,
) -> schemas.OrderView:
    """Change an open order: 200 when the gateway has confirmed, 202 while it has not answered.

    409 when the order is final, or the gateway refuses: the order stays as it was.
    """
    order = await orders.change(order_id, change.to_domain(), who)
    response.status_code = 200 if order.changed_as(change.to_domain()) else 202
    return schemas.OrderView.of(order)


@router.delete("/orders/{order_id}", tags=["orders"], responses=NOT_FOUND | CONFLICT)
async def cancel_order(
    order_id: OrderId, response: Response, orders: Orders, who: WhoAsks
) -> schemas.OrderView:
    """Cancel an order: 200 when it is final, 202 while the gateway has not answered."""
    order = await orders.cancel(order_id, who)
    response.status_code = 202 if order.is_open else 200
    return schemas.OrderView.of(order)


@router.get("/positions", tags=["account"])
async def positions(portfolio: PortfolioState, orders: Orders) -> schemas.PositionsView:
    """Positions that are not flat."""
    return schemas.PositionsView(
        positions=[schemas.PositionView.of(position) for position in portfolio.positions],
        current=_current(orders),
    )


@router.get("/pnl", tags=["account"])
async def pnl(portfolio: PortfolioState, orders: Orders) -> schemas.PnlView:
    """Profit and loss of the account."""
    worth = portfolio.summary.net_liquidation
    return schemas.PnlView.of(portfolio.pnl, worth, _current(orders))


@router.get("/account", tags=["account"])
async def account(portfolio: PortfolioState, orders: Orders) -> schemas.AccountView:
    """What the account is worth and may do: cash, buying power, margins."""
    return schemas.AccountView.of(portfolio.summary, _current(orders))


@router.get("/quotes/{symbol}", tags=["market data"], responses=NOT_FOUND)
async def quote(symbol: SymbolPath, quotes: QuoteState) -> schemas.QuoteView:
    """Last known market data of a symbol on the watch list."""
    return schemas.QuoteView.of(quotes.get(symbol))


def _current(orders: OrderService) -> bool:
    try:
        orders.require_ready()
    except GatewayUnavailable:
        return False
    return True
