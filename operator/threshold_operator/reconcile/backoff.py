"""When to try again what failed."""

from __future__ import annotations

from collections import Counter

LONGEST_SECONDS = 60.0


class Backoff:
    """Things by name; each failure of one doubles its wait."""

    def __init__(self) -> None:
        self._failures: Counter[str] = Counter()
        self._due: dict[str, float] = {}

    def failed(self, name: str, now: float) -> float:
        """It has to be tried again; returns when."""
        self._failures[name] += 1
        # 2**6 is beyond the longest wait; a larger power would overflow one day.
        pause = min(2.0 ** min(self._failures[name], 6), LONGEST_SECONDS)
        self._due[name] = now + pause
        return self._due[name]

    def succeeded(self, name: str) -> None:
        """Nothing is left to be tried."""
        self._failures.pop(name, None)
        self._due.pop(name, None)

    def take_due(self, now: float) -> set[str]:
        """What is to be tried now."""
        due = {name for name, moment in self._due.items() if moment <= now}
        for name in due:
            del self._due[name]
        return due

    def resting(self) -> set[str]:
        """What failed, and isn't to be tried yet."""
        return set(self._due)

    def __bool__(self) -> bool:
        """Whether anything failed and hasn't succeeded since."""
        return bool(self._failures)

    def next(self) -> float:
        """When there is something to be tried."""
        return min(self._due.values(), default=float("inf"))
