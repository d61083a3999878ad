"""Finds out in the background what objects would have done: no turn ever waits for it.

One object after the other, each generation once, and then rarely. The reconciler says who exists,
asks what is known, and is told to look again when there is more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from threshold_operator.cluster.status import Status
from threshold_operator.evidence.access import PrometheusError
from threshold_operator.evidence.history import TooMuchError
from threshold_operator.evidence.preview import (
    Outcome,
    Question,
    Report,
    in_force,
    milliseconds,
    question,
    window,
)
from threshold_operator.model.catalogue import Catalogue
from threshold_operator.model.precedence import Decision
from threshold_operator.model.threshold import DEFAULT_WINDOW, AlertThreshold
from threshold_operator.model.times import at_milliseconds

log = logging.getLogger(__name__)

#: The window moves on; what it holds hardly changes within the hour.
REFRESH_SECONDS = 3600.0
RETRY_SECONDS = 60.0

NOT_CONFIGURED = "operator.prometheusUrl is empty, so nobody can tell what would have happened"


class Past(Protocol):
    """What we need of Prometheus."""

    async def preview(self, question: Question, window: int, now: int) -> Report:
        """Replay the last ``window`` milliseconds."""
        ...


@dataclass(frozen=True)
class _Answer:
    """``status.preview`` of one generation of one object; ``due`` when it is to be found anew."""

    uid: str
    generation: int
    content: Status
    due: float


class Previews:
    """``touch`` is told the name of an object when there is news of it."""

    def __init__(
        self,
        past: Past | None,
        catalogue: Catalogue,
        touch: Callable[[str], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._past, self._catalogue, self._touch = past, catalogue, touch
        self._now, self._clock = now, clock
        self._all: dict[str, AlertThreshold] = {}
        self._wanted: dict[str, AlertThreshold] = {}
        self._answers: dict[str, _Answer] = {}
        self._news = asyncio.Event()

    def note(self, name: str, decision: Decision | None) -> None:
        """The object of this name was decided anew, or went."""
        threshold = decision.in_force if decision else None
        self._all.pop(name, None)
        self._wanted.pop(name, None)
        if threshold is not None:
            self._all[name] = threshold
        if threshold is None or window(threshold) is None:
            self._answers.pop(name, None)
            return
        self._wanted[name] = threshold
        self._news.set()

    def of(self, decision: Decision, before: Mapping[str, Any]) -> Status | None:
        """``status.preview``, where ``before`` is the status as it is.

        That an hour later the same was found is no news, and no answer replaces none.
        """
        threshold, known = self._wanted.get(decision.name), before.get("preview") or {}
        if threshold is None:
            return None
        answer = self._answer(threshold)
        if known.get("observedGeneration") == threshold.generation and (
            answer is None or _says_no_more(answer.content, known)
        ):
            return dict(known)
        return answer.content if answer else None

    async def run(self) -> None:
        """For ever."""
        while True:
            await self.turn()
            await self._rest()

    async def turn(self) -> None:
        """One object, the one that has waited longest, if any is due."""
        threshold = min(self._wanted.values(), key=self._due, default=None)
        if threshold is None or self._due(threshold) > self._clock():
            return
        content, pause = await self._look(threshold)
        due = self._clock() + pause
        self._answers[threshold.name] = _Answer(threshold.uid, threshold.generation, content, due)
        self._touch(threshold.name)

    async def _rest(self) -> None:
        due = min(map(self._due, self._wanted.values()), default=float("inf"))
        if due <= self._clock():
            return
        pause = None if due == float("inf") else due - self._clock()
        self._news.clear()
        try:
            async with asyncio.timeout(pause):
                await self._news.wait()
        except TimeoutError:
            return

    async def _look(self, threshold: AlertThreshold) -> tuple[Status, float]:
        """What is found, and for how many seconds that will do."""
        if self._past is None:
            return failed_preview(threshold, NOT_CONFIGURED), float("inf")
        try:
            return await self._ask(self._past, threshold), REFRESH_SECONDS
        except TooMuchError as error:
            return failed_preview(threshold, str(error)), REFRESH_SECONDS
        except PrometheusError as error:
            log.warning("no preview of %s: %s", threshold.name, error)
            text = f"Prometheus can't be asked: {error}"
        except Exception:
            log.exception("no preview of %s: a mistake of ours", threshold.name)
            text = "a mistake of the operator's; its log says more"
        return failed_preview(threshold, text), RETRY_SECONDS

    async def _ask(self, past: Past, threshold: AlertThreshold) -> Status:
        now, span = self._now(), window(threshold) or DEFAULT_WINDOW
        others = [each for each in in_force(self._all.values(), now) if each.name != threshold.name]
        asked = question(threshold, self._catalogue[threshold.spec.alert], others)
        report = await past.preview(asked, milliseconds(span), round(now.timestamp() * 1000))
        return preview_status(threshold, report)

    def _answer(self, threshold: AlertThreshold) -> _Answer | None:
        answer = self._answers.get(threshold.name)
        same = answer and (answer.uid, answer.generation) == (threshold.uid, threshold.generation)
        return answer if same else None

    def _due(self, threshold: AlertThreshold) -> float:
        answer = self._answer(threshold)
        return answer.due if answer else float("-inf")


def preview_status(threshold: AlertThreshold, report: Report) -> Status:
    """``status.preview``: what the object would have done, beside what happened without it."""
    return {
        **_previewed(threshold),
        "time": at_milliseconds(report.end),
        "step": f"{report.step // 1000}s",
        "coverage": round(report.coverage, 4),
        "tiers": {
            str(severity): {"new": _outcome(new), "inForce": _outcome(in_force)}
            for severity, (new, in_force) in report.tiers.items()
        },
    }


def failed_preview(threshold: AlertThreshold, message: str) -> Status:
    """``status.preview`` where nothing could be found out."""
    return {**_previewed(threshold), "message": message}


def _previewed(threshold: AlertThreshold) -> Status:
    return {"observedGeneration": threshold.generation, "window": window(threshold)}


def _outcome(outcome: Outcome) -> Status:
    status: Status = {
        "episodes": len(outcome.episodes),
        "minutesFiring": round(outcome.firing / 60_000, 2),
    }
    if outcome.threshold is not None:
        status["threshold"] = outcome.threshold
    if outcome.last is not None:
        status["lastEpisode"] = {"start": at_milliseconds(outcome.last.start)}
        if not outcome.lasts:
            status["lastEpisode"]["end"] = at_milliseconds(outcome.last.end)
    return status


def _says_no_more(found: Status, known: Mapping[str, Any]) -> bool:
    if "tiers" not in found:
        return "tiers" in known
    return {**found, "time": known.get("time")} == known
