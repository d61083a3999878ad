"""Keeps below the gateway's limit of messages, so that none waits where a drop would lose it.

The gateway takes 50 messages a second. The client library would hold messages back above 45, in a
buffer that it forgets without a word when the socket drops. So all the waiting is done here, and
what goes out is on the wire at once.

Urgency is a share of the limit: who may use more of it passes those who may use less. A question
that must not wait (is the gateway there? what does it know of orders?) asks for no room; at most 5
of those come in any second, which is what `CANCELS` leaves free.
"""

import asyncio
from collections import deque

WINDOW_SECONDS = 1.0
# The gateway's clock is not ours: an edge at exactly one second could fall to the wrong side.
_MARGIN_SECONDS = 0.005

CANCELS, ORDERS, CHORES = 44, 40, 20


class Pace:
    """The messages of the last second."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def spent(self) -> None:
        """A message went out."""
        self._forget()
        self._times.append(_now())

    async def room(self, share: int) -> None:
        """Wait until fewer than `share` messages went out in the last second.

        Whoever asked sends without awaiting anything in between, so nobody else takes the room.
        """
        while True:
            wait = self._wait(share)
            if wait <= 0:
                return
            await asyncio.sleep(wait)

    def _wait(self, share: int) -> float:
        self._forget()
        too_many = len(self._times) - share + 1
        if too_many <= 0:
            return 0.0
        return self._times[too_many - 1] + WINDOW_SECONDS + _MARGIN_SECONDS - _now()

    def _forget(self) -> None:
        while self._times and self._times[0] + WINDOW_SECONDS + _MARGIN_SECONDS <= _now():
            self._times.popleft()


def _now() -> float:
    return asyncio.get_running_loop().time()
