"""Random sequences of orders, changes, prices and faults against a model; three books compared.

Whatever happens, and in whatever order: no order is lost or doubled, nothing trades that nobody
asked for, and what is held is what was filled. The client is the real one, over a real socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.integration.api import books
from tests.integration.api.conftest import Api, Simulator, quick, running, simulating, until

EXAMPLES = 12

SYMBOLS = ("AAPL", "MSFT", "TSLA")
FAULTS: dict[str, dict[str, Any]] = {
    "drop": {},
    "refuse": {"seconds": 0.4},
    "deaf": {"mode": "mute", "seconds": 0.6},
    "system": {"code": 1100},
    "hold-fills": {"seconds": 0.5},
    "messages": {
        "fate": "twice",
        "kinds": ["order-status", "execution", "open-order", "commission"],
    },
}

Body = dict[str, Any]
Step = tuple[str, Any]

orders = st.fixed_dictionaries(
    {
        "symbol": st.sampled_from(SYMBOLS),
        "side": st.sampled_from(["BUY", "SELL"]),
        "quantity": st.integers(1, 20),
        "kind": st.sampled_from(["market", "resting", "stop"]),
    }
)
indices = st.integers(0, 9)
steps = st.one_of(
    st.tuples(st.just("place"), orders),
    st.tuples(st.just("place"), orders),
    st.tuples(st.just("repeat"), indices),
    st.tuples(st.just("cancel"), indices),
    st.tuples(st.just("change"), st.tuples(indices, st.integers(1, 30))),
    st.tuples(st.just("price"), st.tuples(st.sampled_from(SYMBOLS), st.sampled_from([0.9, 1.1]))),
    st.tuples(st.just("fault"), st.sampled_from(sorted(FAULTS))),
    st.tuples(st.just("heal"), st.none()),
    st.tuples(st.just("restart"), st.none()),
)


def body(order: Body, key: str) -> Body:
    """As it is posted. What rests is far from the market, whatever the price does."""
    far = 1 if order["side"] == "BUY" else 90000
    prices: dict[str, Body] = {
        "market": {"order_type": "MKT"},
        "resting": {"order_type": "LMT", "limit_price": far},
        "stop": {"order_type": "STP", "stop_price": 90000 if order["side"] == "BUY" else 1},
    }
    asked = {name: order[name] for name in ("symbol", "side", "quantity")}
    return asked | prices[order["kind"]] | {"client_order_id": key}


@dataclass
class Model:
    """What was asked for; whatever is found beside it is wrong."""

    asked: dict[str, Body] = field(default_factory=dict)
    quantities: dict[str, set[str]] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)

    def differences(self, found: books.Books) -> list[str]:
        """What is wrong with the orders and positions, as the books agree on them."""
        keys = [order["client_order_id"] for order in found.ours.values()]
        wrong = [f"two orders for {key}" for key in set(keys) if keys.count(key) > 1]
        wrong += [f"nobody asked for {key}" for key in set(keys) - self.asked.keys()]
        for order_id, order in found.ours.items():
            wrong += self._of_order(order, there=order_id in found.theirs)
        if (held := _held(found.ours.values())) != found.their_positions:
            wrong.append(f"fills add up to {held}, held is {found.their_positions}")
        return wrong

    def _of_order(self, order: Body, *, there: bool) -> list[str]:
        key, status = order["client_order_id"], order["status"]
        asked, same = self.asked[key], ("symbol", "side", "order_type")
        wrong = [f"{key}: {name} is {order[name]}" for name in same if order[name] != asked[name]]
        if order["quantity"] not in self.quantities[key]:
            wrong.append(f"{key}: nobody asked for {order['quantity']} shares")
        if status == "cancelled" and key not in self.cancelled:
            wrong.append(f"{key}: cancelled by nobody")
        if there and asked["order_type"] == "MKT" and status not in ("filled", "cancelled"):
            wrong.append(f"{key}: a market order is {status}")
        if status == "filled" and asked["order_type"] != "MKT":
            wrong.append(f"{key}: filled far from the market")
        return wrong


def _held(found: Any) -> dict[str, float]:
    held: dict[str, float] = {}
    for order in found:
        sign = 1 if order["side"] == "BUY" else -1
        shares = sum(float(fill["quantity"]) for fill in order["fills"])
        held[order["symbol"]] = held.get(order["symbol"], 0) + sign * shares
    return {symbol: shares for symbol, shares in held.items() if shares}


class Desk:
    """Carries out the steps; requests go on while later steps are taken."""

    def __init__(self, simulator: Simulator, folder: Path) -> None:
        self.model = Model()
        self._simulator = simulator
        self._settings = quick(simulator.port, folder)
        self._requests: list[asyncio.Task[httpx.Response]] = []
        self._api: Api | None = None
        self._stack = AsyncExitStack()

    @property
    def api(self) -> Api:
        assert self._api is not None
        return self._api

    async def start(self, _nothing: None = None) -> None:
        self._api = await self._stack.enter_async_context(running(self._settings))
        await self.api.until_ready()

    async def stop(self) -> None:
        await self.answered()
        await self._stack.aclose()

    async def restart(self, _nothing: None) -> None:
        await self.heal(None)  # a desk that is down for good proves nothing
        await self.stop()
        await self.start()

    async def answered(self) -> None:
        for answer in await asyncio.gather(*self._requests):
            assert answer.status_code < 500 or answer.status_code == 503, answer.text
        self._requests.clear()

    async def place(self, order: Body) -> None:
        key = f"k{len(self.model.asked)}"
        self.model.asked[key] = body(order, key)
        self.model.quantities[key] = {str(order["quantity"])}
        self._send(self.api.post(self.model.asked[key]))

    async def repeat(self, index: int) -> None:
        if (key := self._key(index)) is not None:
            self._send(self.api.post(self.model.asked[key]))

    async def cancel(self, index: int) -> None:
        if (order := await self._order(index)) is not None:
            self.model.cancelled.add(order["client_order_id"])
            self._send(self.api.delete(order["id"]))

    async def change(self, change: tuple[int, int]) -> None:
        index, quantity = change
        if (order := await self._order(index)) is not None:
            self.model.quantities[order["client_order_id"]].add(str(quantity))
            self._send(self.api.patch(order["id"], quantity=quantity))

    async def price(self, jump: tuple[str, float]) -> None:
        symbol, factor = jump
        await self._simulator.inject("price", symbol=symbol, factor=factor)

    async def fault(self, name: str) -> None:
        await self._simulator.inject(name, **FAULTS[name])

    async def heal(self, _nothing: None) -> None:
        await self._simulator.heal()

    async def settle(self) -> books.Books:
        """Everything works again: wait until both sides tell the same."""
        await self.heal(None)
        await self.answered()
        await self.api.until_ready()
        await until(self.api.orders, charged)
        return await books.until_they_agree(self.api, self._simulator)

    def _send(self, request: Awaitable[httpx.Response]) -> None:
        self._requests.append(asyncio.ensure_future(request))

    def _key(self, index: int) -> str | None:
        keys = list(self.model.asked)
        return keys[index % len(keys)] if keys else None

    async def _order(self, index: int) -> Body | None:
        key = self._key(index)
        known = (order for order in await self.api.orders() if order["client_order_id"] == key)
        return next(known, None)


def charged(found: list[Body]) -> bool:
    """Whether the commission of every fill is known: what was lost of them is asked for."""
    return all(fill["commission"] is not None for order in found for fill in order["fills"])


async def play(sequence: list[Step]) -> None:
    with TemporaryDirectory() as folder:
        async with simulating() as simulator:
            desk = Desk(simulator, Path(folder))
            await desk.start()
            for name, argument in sequence:
                step: Callable[[Any], Awaitable[None]] = getattr(desk, name)
                await step(argument)
                await asyncio.sleep(0.02)  # so that faults find requests at different stages
            found = await desk.settle()
            assert desk.model.differences(found) == []
            await counts_agree(desk.api, found)
            await desk.stop()


async def counts_agree(api: Api, found: books.Books) -> None:
    """The gauge is about now; the counters began with the process, so they can only be lower."""
    statuses = [order["status"] for order in found.ours.values()]
    assert await api.count("orders_unresolved") == statuses.count("unresolved")
    counted = 0.0
    for side in ("BUY", "SELL"):
        for kind in ("MKT", "LMT", "STP"):
            labels = {"side": side, "order_type": kind, "status": "filled"}
            counted += await api.count("orders_total", **labels)
    assert counted <= statuses.count("filled")


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # a smaller example takes minutes to find, and says little more
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(steps, min_size=8, max_size=25))
def test_whatever_happens_no_order_is_lost_or_doubled_and_the_books_agree(
    sequence: list[Step],
) -> None:
    asyncio.run(play(sequence))
