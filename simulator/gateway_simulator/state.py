"""The simulator's state as JSON, for tests and for people."""

from collections.abc import Mapping
from itertools import islice

from gateway_simulator.book import Order, Position, position_pnl
from gateway_simulator.gateway import Gateway

MAX_ORDERS_SHOWN = 1000
"""Orders in one answer, the latest."""


def state(gateway: Gateway) -> Mapping[str, object]:
    """Clients, orders, positions, faults in force, and how often each request came."""
    book, exchange = gateway.desk.book, gateway.desk.exchange
    orders = [*book.completed_orders(), *book.open_orders()]
    pnl = book.pnl(exchange.mark)
    return {
        "account": gateway.desk.account,
        "link": "up" if exchange.reachable else "lost",
        "clients": [
            {"client_id": client_id, "market_data": session.quotes.symbols}
            for client_id, session in sorted(gateway.sessions.items())
        ],
        "orders": [_order(one) for one in islice(reversed(orders), MAX_ORDERS_SHOWN)],
        "executions": len(book.executions()),
        "forgotten_orders": book.forgotten_orders,
        "positions": [_position(one, gateway) for one in book.held()],
        "net_liquidation": float(book.net_liquidation(exchange.mark)),
        "pnl": {
            "daily": float(pnl.daily),
            "unrealized": float(pnl.unrealized),
            "realized": float(pnl.realized),
        },
        "faults": gateway.faults.in_force(),
        "received": dict(gateway.received),
    }


def _order(order: Order) -> Mapping[str, object]:
    terms = order.terms
    return {
        "client_id": order.client_id,
        "order_id": order.order_id,
        "perm_id": order.perm_id,
        "order_ref": terms.order_ref,
        "symbol": order.instrument.symbol,
        "action": terms.action,
        "order_type": terms.order_type,
        "quantity": float(terms.quantity),
        "limit_price": float(terms.limit_price) if terms.limit_price is not None else None,
        "status": order.status,
        "filled": float(order.filled),
        "average_price": float(order.average_price),
    }


def _position(position: Position, gateway: Gateway) -> Mapping[str, object]:
    mark = gateway.desk.exchange.mark
    pnl = position_pnl(position, mark)
    return {
        "symbol": position.instrument.symbol,
        "quantity": float(position.quantity),
        "average_cost": float(position.average_cost),
        "price": float(mark(position.instrument)),
        "unrealized": float(pnl.unrealized),
        "realized": float(pnl.realized),
    }
