"""The ASGI application: routes, error shape, middleware."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline

from stocks_api import __version__
from stocks_api.api import kill_switch, problems, resolutions, routes, system
from stocks_api.api.auth import Authenticator
from stocks_api.api.forwarding import Leader, Replicas
from stocks_api.api.middleware import UNMATCHED, BodyLimit, RequestMetrics, RequestMiddleware
from stocks_api.services.kill_switch import KillSwitch
from stocks_api.services.orders import OrderService
from stocks_api.services.portfolio import Portfolio
from stocks_api.services.quotes import Quotes

MAX_BODY_BYTES = 16 * 1024
BODY_SECONDS = 10.0  # 16 KiB take less on any line

_ROUTERS = (
    system.router,
    routes.stored,
    routes.router,
    resolutions.router,
    kill_switch.router,
)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class HttpMetrics(RequestMetrics, Protocol):
    """Where requests are counted, with the routes known in advance."""

    def expect_route(self, method: str, route: str, status: int) -> None:
        """Bind the labels of a route before its first request."""


@dataclass(frozen=True, slots=True)
class Services:
    """All that the routes need."""

    orders: OrderService
    portfolio: Portfolio
    quotes: Quotes
    kill_switch: KillSwitch
    authenticator: Authenticator
    leader: Leader
    replicas: Replicas
    readiness: system.Readiness
    exposition: system.Exposition
    metrics: HttpMetrics


def create_app(services: Services, lifespan: Lifespan) -> FastAPI:
    """The application; `lifespan` starts and ends what runs beside the requests."""
    app = FastAPIOffline(  # its pages need no other host
        redoc_url=None,
        title="stocks-fastapi",
        summary="Stock orders through Interactive Brokers",
        version=__version__,
        lifespan=lifespan,
    )
    app.state.services = services
    app.state.authenticator = services.authenticator
    for router in _ROUTERS:
        app.include_router(router)
    problems.install(app)
    problems.document(app)
    app.add_middleware(BodyLimit, limit=MAX_BODY_BYTES, seconds=BODY_SECONDS)
    app.add_middleware(RequestMiddleware, metrics=services.metrics)  # the outermost
    _expect_routes(services.metrics)
    return app


def _expect_routes(metrics: HttpMetrics) -> None:
    for router in _ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute):
                for method in route.methods or ():
                    metrics.expect_route(method, route.path, route.status_code or 200)
    metrics.expect_route("GET", UNMATCHED, 404)
