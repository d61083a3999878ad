"""Faults in force: what was injected, and until when. State only; others act on it."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from gateway_simulator.message_faults import Fate, MessageFaults

DeafMode = Literal["hung", "mute"]
"""hung: nothing is read, what was sent is done once hearing is back, late. mute: requests are
carried out but their answers are lost."""

ALL_SYMBOLS = "*"


@dataclass
class _Rejections:
    left: int
    code: int
    text: str


class Faults:
    """`clock` gives seconds, of which only differences matter. No duration means until cleared."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.clear()

    def clear(self) -> None:
        """End all faults."""
        self._rejections = _Rejections(0, 0, "")
        self._refusing_until = -math.inf
        self._deaf_until = -math.inf
        self._deaf_mode: DeafMode = "hung"
        self._fills_held_until = -math.inf
        self._delayed_until = -math.inf
        self._stalled_until: dict[str, float] = {}
        self.messages = MessageFaults(self._clock)

    def reject(self, orders: int, code: int, text: str) -> None:
        """Reject the next `orders` new orders; replaces what was left of an earlier call."""
        self._rejections = _Rejections(orders, code, text)

    def take_rejection(self) -> tuple[int, str] | None:
        """Code and text if the order at hand is to be rejected; counts it."""
        if self._rejections.left <= 0:
            return None
        self._rejections.left -= 1
        return self._rejections.code, self._rejections.text

    def refuse(self, seconds: float) -> None:
        """Refuse connections."""
        self._refusing_until = self._clock() + seconds

    @property
    def refusing(self) -> bool:
        """Whether connections are refused now."""
        return self._clock() < self._refusing_until

    def deafen(self, seconds: float | None, mode: DeafMode = "hung") -> None:
        """Keep sockets open and answer nothing."""
        self._deaf_until = self._until(seconds)
        self._deaf_mode = mode

    @property
    def deaf(self) -> bool:
        """Whether nothing is answered now, in either mode."""
        return self._clock() < self._deaf_until

    @property
    def hung(self) -> bool:
        """Whether requests are left unread now."""
        return self.deaf and self._deaf_mode == "hung"

    @property
    def mute(self) -> bool:
        """Whether answers are thrown away now."""
        return self.deaf and self._deaf_mode == "mute"

    def hold_fills(self, seconds: float | None) -> None:
        """Accept orders and fill none."""
        self._fills_held_until = self._until(seconds)

    @property
    def fills_held(self) -> bool:
        """Whether orders rest unfilled now."""
        return self._clock() < self._fills_held_until

    def stall(self, symbols: Iterable[str] | None, seconds: float | None) -> None:
        """Send no ticks of these symbols, or of any; the market itself goes on."""
        for symbol in [ALL_SYMBOLS] if symbols is None else symbols:
            self._stalled_until[symbol] = self._until(seconds)

    def stalled(self, symbol: str) -> bool:
        """Whether the ticks of a symbol are held back now."""
        now, until = self._clock(), self._stalled_until
        return now < until.get(symbol, -math.inf) or now < until.get(ALL_SYMBOLS, -math.inf)

    def delay_feeds(self, seconds: float | None) -> None:
        """Tell delayed quotes to whoever subscribes from now on: the account has no live ones."""
        self._delayed_until = self._until(seconds)

    @property
    def feeds_delayed(self) -> bool:
        """Whether new subscriptions are delayed now."""
        return self._clock() < self._delayed_until

    def doom(self, kinds: Iterable[str], fate: Fate, seconds: float | None) -> None:
        """Lose, keep back, repeat or empty messages of some kinds."""
        self.messages.doom(kinds, fate, self._until(seconds))

    def in_force(self) -> dict[str, object]:
        """Faults in force with the seconds left (null: until cleared), ready for JSON."""
        now = self._clock()
        faults: dict[str, object] = {}
        if self._rejections.left:
            faults["reject"] = {"orders": self._rejections.left, "code": self._rejections.code}
        if self.refusing:
            faults["refuse"] = {"seconds": _left(self._refusing_until, now)}
        if self.deaf:
            faults["deaf"] = {"seconds": _left(self._deaf_until, now), "mode": self._deaf_mode}
        if self.fills_held:
            faults["hold_fills"] = {"seconds": _left(self._fills_held_until, now)}
        if self.feeds_delayed:
            faults["delay_feeds"] = {"seconds": _left(self._delayed_until, now)}
        stalled = {
            one: _left(until, now) for one, until in self._stalled_until.items() if until > now
        }
        if stalled:
            faults["stall"] = stalled
        if messages := self.messages.in_force():
            faults["messages"] = messages
        return faults

    def _until(self, seconds: float | None) -> float:
        return math.inf if seconds is None else self._clock() + seconds


def _left(until: float, now: float) -> float | None:
    return None if until == math.inf else round(until - now, 3)
