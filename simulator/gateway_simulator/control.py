"""The HTTP control port: health, state, and faults to inject."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Protocol

from aiohttp import web

from gateway_simulator.contracts import Instrument, UnknownContractError
from gateway_simulator.control_body import Body, InputError
from gateway_simulator.gateway import Gateway
from gateway_simulator.market import MAX_PRICE
from gateway_simulator.message_faults import FATES, KINDS
from gateway_simulator.state import state

MAX_BODY = 64 * 1024
"""Bytes."""
MAX_FACTOR = Decimal(1000)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Action = Callable[[Body], dict[str, object]]


class Simulator(Protocol):
    """What the control port needs of the simulator."""

    @property
    def gateway(self) -> Gateway:
        """The gateway whose faults these are."""

    @property
    def listening(self) -> bool:
        """Whether clients can connect."""

    def drop(self, *, reset: bool) -> int:
        """Close all connections."""

    async def apply_faults(self) -> None:
        """Let sockets follow the faults in force."""


class Control:
    """Serves the control port. Each fault is an action on a checked body."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises OSError when the port is taken."""
        self._runner = web.AppRunner(self._app(), access_log=None)
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, host, port, reuse_address=True)
        await self._site.start()

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Base URL; a wildcard address is reached on loopback."""
        assert self._runner, "not started"  # noqa: S101 - a mistake of the caller
        host, port = self._runner.addresses[0][:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not bound here
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY, middlewares=[_answer_errors_in_json])
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/state", self._state)
        app.router.add_delete("/faults", self._clear)
        actions: dict[str, tuple[Action, tuple[str, ...]]] = {
            "reject": (self._reject, ("orders", "code", "message")),
            "drop": (self._drop, ("reset",)),
            "refuse": (self._refuse, ("seconds",)),
            "restart": (self._restart, ("seconds", "forget")),
            "deaf": (self._deaf, ("seconds", "mode")),
            "stall": (self._stall, ("symbols", "seconds")),
            "price": (self._price, ("symbol", "price", "factor")),
            "system": (self._system, ("code",)),
            "hold-fills": (self._hold_fills, ("seconds",)),
            "messages": (self._messages, ("fate", "kinds", "seconds")),
            "lose-feeds": (self._lose_feeds, ()),
            "delay-feeds": (self._delay_feeds, ("seconds",)),
        }
        for name, (action, fields) in actions.items():
            app.router.add_post(f"/faults/{name}", self._handler(action, fields))
        return app

    def _handler(self, action: Action, fields: tuple[str, ...]) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            said = action(Body(await request.read(), fields))
            await self._simulator.apply_faults()
            return web.json_response(said | {"faults": self._gateway.faults.in_force()})

        return handle

    @property
    def _gateway(self) -> Gateway:
        return self._simulator.gateway

    async def _health(self, _request: web.Request) -> web.Response:
        """The process lives; faults are no illness."""
        listening = self._simulator.listening
        return web.json_response({"status": "ok", "gateway": "SIMULATED", "listening": listening})

    async def _state(self, _request: web.Request) -> web.Response:
        return web.json_response(state(self._gateway))

    async def _clear(self, _request: web.Request) -> web.Response:
        self._gateway.clear_faults()
        await self._simulator.apply_faults()
        return web.json_response({"faults": {}})

    # Actions

    def _reject(self, body: Body) -> dict[str, object]:
        orders = body.integer("orders", 1, 10_000)
        code = body.integer("code", 1, 99_999, default=201)
        text = body.text(
            "message", 500, default="Order rejected - reason:injected by the simulator"
        )
        self._gateway.faults.reject(orders, code, text)
        return {}

    def _drop(self, body: Body) -> dict[str, object]:
        return {"dropped": self._simulator.drop(reset=body.flag("reset", default=True))}

    def _refuse(self, body: Body) -> dict[str, object]:
        self._gateway.faults.refuse(body.seconds())
        return {}

    def _restart(self, body: Body) -> dict[str, object]:
        seconds, forgotten = body.seconds(), body.integer("forget", 0, 1000, default=0)
        self._gateway.desk.book.restart(forgotten)
        self._gateway.faults.refuse(seconds)
        return {"dropped": self._simulator.drop(reset=True)}

    def _deaf(self, body: Body) -> dict[str, object]:
        mode = body.choice("mode", ("hung", "mute"), default="hung")
        seconds = body.seconds_or_none()
        self._gateway.faults.deafen(seconds, "mute" if mode == "mute" else "hung")
        return {}

    def _stall(self, body: Body) -> dict[str, object]:
        symbols = body.texts_or_none("symbols", most=100, longest=12)
        seconds = body.seconds_or_none()
        names = [self._instrument("symbols", one).symbol for one in symbols or []]
        self._gateway.faults.stall(names or None, seconds)
        return {}

    def _price(self, body: Body) -> dict[str, object]:
        if body.has("price") == body.has("factor"):
            raise InputError("price", "exactly one of price and factor", 'send {"factor": 0.9}')
        instrument = self._instrument("symbol", body.text("symbol", 12))
        if body.has("price"):
            price = body.number("price", Decimal(0), MAX_PRICE)
        else:
            factor = body.number("factor", Decimal(0), MAX_FACTOR)
            price = self._gateway.desk.exchange.mark(instrument) * factor
        quote = self._gateway.jump(instrument, price)
        return {"symbol": instrument.symbol, "price": float(quote.last)}

    def _system(self, body: Body) -> dict[str, object]:
        code = body.integer("code", 1100, 1102)
        self._gateway.system(code)
        return {}

    def _hold_fills(self, body: Body) -> dict[str, object]:
        self._gateway.hold_fills(body.seconds_or_none())
        return {}

    def _messages(self, body: Body) -> dict[str, object]:
        fate = body.choice("fate", FATES)
        kinds = body.choices("kinds", tuple(KINDS))
        self._gateway.faults.doom(kinds, fate, body.seconds_or_none())
        return {}

    def _lose_feeds(self, _body: Body) -> dict[str, object]:
        self._gateway.lose_feeds()
        return {}

    def _delay_feeds(self, body: Body) -> dict[str, object]:
        self._gateway.faults.delay_feeds(body.seconds_or_none())
        return {}

    def _instrument(self, field: str, symbol: str) -> Instrument:
        try:
            return self._gateway.desk.directory.symbol(symbol)
        except UnknownContractError as error:
            raise InputError(field, str(error), "send the symbol of a stock, like AAPL") from None


@web.middleware
async def _answer_errors_in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except InputError as error:
        detail = {"field": error.field, "limit": error.limit, "fix": error.fix}
        return web.json_response({"error": detail}, status=422)
    except web.HTTPException as error:
        return web.json_response({"error": {"reason": error.reason}}, status=error.status)
