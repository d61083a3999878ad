"""Asks anew for market data that stopped without a word.

The gateway's nightly reset keeps the socket, and may forget every subscription without the code
1101. All that shows it is silence: so silence in open hours is answered by subscribing again, and
if it lasts, ever more rarely, since a stock may just not trade.
"""

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from stocks_api.domain.errors import GatewayUnavailable

log = logging.getLogger(__name__)

_LONGEST_PAUSE = 15  # times the silence that is borne


class Silence(Protocol):
    """How old market data is."""

    def silent(self, seconds: float) -> Collection[str]:
        """Symbols without a tick for so long."""


class Hours(Protocol):
    """The exchange's hours."""

    @property
    def may_be_open(self) -> bool:
        """Whether ticks can be expected."""


class Subscriber(Protocol):
    """Who asks the gateway."""

    async def resubscribe(self) -> None:
        """Ask anew for market data and P&L. Raises GatewayUnavailable."""


class LinkState(Protocol):
    """Whether the gateway can be asked."""

    def require(self) -> None:
        """Raise GatewayUnavailable unless the link is verified."""


@dataclass(frozen=True, slots=True)
class FeedTiming:
    """Seconds."""

    patience: float = 60.0
    look_every: float = 5.0


class Feeds:
    """Watches the watch list; `run` never returns."""

    def __init__(
        self,
        quotes: Silence,
        hours: Hours,
        link: LinkState,
        gateway: Subscriber,
        timing: FeedTiming,
    ) -> None:
        self._quotes = quotes
        self._hours = hours
        self._link = link
        self._gateway = gateway
        self._timing = timing
        self._pause = timing.patience
        self._not_before = 0.0

    async def run(self) -> None:
        """Look, for ever."""
        self._wait_anew()
        while True:
            await asyncio.sleep(self._timing.look_every)
            await self.look()

    async def look(self) -> None:
        """Subscribe again if a symbol has been silent for too long."""
        try:
            self._link.require()
            silent = self._quotes.silent(self._timing.patience)
            if not silent or not self._hours.may_be_open:
                self._wait_anew(0.0)
            elif _now() >= self._not_before:
                await self._ask_again(silent)
        except GatewayUnavailable:
            self._wait_anew()  # a new session subscribes by itself

    async def _ask_again(self, silent: Collection[str]) -> None:
        log.warning("no market data for %s: subscribing again", ", ".join(sorted(silent)))
        await self._gateway.resubscribe()
        self._not_before = _now() + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE * self._timing.patience)

    def _wait_anew(self, seconds: float | None = None) -> None:
        self._pause = self._timing.patience
        self._not_before = _now() + (self._pause if seconds is None else seconds)


def _now() -> float:
    return asyncio.get_running_loop().time()
