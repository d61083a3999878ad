"""The gateway without sockets: who is told what, and when."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import get_args

import pytest

from gateway_simulator.book import Terms
from gateway_simulator.contracts import ContractQuery
from gateway_simulator.gateway import Gateway
from gateway_simulator.place_order import PlaceOrder
from gateway_simulator.requests import (
    CancelMarketData,
    CancelOrder,
    Request,
    RequestAccountSummary,
    RequestAccountUpdates,
    RequestCompletedOrders,
    RequestMarketData,
    RequestPnl,
    RequestPositions,
)
from gateway_simulator.session import Session
from gateway_simulator.settings import Settings
from gateway_simulator.wire import FrameReader, split_fields

QUERY = ContractQuery(symbol="AAPL")


class Time:
    """New York, 23:59:30 on a Monday."""

    def __init__(self) -> None:
        self.passed = 0.0

    def clock(self) -> datetime:
        return datetime(2026, 1, 6, 4, 59, 30, tzinfo=UTC) + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return self.passed


class Listener:
    """A client: its session, and the fields of every message it was told."""

    def __init__(self, gateway: Gateway, client_id: int) -> None:
        self.messages: list[list[str]] = []
        session = gateway.join(client_id, self._hear)
        assert session
        self.session: Session = session

    def _hear(self, data: bytes) -> None:
        self.messages += [split_fields(payload) for payload in FrameReader().feed(data)]

    def ask(self, request: Request) -> list[list[str]]:
        self.messages.clear()
        self.session.handle(request)
        return self.messages

    def kinds(self) -> list[int]:
        return [int(message[0]) for message in self.messages]

    def buy(self, order_id: int, shares: int = 1, limit: str | None = None) -> list[list[str]]:
        kind, price = ("LMT", Decimal(limit)) if limit else ("MKT", None)
        terms = Terms("BUY", Decimal(shares), kind, price)
        return self.ask(PlaceOrder(order_id, QUERY, terms, "", what_if=False, unsupported=()))


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def gateway(time: Time) -> Gateway:
    return Gateway(Settings(), time.clock, time.monotonic)


@pytest.fixture
def listener(gateway: Gateway) -> Callable[[int], Listener]:
    return lambda client_id: Listener(gateway, client_id)


Listen = Callable[[int], Listener]


def test_every_request_has_an_answer(gateway: Gateway, listener: Listen) -> None:
    assert set(listener(1).session._answer) == set(get_args(Request))


def test_a_client_id_is_given_once(gateway: Gateway, listener: Listen) -> None:
    first = listener(1)
    assert gateway.join(1, lambda _data: None) is None
    gateway.leave(first.session)
    assert gateway.join(1, lambda _data: None)


def test_leaving_twice_does_not_throw_the_next_one_out(gateway: Gateway, listener: Listen) -> None:
    first = listener(1)
    gateway.leave(first.session)
    second = listener(1)
    gateway.leave(first.session)
    assert gateway.sessions == {1: second.session}


def test_a_welcome_has_accounts_id_and_three_farms(listener: Listen) -> None:
    client = listener(1)
    client.session.welcome()
    assert client.kinds() == [15, 9, 4, 4, 4]


def test_a_fill_is_told_in_the_gateways_order(listener: Listen) -> None:
    client = listener(1)
    client.buy(1)
    # acknowledged: openOrder, status; filled: execution, openOrder, status twice, commission
    assert client.kinds() == [5, 3, 11, 5, 3, 3, 59]
    assert client.messages[2][1] == "-1"  # live, not the answer to a request


def test_only_the_owner_hears_of_an_order_but_everybody_of_positions(listener: Listen) -> None:
    owner, other = listener(1), listener(2)
    other.ask(RequestPositions())
    other.messages.clear()
    owner.buy(1)
    assert other.kinds() == [61]


def test_cancelling_is_told_by_status_and_notice(listener: Listen) -> None:
    client = listener(1)
    client.buy(1, limit="1")
    client.ask(CancelOrder(1))
    assert [(message[0], message[2]) for message in client.messages] == [
        ("3", "Cancelled"),
        ("4", "1"),
    ]
    assert client.messages[1][3] == "202"


def test_at_midnight_in_new_york_the_day_ends(
    gateway: Gateway, listener: Listen, time: Time
) -> None:
    client = listener(1)
    client.buy(1)
    client.buy(2, limit="1")
    gateway.tick()
    assert len(gateway.desk.book.executions()) == 1

    time.passed = 31
    client.messages.clear()
    gateway.tick()

    assert [message[3] for message in client.messages if message[0] == "4"] == ["202"]
    assert gateway.desk.book.executions() == []
    completed = client.ask(RequestCompletedOrders())
    assert [message[0] for message in completed] == ["101", "102"]  # what expired just now
    assert [position.quantity for position in gateway.desk.book.held()] == [1]


def test_pnl_is_told_every_second(gateway: Gateway, listener: Listen, time: Time) -> None:
    client = listener(1)
    client.ask(RequestPnl(5, ""))
    counts = []
    for passed in (0.0, 0.5, 0.99, 1.0, 1.5):
        time.passed = passed
        client.messages.clear()
        gateway.tick()
        counts.append(client.kinds().count(94))
    assert counts == [1, 0, 0, 1, 0]


def test_account_values_are_told_again_only_when_they_change(
    gateway: Gateway, listener: Listen, time: Time
) -> None:
    client = listener(1)
    client.ask(RequestAccountUpdates(subscribe=True, account=""))
    client.ask(RequestAccountSummary(6, ("NetLiquidation", "AccountType")))
    assert client.kinds() == [63, 63, 64]
    client.messages.clear()
    gateway.tick()
    assert client.messages == []

    client.buy(1)
    client.messages.clear()
    gateway.tick()

    assert {message[2] for message in client.messages if message[0] == "6"} >= {"NetLiquidation"}
    assert [message[4] for message in client.messages if message[0] == "63"] == ["NetLiquidation"]


def test_after_a_stall_the_whole_quote_is_told(gateway: Gateway, listener: Listen) -> None:
    client = listener(1)
    whole = len(client.ask(RequestMarketData(5, QUERY, snapshot=False))) - 2
    gateway.faults.stall(["AAPL"], None)
    client.messages.clear()
    gateway.tick()
    assert client.messages == []
    gateway.faults.clear()
    gateway.tick()
    assert len(client.messages) == whole
    client.messages.clear()
    gateway.tick()
    assert 0 < len(client.messages) < whole


def test_a_subscription_made_during_a_stall_is_told_after_it(
    gateway: Gateway, listener: Listen
) -> None:
    client = listener(1)
    gateway.faults.stall(None, None)
    told = client.ask(RequestMarketData(5, QUERY, snapshot=False))
    assert [message[0] for message in told] == ["81", "58"]
    gateway.faults.clear()
    client.messages.clear()
    gateway.tick()
    assert 9 in {int(message[3]) for message in client.messages}  # the previous close


def test_a_tick_is_the_same_for_all_but_its_number(gateway: Gateway, listener: Listen) -> None:
    clients = [listener(1), listener(2)]
    for number, client in enumerate(clients):
        client.ask(RequestMarketData(number, QUERY, snapshot=False))
        client.messages.clear()
    gateway.tick()
    first, second = ([m[:2] + m[3:] for m in client.messages] for client in clients)
    assert first == second
    assert {message[2] for message in clients[1].messages} == {"1"}


def test_cancelling_unknown_market_data_is_refused(listener: Listen) -> None:
    [message] = listener(1).ask(CancelMarketData(5))
    assert message[2:4] == ["5", "300"]


def test_a_new_client_is_told_that_the_link_is_lost(gateway: Gateway, listener: Listen) -> None:
    gateway.system(1100)
    client = listener(1)
    client.session.welcome()
    assert [message[3] for message in client.messages if message[0] == "4"] == ["2110"]


def test_a_jump_is_told_before_the_next_tick(gateway: Gateway, listener: Listen) -> None:
    client = listener(1)
    client.buy(1, shares=100)
    client.ask(RequestPnl(5, ""))
    client.ask(RequestMarketData(6, QUERY, snapshot=False))
    gateway.tick()
    client.messages.clear()

    gateway.jump(gateway.desk.directory.symbol("AAPL"), Decimal("330.00"))

    [pnl] = [message for message in client.messages if message[0] == "94"]
    assert float(pnl[3]) == pytest.approx(10_000, abs=10)
    assert {"329.98", "330", "330.02"} <= {
        message[4] for message in client.messages if message[0] == "1"
    }


def test_two_runs_give_their_orders_different_ids(time: Time) -> None:
    perm_ids = set()
    for passed in (0.0, 1.0):
        time.passed = passed
        gateway = Gateway(Settings(), time.clock, time.monotonic)
        Listener(gateway, 1).buy(1)
        perm_ids.add(gateway.desk.book.completed_orders()[0].perm_id)
    assert len(perm_ids) == 2
