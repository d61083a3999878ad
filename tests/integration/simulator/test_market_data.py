# mypy: disable-error-code="no-untyped-call"
"""Contracts and market data, as the real client sees them."""

import asyncio

import pytest
from ib_insync import IB, Contract, Forex, Stock
from tests.integration.simulator.support import Control, last_tick, until


async def test_contracts_are_qualified(ib: IB) -> None:
    made_up = Stock("QXZ", "SMART", "USD")
    apple = Stock("AAPL", "SMART", "USD")
    assert await ib.qualifyContractsAsync(apple, made_up) == [apple, made_up]
    assert (apple.conId, apple.primaryExchange) == (265598, "NASDAQ")
    by_id = Contract(conId=made_up.conId)
    [again] = await ib.qualifyContractsAsync(by_id)
    assert again.symbol == "QXZ"


async def test_details_are_plausible(ib: IB, aapl: Stock) -> None:
    [details] = await ib.reqContractDetailsAsync(aapl)
    assert (details.longName, details.minTick) == ("APPLE INC", 0.01)
    assert details.timeZoneId == "America/New_York"


@pytest.mark.parametrize(
    "contract",
    [
        Stock("ZZZZ", "SMART", "USD"),
        Stock("AAPL", "NOWHERE", "USD"),
        Stock("AAPL", "SMART", "EUR"),
        Forex("EURUSD"),
        Contract(conId=1),
    ],
    ids=["symbol", "exchange", "currency", "kind", "id"],
)
async def test_what_does_not_exist_is_refused(ib: IB, contract: Contract) -> None:
    codes: list[int] = []
    ib.errorEvent += lambda _number, code, *_rest: codes.append(code)
    assert await asyncio.wait_for(ib.reqContractDetailsAsync(contract), 20) == []
    assert codes == [200]


async def test_quotes_stream_and_move(ib: IB, aapl: Stock) -> None:
    ticker = ib.reqMktData(aapl)
    await until(lambda: ticker.hasBidAsk() and ticker.volume > 0)
    assert ticker.bid < ticker.ask
    assert ticker.bidSize > 0
    assert ticker.low <= ticker.last <= ticker.high
    assert ticker.close > 0
    assert ticker.marketDataType == 1
    first = ticker.last
    await until(lambda: ticker.last != first)


async def test_a_cancelled_stream_is_silent(ib: IB, aapl: Stock, control: Control) -> None:
    ib.reqMktData(aapl)
    ib.cancelMktData(aapl)
    await asyncio.wait_for(ib.reqCurrentTimeAsync(), 20)
    assert (await control.state())["clients"][0]["market_data"] == []


async def test_a_snapshot_is_complete_and_ends(ib: IB, aapl: Stock, control: Control) -> None:
    [ticker] = await asyncio.wait_for(ib.reqTickersAsync(aapl), 20)
    assert ticker.hasBidAsk()
    assert ticker.last > 0
    assert (await control.state())["clients"][0]["market_data"] == []


async def test_delayed_data_is_marked(ib: IB, aapl: Stock) -> None:
    ib.reqMarketDataType(3)
    ticker = ib.reqMktData(aapl)
    await until(lambda: ticker.hasBidAsk())
    assert ticker.marketDataType == 3


async def test_lines_are_limited(ib: IB) -> None:
    codes: list[int] = []
    ib.errorEvent += lambda _number, code, *_rest: codes.append(code)
    ib.client.MaxRequests = 0
    for number in range(101):
        letters = chr(65 + number // 26) + chr(65 + number % 26)
        ib.reqMktData(Stock(f"Q{letters}", "SMART", "USD"))
    await until(lambda: codes)
    assert codes == [101]


async def test_stalled_symbols_stop_and_others_go_on(ib: IB, aapl: Stock, control: Control) -> None:
    stalled = ib.reqMktData(aapl)
    flowing = ib.reqMktData(Stock("MSFT", "SMART", "USD"))
    await until(lambda: stalled.time and flowing.time)

    await control.fault("stall", symbols=["AAPL"])
    await asyncio.wait_for(ib.reqCurrentTimeAsync(), 20)
    last_seen, last_price, others = last_tick(stalled), stalled.last, last_tick(flowing)
    await until(lambda: last_tick(flowing) - others > 0.5)
    assert last_tick(stalled) == last_seen

    await control.clear()
    await until(lambda: last_tick(stalled) > last_seen and stalled.last != last_price)


async def test_a_stall_ends_by_itself(ib: IB, aapl: Stock, control: Control) -> None:
    ticker = ib.reqMktData(aapl)
    await until(lambda: ticker.time)
    await control.fault("stall", symbols=None, seconds=0.3)
    await asyncio.wait_for(ib.reqCurrentTimeAsync(), 20)
    last_seen = last_tick(ticker)
    await until(lambda: last_tick(ticker) > last_seen)
    assert (await control.state())["faults"] == {}


async def test_a_jump_is_told_at_once(ib: IB, aapl: Stock, control: Control) -> None:
    ticker = ib.reqMktData(aapl)
    await until(ticker.hasBidAsk)
    answer = await control.fault("price", symbol="AAPL", factor=2)
    assert answer["price"] == pytest.approx(460, abs=10)
    await until(lambda: ticker.last == pytest.approx(answer["price"], abs=2))
    assert ticker.high >= answer["price"] - 2
