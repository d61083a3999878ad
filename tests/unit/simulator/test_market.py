"""Random walks: the same for the same seed, plausible, bounded."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_simulator.contracts import Directory, UnknownContractError, invented
from gateway_simulator.market import MAX_PRICE, MIN_PRICE, Market, Quote

AAPL, MSFT = Directory().symbol("AAPL"), Directory().symbol("MSFT")


def walk(market: Market, steps: int) -> list[Quote]:
    quotes = [market.quote(AAPL)]
    for _ in range(steps):
        market.step()
        quotes.append(market.quote(AAPL))
    return quotes


def test_the_same_seed_walks_the_same_way_whatever_else_is_quoted() -> None:
    alone, among_others = Market(7, 0.25), Market(7, 0.25)
    among_others.quote(MSFT)
    assert walk(alone, 200) == walk(among_others, 200)


def test_another_seed_walks_another_way() -> None:
    assert walk(Market(7, 0.25), 200) != walk(Market(8, 0.25), 200)


@given(st.integers(0, 2**63))
def test_quotes_make_sense_at_every_step(seed: int) -> None:
    volume = 0
    for quote in walk(Market(seed, 0.25), 40):
        assert 0 < quote.bid < quote.last < quote.ask
        assert quote.low <= quote.last <= quote.high
        assert quote.bid_size > 0
        assert quote.ask_size > 0
        assert quote.volume >= volume
        volume = quote.volume


def test_the_walk_goes_on_from_where_it_was_sent() -> None:
    market = Market(1, 0.25)
    assert market.jump(AAPL, Decimal("100")).last == Decimal("100.00")
    market.step()
    assert abs(market.quote(AAPL).last - 100) < 1


@pytest.mark.parametrize(
    ("wanted", "bound"), [("0.0001", MIN_PRICE), ("1e12", MAX_PRICE)], ids=["too low", "too high"]
)
def test_prices_stay_within_bounds(wanted: str, bound: Decimal) -> None:
    assert Market(1, 0.25).jump(AAPL, Decimal(wanted)).last == bound


def test_what_was_taken_is_back_with_the_next_tick() -> None:
    market = Market(1, 0.25)
    shown = market.available(AAPL, "BUY")
    market.take(AAPL, "BUY", shown)
    assert market.available(AAPL, "BUY") == 0
    assert market.available(AAPL, "SELL") > 0
    market.step()
    assert market.available(AAPL, "BUY") > 0


def test_an_invented_stock_is_the_same_in_every_process() -> None:
    assert Directory().symbol("QXZ") == Directory().symbol("QXZ") == invented("QXZ")
    assert Directory().symbol("AAPL").con_id == 265598


@pytest.mark.parametrize("symbol", ["ZZZZ", "", "aapl", "TOOLONG", "A1", "../X", "BRK  B"])
def test_no_stock_has_an_impossible_symbol(symbol: str) -> None:
    with pytest.raises(UnknownContractError):
        Directory().symbol(symbol)
