# mypy: disable-error-code="no-untyped-call"
"""Positions, P&L and account values, as the real client sees them."""

import asyncio
import math

import pytest
from ib_insync import IB, MarketOrder, Stock
from tests.integration.simulator.support import Clients, Control, until

ACCOUNT = "DU1234567"


async def bought(ib: IB, contract: Stock, shares: float = 100) -> float:
    """Buy (or sell) and return the price."""
    action = "BUY" if shares > 0 else "SELL"
    trade = ib.placeOrder(contract, MarketOrder(action, abs(shares)))
    await until(lambda: trade.isDone() and trade.fills[0].commissionReport.commission)
    return float(trade.orderStatus.avgFillPrice)


def value(ib: IB, key: str) -> float:
    [one] = [v for v in ib.accountValues() if v.tag == key and v.currency == "USD"]
    return float(one.value)


async def test_positions_follow_trades_until_flat(ib: IB, aapl: Stock) -> None:
    price = await bought(ib, aapl)
    [position] = await until(ib.positions)
    assert (position.contract.symbol, position.position) == ("AAPL", 100)
    assert position.avgCost == pytest.approx(price + 0.01)  # the commission is part of the cost
    await bought(ib, aapl, -100)
    await until(lambda: ib.positions() == [])


async def test_short_positions_are_negative(ib: IB, aapl: Stock) -> None:
    await bought(ib, aapl, -100)
    [position] = await until(ib.positions)
    assert position.position == -100


async def test_a_price_jump_shows_in_portfolio_pnl_and_account(
    ib: IB, aapl: Stock, control: Control
) -> None:
    price = await bought(ib, aapl)
    pnl = ib.reqPnL(ACCOUNT)
    single = ib.reqPnLSingle(ACCOUNT, "", aapl.conId)
    await until(lambda: not math.isnan(pnl.unrealizedPnL) and single.position == 100)

    await control.fault("price", symbol="AAPL", price=330)

    gain = (330 - price) * 100 - 1
    await until(lambda: pnl.unrealizedPnL == pytest.approx(gain, abs=50))
    await until(lambda: single.unrealizedPnL == pytest.approx(gain, abs=50))
    assert single.value == pytest.approx(33_000, abs=50)
    assert pnl.dailyPnL == pytest.approx(gain, abs=50)
    await until(lambda: value(ib, "NetLiquidation") == pytest.approx(1_000_000 + gain, abs=50))
    await until(lambda: ib.portfolio()[0].marketPrice == pytest.approx(330, abs=1))
    await until(lambda: ib.portfolio()[0].unrealizedPNL == pytest.approx(gain, abs=50))


async def test_realised_profit_adds_up(ib: IB, aapl: Stock, control: Control) -> None:
    paid = await bought(ib, aapl)
    await control.fault("price", symbol="AAPL", price=330)
    got = await bought(ib, aapl, -100)
    realised = (got - paid) * 100 - 2
    [_buy, sell] = ib.fills()
    assert sell.commissionReport.realizedPNL == pytest.approx(realised)
    pnl = ib.reqPnL(ACCOUNT)
    await until(lambda: pnl.realizedPnL == pytest.approx(realised))
    assert pnl.unrealizedPnL == 0
    await until(lambda: value(ib, "NetLiquidation") == pytest.approx(1_000_000 + realised))
    assert value(ib, "TotalCashValue") == pytest.approx(1_000_000 + realised)


async def test_pnl_is_streamed_until_cancelled(ib: IB, clients: Clients, aapl: Stock) -> None:
    updates: list[object] = []
    ib.pnlEvent += updates.append
    ib.pnlSingleEvent += updates.append
    ib.reqPnL(ACCOUNT)
    ib.reqPnLSingle(ACCOUNT, "", aapl.conId)
    await until(lambda: len(updates) >= 6)
    ib.cancelPnL(ACCOUNT)
    ib.cancelPnLSingle(ACCOUNT, "", aapl.conId)
    await asyncio.wait_for(ib.reqCurrentTimeAsync(), 20)
    count = len(updates)
    others: list[object] = []
    other = await clients.connect(client_id=2)
    other.pnlEvent += others.append
    other.reqPnL(ACCOUNT)
    await until(lambda: len(others) >= 3)  # the first at once, then one each second
    assert len(updates) == count


async def test_account_summary_and_values(ib: IB, aapl: Stock) -> None:
    summary = {(one.tag, one.currency): one.value for one in await ib.accountSummaryAsync()}
    assert summary[("NetLiquidation", "USD")] == "1000000.00"
    assert summary[("CashBalance", "BASE")] == "1000000.00"
    assert summary[("AccountType", "")] == "INDIVIDUAL"
    assert value(ib, "TotalCashValue") == 1_000_000
    await bought(ib, aapl)
    await until(lambda: value(ib, "GrossPositionValue") > 0)


async def test_another_account_is_refused(ib: IB) -> None:
    codes: list[int] = []
    ib.errorEvent += lambda _number, code, *_rest: codes.append(code)
    ib.reqPnL("DU999")
    await until(lambda: codes)
    assert codes == [321]
