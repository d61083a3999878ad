"""Whether the event loop keeps its turns: while one turn lasts, nothing else happens here.

Not even `/metrics` is answered then, so what was missed is counted, and shown afterwards.
"""

import asyncio
import logging
from typing import Protocol

log = logging.getLogger(__name__)

_BEAT_SECONDS = 0.25
_TOLERATED_SECONDS = 0.25  # a busy machine is no fault


class LoopMetrics(Protocol):
    """Where delays are shown."""

    def event_loop_blocked(self, seconds: float) -> None:
        """A turn of the event loop came so much too late."""


class Heartbeat:
    """Beats on the event loop, and measures how late it is; `run` never returns."""

    def __init__(self, metrics: LoopMetrics) -> None:
        self._metrics = metrics

    async def run(self) -> None:
        """Beat, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _BEAT_SECONDS
            await asyncio.sleep(_BEAT_SECONDS)
            late = loop.time() - due
            if late > _TOLERATED_SECONDS:
                log.warning("the event loop was blocked for %.1f s", late)
                self._metrics.event_loop_blocked(late)
