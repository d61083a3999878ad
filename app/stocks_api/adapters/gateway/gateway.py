"""One gateway, session after session.

Each session gets a client object of its own: the client clears its state on a drop, and late
messages of an old session must not reach the new one.
"""

import asyncio

from stocks_api.adapters.gateway.ports import GatewayConfig, Listeners
from stocks_api.adapters.gateway.session import Session
from stocks_api.domain.errors import GatewayUnavailable
from stocks_api.domain.orders import Order, Terms
from stocks_api.services.order_writer import Snapshot
from stocks_api.services.pacing import Pace


class IbGateway:
    """One gateway, session after session; lives on the event loop that runs it."""

    def __init__(self, config: GatewayConfig, pace: Pace) -> None:
        self._config = config
        self._pace = pace
        self._listeners: Listeners | None = None
        self._session: Session | None = None

    def listen(self, listeners: Listeners) -> None:
        """Who hears what the gateway says, from now on."""
        self._listeners = listeners

    async def connect(self) -> None:
        """Open a session and subscribe. Raises GatewayUnavailable."""
        self._session = self.new_session()
        await self._session.open()

    def new_session(self) -> Session:
        """A session that is not open yet."""
        assert self._listeners is not None, "listen() comes first"  # noqa: S101 a wiring mistake
        return Session(self._config, self._listeners, self._pace)

    async def round_trip(self) -> None:
        """Ask the gateway for its time. Raises GatewayUnavailable."""
        await self._current.round_trip()

    async def resubscribe(self) -> None:
        """Ask anew for market data and P&L, as the pace allows. Raises GatewayUnavailable."""
        self._current.subscribe()

    async def wait_closed(self) -> None:
        """Return when the session's socket is gone."""
        await self._current.closed.wait()

    async def close(self) -> None:
        """End the session; never raises."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def place(self, order: Order) -> None:
        """Send the order. Raises GatewayUnavailable when nothing was sent."""
        self._current.place(order)

    def cancel(self, order: Order) -> None:
        """Ask to cancel. Raises GatewayUnavailable and OrderUnknownToGateway."""
        self._current.cancel(order)

    def change(self, order: Order, terms: Terms) -> asyncio.Future[str]:
        """Ask to change an order; the future gets the gateway's words if it refuses.

        Raises GatewayUnavailable, OrderUnknownToGateway and ChangeRefused.
        """
        return self._current.change(order, terms)

    def cancel_all(self) -> None:
        """Ask to cancel every open order, of all clients. Raises GatewayUnavailable."""
        self._current.cancel_all()

    async def snapshot(self) -> Snapshot:
        """All that the gateway knows of orders; positions are renewed too."""
        return await self._current.snapshot()

    @property
    def _current(self) -> Session:
        if self._session is None:
            raise GatewayUnavailable("not connected to the gateway", "closed")
        return self._session
