"""What became of orders that stay unresolved: decided by people, with the scope `admin`."""

from fastapi import APIRouter, Response

from stocks_api.api import routes, schemas
from stocks_api.api.strict import KEY, REFUSALS, AdminRoute

router = APIRouter(
    prefix="/v1/orders/{order_id}/resolution",
    tags=["orders"],
    route_class=AdminRoute,
    dependencies=[KEY],
    responses=REFUSALS | routes.UNAVAILABLE | routes.NOT_FOUND | routes.CONFLICT,
)


@router.post("")
async def resolve_order(
    order_id: routes.OrderId,
    resolution: schemas.OrderResolution,
    response: Response,
    orders: routes.Orders,
    who: routes.WhoAsks,
) -> schemas.OrderView:
    """End an order that stays unresolved, after looking at the account's statements.

    The gateway must be there and not know the order: what it knows settles the order by itself.
    Who decided and why is kept in the order's history.
    """
    order = await orders.resolve(order_id, resolution.to_domain(), who)
    response.status_code = 202 if order.is_open else 200
    return schemas.OrderView.of(order)
