"""Market data: subscribed for the watch list, asked for again when lost, and never passed off."""

from __future__ import annotations

from operator import gt

import pytest
from tests.integration.api.conftest import Api, Simulator, running, until

from stocks_api.settings import Settings

WATCHED = ("AAPL", "MSFT", "TSLA")
TICKED = "market_data_last_tick_timestamp_seconds"


async def subscribed(simulator: Simulator) -> list[str]:
    """What the gateway feeds to its only client."""
    clients = await simulator.clients()
    return list(clients[0]["market_data"]) if clients else []


async def ages(api: Api) -> list[float]:
    """When each symbol last ticked."""
    return [await api.count(TICKED, symbol=symbol) for symbol in WATCHED]


async def until_fed(api: Api, simulator: Simulator) -> None:
    """Every symbol is subscribed, and ticks."""
    await until(lambda: subscribed(simulator), lambda found: found == sorted(WATCHED))
    before = await ages(api)
    await until(lambda: ages(api), lambda now: all(map(gt, now, before)))


async def test_after_1101_every_symbol_is_subscribed_again(api: Api, simulator: Simulator) -> None:
    await until_fed(api, simulator)
    await simulator.inject("system", code=1100)
    await api.until_metric("ib_connection_status", 0)
    await simulator.inject("system", code=1101)
    await until_fed(api, simulator)
    await api.until_ready()


async def test_a_silent_reset_is_noticed_by_its_silence_and_feeds_and_pnl_come_back(
    settings: Settings, simulator: Simulator
) -> None:
    impatient = settings.model_copy(update={"feed_silence_seconds": 1.0})
    async with running(impatient) as api:
        await api.until_ready()
        await until_fed(api, simulator)
        await simulator.inject("lose-feeds")
        assert await subscribed(simulator) == []
        await until_fed(api, simulator)
        assert await simulator.received("RequestPnl") == 2
        assert await api.count("ib_disconnects_total", reason="closed") == 0


@pytest.mark.parametrize("begin", [True, False], ids=["delayed from the start", "after a reset"])
async def test_delayed_data_is_flagged(
    settings: Settings, simulator: Simulator, begin: bool
) -> None:
    if begin:
        await simulator.inject("delay-feeds")
    async with running(settings) as api:
        await api.until_ready()
        if not begin:
            live = await until(lambda: api.json("/v1/quotes/AAPL"), lambda quote: quote["last"])
            assert (live["feed"], live["delayed"]) == ("live", False)
            await simulator.inject("delay-feeds")
            await simulator.inject("drop")
        quote = await until(lambda: api.json("/v1/quotes/AAPL"), lambda quote: quote["delayed"])
        assert quote["feed"] == "delayed"
        assert quote["bid"] < quote["ask"]
