"""Runs long-lived tasks together: the first one that ends, for whatever reason, ends all of them.

Half an operator is worse than none. A task that ends by itself is logged with its traceback and
raised, so that the process ends and Kubernetes starts a whole one. A cancelled task counts as
ended too: Python 3.11.2 cancels tasks that nobody meant to cancel (a ``TaskGroup`` whose child
failed leaves its parent with ``cancelling() == 1``, cpython issue 133747).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import Any

log = logging.getLogger(__name__)


class TaskEndedError(Exception):
    """A task ended that should run until the process is told to stop."""


class Supervisor:
    """The long-lived tasks of one part of the operator, by name."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[Any]] = []
        self._started = asyncio.Event()

    def start(self, name: str, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run one more task, also while :meth:`run` is waiting."""
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.append(task)
        self._started.set()
        return task

    async def run(self, until: Coroutine[Any, Any, Any] | None = None) -> None:
        """Wait until ``until`` returns or a task ends, then end the others.

        :raises TaskEndedError: naming the task that ended, chained to its error.
        """
        end = self.start("the end", until) if until is not None else None
        try:
            while not (ended := [task for task in self._tasks if task.done()]):
                await self._news()
        finally:
            await self._cancel_all()
        failed = [task for task in ended if task is not end or not _returned(task)]
        if failed:
            raise _failure(failed[0])

    async def _news(self) -> None:
        """Wait until a task was started or ended."""
        self._started.clear()
        started = asyncio.create_task(self._started.wait())
        try:
            await asyncio.wait({*self._tasks, started}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            started.cancel()

    async def _cancel_all(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def supervise(
    coroutines: Mapping[str, Coroutine[Any, Any, Any]],
    until: Coroutine[Any, Any, Any] | None = None,
) -> None:
    """Run these, by name, until one ends or ``until`` returns.

    :raises TaskEndedError: naming the task that ended, chained to its error.
    """
    supervisor = Supervisor()
    for name, coroutine in coroutines.items():
        supervisor.start(name, coroutine)
    await supervisor.run(until)


def _returned(task: asyncio.Task[Any]) -> bool:
    return not task.cancelled() and task.exception() is None


def _failure(task: asyncio.Task[Any]) -> TaskEndedError:
    cause = None if task.cancelled() else task.exception()
    how = "was cancelled" if task.cancelled() else f"failed: {cause!r}" if cause else "returned"
    text = f"{task.get_name()} ended, and it never should: it {how}"
    log.critical("%s", text, exc_info=cause)
    error = TaskEndedError(text)
    error.__cause__ = cause
    return error
