"""Two books of the same orders: the API's database and the simulated gateway's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from tests.integration.api.conftest import Simulator, until

#: What the gateway says of an order, as we say it.
STATUS = {
    "PreSubmitted": "accepted",
    "Submitted": "accepted",
    "Filled": "filled",
    "Cancelled": "cancelled",
    "Inactive": "rejected",
}
#: Where an order that never reached the gateway may end.
NEVER_THERE = ("rejected", "cancelled", "unresolved")


class Api(Protocol):
    """Ours, in this process or in one of its own."""

    async def orders(self) -> list[dict[str, Any]]: ...

    async def json(self, path: str) -> Any: ...


@dataclass(frozen=True)
class Books:
    """Each order by our id, and what is held by symbol, as both sides have it."""

    ours: dict[str, dict[str, Any]]
    theirs: dict[str, list[dict[str, Any]]]
    our_positions: dict[str, float]
    their_positions: dict[str, float]
    executions: int

    def differences(self) -> list[str]:
        """What is lost, doubled or told otherwise; empty if the books agree."""
        found = [f"unknown to us: {one}" for one in self.theirs.keys() - self.ours.keys()]
        found += [f"doubled: {one}" for one, there in self.theirs.items() if len(there) > 1]
        for order_id, order in self.ours.items():
            found += _differences(order, self.theirs.get(order_id, []))
        fills = [fill["exec_id"] for order in self.ours.values() for fill in order["fills"]]
        if len(fills) != self.executions or len(set(fills)) != len(fills):
            found.append(f"{len(fills)} fills of {self.executions} executions")
        if self.our_positions != self.their_positions:
            found.append(f"positions: {self.our_positions} here, {self.their_positions} there")
        return found


def _differences(order: dict[str, Any], there: list[dict[str, Any]]) -> list[str]:
    name, status = f"order {order['id']}", order["status"]
    if not there:
        return [] if status in NEVER_THERE else [f"{name} is {status}, and never arrived"]
    other = there[0]
    found = []
    if status != STATUS.get(other["status"]):
        found.append(f"{name} is {status} here, {other['status']} there")
    if float(order["filled_quantity"]) != other["filled"]:
        found.append(f"{name}: {order['filled_quantity']} filled here, {other['filled']} there")
    return found


async def read(api: Api, simulator: Simulator) -> Books:
    """Both books now."""
    state = await simulator.state()
    theirs: dict[str, list[dict[str, Any]]] = {}
    for order in state["orders"]:
        theirs.setdefault(order["order_ref"], []).append(order)
    positions = (await api.json("/v1/positions"))["positions"]
    return Books(
        ours={order["id"]: order for order in await api.orders()},
        theirs=theirs,
        our_positions={one["symbol"]: float(one["quantity"]) for one in positions},
        their_positions={one["symbol"]: one["quantity"] for one in state["positions"]},
        executions=state["executions"],
    )


async def until_they_agree(api: Api, simulator: Simulator) -> Books:
    """Wait until both sides tell the same of every order, fill and position."""
    return await until(lambda: read(api, simulator), lambda books: not books.differences())
