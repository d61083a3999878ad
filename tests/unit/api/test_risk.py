"""Which order which limit refuses, and that limits hold against many orders at a time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from prometheus_client import CollectorRegistry
from tests.unit.api import clock

from stocks_api.adapters.metrics import REJECTION_REASONS, Metrics
from stocks_api.adapters.risk_file import RiskBook, RiskFile, RiskFileError, load
from stocks_api.domain.errors import RiskRefused
from stocks_api.domain.market import Position
from stocks_api.domain.orders import (
    NewOrder,
    Order,
    OrderStatus,
    OrderType,
    Side,
    Terms,
    TimeInForce,
    new_order,
)
from stocks_api.domain.risk import OrderRate, Proposal, RiskLimits, Situation, check
from stocks_api.services.risk import Risk

AT = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
QUIET = Situation(Decimal(0), Decimal(0), Decimal(0), Decimal(100), 0, None)


def proposal(
    quantity: int, limit: str | None = None, side: Side = Side.BUY, stop: str | None = None
) -> Proposal:
    order_type = OrderType.LIMIT if limit else OrderType.STOP if stop else OrderType.MARKET
    terms = Terms(Decimal(quantity), limit and Decimal(limit), stop and Decimal(stop))  # type: ignore[arg-type]
    return Proposal("AAPL", side, order_type, terms)


def situation(**known: Any) -> Situation:
    return replace(QUIET, **known)


D = Decimal
BUY, SELL = Side.BUY, Side.SELL


@pytest.mark.parametrize(
    ("limits", "order", "known", "rule"),
    [
        pytest.param({"max_quantity": D(9)}, proposal(10), {}, "max_quantity", id="too many"),
        pytest.param({"max_quantity": D(10)}, proposal(10), {}, None, id="just not too many"),
        pytest.param({"max_notional": D(999)}, proposal(10), {}, "max_notional", id="too dear"),
        pytest.param({"max_notional": D(1000)}, proposal(10), {}, None, id="just not too dear"),
        pytest.param(
            {"max_notional": D(999)}, proposal(10, "50"), {}, None, id="a buy costs its limit"
        ),
        pytest.param(
            {"max_notional": D(999)},
            proposal(10, "50", SELL),
            {},
            "max_notional",
            id="a sale may bring more than its limit",
        ),
        pytest.param(
            {"max_notional": D(1)},
            proposal(10),
            {"last_price": None},
            None,
            id="what a share costs is not known",
        ),
        *(
            pytest.param(
                {rule: D(999)},
                order,
                {"last_price": None},
                rule,
                id=f"{rule}: without a last trade {kind} counts at its own price",
            )
            for rule in ("max_notional", "max_gross_exposure")
            for kind, order in (
                ("a limit buy", proposal(10, "100")),
                ("a limit sale", proposal(10, "100", SELL)),
                ("a stop", proposal(10, stop="100")),
            )
        ),
        pytest.param(
            {"price_collar": D("0.1")},
            proposal(1, "900"),
            {"last_price": None},
            None,
            id="without a last trade there is no collar",
        ),
        pytest.param(
            {"require_price": True},
            proposal(10, "100"),
            {"last_price": None},
            "require_price",
            id="unless that is refused",
        ),
        pytest.param(
            {"require_price": True},
            proposal(10),
            {"last_price": None},
            "require_price",
            id="what a share costs must be known",
        ),
        pytest.param(
            {"position_limit": D(15)},
            proposal(10),
            {"position": D(6)},
            "position_limit",
            id="beyond the limit on the position",
        ),
        pytest.param(
            {"position_limit": D(15)},
            proposal(10),
            {"open_quantity": D(6)},
            "position_limit",
            id="open orders count",
        ),
        pytest.param(
            {"position_limit": D(15)},
            proposal(10, side=SELL),
            {"position": D(-6)},
            "position_limit",
            id="short, too",
        ),
        pytest.param(
            {"position_limit": D(15), "position_limits": {"AAPL": D(20)}},
            proposal(10),
            {"position": D(6)},
            None,
            id="a symbol has a limit of its own",
        ),
        pytest.param(
            {"position_limit": D(15)},
            proposal(10, side=SELL),
            {"position": D(40)},
            None,
            id="back towards the limit is always allowed",
        ),
        pytest.param(
            {"position_limit": D(15)},
            proposal(60, side=SELL),
            {"position": D(40)},
            "position_limit",
            id="but not through to the other side",
        ),
        pytest.param(
            {"max_gross_exposure": D(1500)},
            proposal(10),
            {"gross_exposure": D(600)},
            "max_gross_exposure",
            id="too much at risk",
        ),
        pytest.param(
            {"max_gross_exposure": D(1500)},
            proposal(10, side=SELL),
            {"gross_exposure": D(2000), "position": D(20)},
            None,
            id="less at risk is always allowed",
        ),
        pytest.param({"price_collar": D("0.1")}, proposal(1, "111"), {}, "price_collar", id="high"),
        pytest.param({"price_collar": D("0.1")}, proposal(1, "89"), {}, "price_collar", id="low"),
        pytest.param({"price_collar": D("0.1")}, proposal(1, "110"), {}, None, id="on the collar"),
        pytest.param(
            {"price_collar": D("0.1")}, proposal(1, stop="120"), {}, "price_collar", id="a stop"
        ),
        pytest.param(
            {"order_rate": OrderRate(5, 1)}, proposal(1), {"recent_orders": 5}, "order_rate", id="5"
        ),
        pytest.param(
            {"order_rate": OrderRate(5, 1)}, proposal(1), {"recent_orders": 4}, None, id="4 of 5"
        ),
        pytest.param(
            {"restricted": frozenset({"AAPL"})}, proposal(1), {}, "restricted", id="restricted"
        ),
        pytest.param(
            {}, proposal(1), {"duplicate_of": "order x"}, "duplicate_seconds", id="a duplicate"
        ),
        pytest.param({}, proposal(1_000_001), {}, "max_quantity", id="a built-in maximum"),
    ],
)
def test_an_order_is_refused_by_the_limit_that_it_breaks(
    limits: dict[str, Any], order: Proposal, known: dict[str, Any], rule: str | None
) -> None:
    if rule is None:
        check(order, situation(**known), RiskLimits(**limits))
        return
    with pytest.raises(RiskRefused) as caught:
        check(order, situation(**known), RiskLimits(**limits))
    assert caught.value.rule == rule
    assert caught.value.limit
    assert caught.value.value
    assert caught.value.rejection in REJECTION_REASONS


class World:
    """Limits, positions and prices."""

    def __init__(self, **limits: Any) -> None:
        self.limits = RiskLimits(**limits)
        self.positions: list[Position] = []
        self.price: Decimal | None = Decimal(100)

    def last_price(self, _symbol: str) -> Decimal | None:
        return self.price

    def risk(self) -> Risk:
        return Risk(self, self, self)


def order(number: int, client: str = "desk", key: str | None = None) -> Order:
    request = NewOrder("AAPL", Side.BUY, OrderType.MARKET, Decimal(10), None, TimeInForce.DAY)
    return new_order(f"order-{number}", client, request, AT, key)


def passed(risk: Risk, *orders: Order) -> int:
    count = 0
    for each in orders:
        try:
            risk.reserve(each)
            count += 1
        except RiskRefused:
            pass
    return count


def test_orders_at_a_time_cannot_all_use_what_is_left_of_a_limit() -> None:
    async def scenario() -> None:
        risk = World(position_limit=Decimal(35)).risk()
        assert passed(risk, *map(order, range(10))) == 3
        risk.release("order-0")
        assert passed(risk, order(20), order(21)) == 1
        risk.follow(replace(order(1), status=OrderStatus.CANCELLED))
        assert passed(risk, order(22), order(23)) == 1

    clock.run(scenario())


def test_what_is_filled_of_an_order_counts_once() -> None:
    async def scenario() -> None:
        world = World(position_limit=Decimal(20))
        risk = world.risk()
        risk.reserve(order(1))
        risk.follow(
            replace(order(1), status=OrderStatus.ACCEPTED, filled_quantity=Decimal(4)),
        )
        world.positions = [Position("DU1", "AAPL", Decimal(4))]
        assert passed(risk, order(2), order(3)) == 1

    clock.run(scenario())


def test_exposure_is_positions_and_open_orders_of_every_symbol() -> None:
    async def scenario() -> None:
        world = World(max_gross_exposure=Decimal(3500))
        world.positions = [Position("DU1", "MSFT", Decimal(-10), 90.0)]
        assert passed(world.risk(), *map(order, range(5))) == 2

    clock.run(scenario())


def test_the_rate_counts_the_orders_of_the_last_seconds() -> None:
    async def scenario() -> None:
        risk = World(order_rate=OrderRate(3, 10)).risk()
        assert passed(risk, *map(order, range(5))) == 3
        await asyncio.sleep(10.1)
        assert passed(risk, *map(order, range(5, 10))) == 3

    clock.run(scenario())


def test_a_duplicate_is_an_equal_order_of_the_same_client_and_not_a_retry() -> None:
    async def scenario() -> None:
        risk = World(duplicate_seconds=2).risk()
        assert passed(risk, order(1, key="k"), order(2), order(3, key="k"), order(4, "robot")) == 3
        await asyncio.sleep(2.1)
        assert passed(risk, order(5)) == 1

    clock.run(scenario())


def test_a_change_is_judged_without_the_order_that_it_changes() -> None:
    async def scenario() -> None:
        risk = World(position_limit=Decimal(25)).risk()
        risk.reserve(order(1))
        risk.check_change(order(1), Terms(Decimal(25)))
        with pytest.raises(RiskRefused):
            risk.check_change(order(1), Terms(Decimal(26)))

    clock.run(scenario())


WHOLE = """
max_quantity: 1000
max_notional: 250000.5
position_limit: 5000
position_limits: {TSLA: 500}
max_gross_exposure: 2000000
price_collar: 0.1
require_price: true
order_rate: {orders: 50, seconds: 10}
duplicate_seconds: 2
restricted: [GME]
"""


def test_every_limit_can_be_configured() -> None:
    limits = load(Path("risk.yaml"), WHOLE.encode())
    assert limits.order_rate == OrderRate(50, 10)
    assert limits.max_notional == Decimal("250000.5")
    assert limits.position_limit_of("TSLA") == 500
    assert limits.restricted == {"GME"}
    schema = RiskFile.model_json_schema()
    jsonschema.validate(yaml.safe_load(WHOLE), schema)
    assert set(yaml.safe_load(WHOLE)) == set(schema["properties"])


def test_an_empty_file_has_the_built_in_maxima() -> None:
    assert load(Path("risk.yaml"), b"# nothing yet\n") == RiskLimits()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("max_quantity: 0", "max_quantity"),
        ("max_quantity: yes", "max_quantity"),
        ("max_quantity: .nan", "max_quantity"),
        ("max_quantity: 1000001", "max_quantity"),
        ("max_notional: 1e9", "max_notional"),
        ("price_collar: 10", "price_collar"),
        ("position_limits: {../x: 1}", "position_limits"),
        ("restricted: GME", "restricted"),
        ("order_rate: {orders: 5}", "order_rate.seconds"),
        ("max_qantity: 5", "max_qantity"),
        ("- a list", "file"),
        ("{", "not YAML"),
    ],
)
def test_a_bad_file_is_refused_naming_what_is_wrong(content: str, what: str) -> None:
    with pytest.raises(RiskFileError, match=what):
        load(Path("risk.yaml"), content.encode())


def test_a_bad_new_file_leaves_the_old_limits_in_force_and_says_so(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    path = tmp_path / "risk.yaml"
    path.write_text("position_limits: {TSLA: 5}")
    book = RiskBook(path, Metrics(registry, ["AAPL", "TSLA"]))
    for content, limit, valid in [
        ("position_limits: {TSLA: 7}", 7, 1),
        ("position_limits: {TSLA: -1}", 7, 0),
        ("position_limits: {TSLA: -1}", 7, 0),
        ("position_limits: {TSLA: 8}", 8, 1),
    ]:
        path.write_text(content)
        book.refresh()
        assert book.limits.position_limit_of("TSLA") == limit
        assert registry.get_sample_value("position_limit", {"symbol": "TSLA"}) == limit
        assert registry.get_sample_value("risk_file_valid") == valid
    path.unlink()
    book.refresh()
    assert book.limits.position_limit_of("TSLA") == 8
    assert registry.get_sample_value("risk_file_valid") == 0
    path.write_text("position_limits: {TSLA: 8}")  # what it was
    book.refresh()
    assert registry.get_sample_value("risk_file_valid") == 1
    assert registry.get_sample_value("position_limit", {"symbol": "AAPL"}) == 1_000_000
