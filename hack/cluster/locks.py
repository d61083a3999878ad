"""Two runs at once must not build the same thing twice, or create the same cluster."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from cluster.paths import cache
from cluster.steps import Progress


@contextmanager
def only_one(name: str, progress: Progress) -> Iterator[None]:
    """Hold the lock ``name``; the kernel lets go of it when we end, however we end."""
    path = cache("locks") / f"{name}.lock"
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            progress.say(f"  ..  waiting for another run (process {lock.read().strip() or '?'})")
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
