"""A long-lived task that ends is never missed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from threshold_operator.supervision import Supervisor, TaskEndedError, supervise

Make = Callable[[], Coroutine[Any, Any, None]]


async def forever() -> None:
    await asyncio.Event().wait()


async def returns() -> None:
    await asyncio.sleep(0)


async def fails() -> None:
    raise ValueError("a mistake")


async def is_cancelled() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("make", "how"),
    [
        pytest.param(returns, "it returned", id="returns"),
        pytest.param(fails, "it failed: ValueError('a mistake')", id="fails"),
        pytest.param(is_cancelled, "it was cancelled", id="is cancelled, and nobody asked for it"),
    ],
)
async def test_a_task_that_ends_ends_the_others_and_is_logged(
    make: Make, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    other = asyncio.Event()

    async def another() -> None:
        try:
            await forever()
        finally:
            other.set()

    with pytest.raises(TaskEndedError, match="the turns ended"):
        await supervise({"the turns": make(), "another": another()})
    assert other.is_set()
    assert how in caplog.text
    assert caplog.records[-1].levelno == logging.CRITICAL
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


async def test_the_traceback_of_a_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(TaskEndedError) as ended:
        await supervise({"the turns": fails()})
    assert isinstance(ended.value.__cause__, ValueError)
    assert "in fails" in caplog.text


async def test_the_end_that_is_waited_for_is_no_failure() -> None:
    await supervise({"the turns": forever()}, until=returns())


async def test_a_failure_of_the_end_is_one() -> None:
    with pytest.raises(TaskEndedError, match="the end"):
        await supervise({"the turns": forever()}, until=fails())


async def test_a_task_that_is_started_later_is_watched_too() -> None:
    tasks = Supervisor()

    async def starts_another() -> None:
        tasks.start("the later one", fails())
        await forever()

    tasks.start("the first", starts_another())
    with pytest.raises(TaskEndedError, match="the later one"):
        await tasks.run()


async def test_a_cancellation_from_outside_is_passed_on() -> None:
    supervised = asyncio.create_task(supervise({"the turns": forever()}))
    await asyncio.sleep(0)
    supervised.cancel()
    with pytest.raises(asyncio.CancelledError):
        await supervised
