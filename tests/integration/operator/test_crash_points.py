"""Killed, refused or overtaken at any of its requests, the operator ends where the objects ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.integration.operator.apiserver import ApiServer
from tests.integration.operator.lives import Act, Crowd, mortal, writes
from tests.integration.operator.proxy import STALE, Request
from tests.integration.operator.scenario import (
    ACCEPTED,
    HEALED,
    PNL,
    REFUSED,
    SCENARIO,
    TOO_HIGH,
    TSLA,
    Stage,
    Step,
    number,
    play,
)
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)

FAULTS = (409, 410, 429, 500, 503)

#: More at once would only wait for the two processors.
AT_ONCE = 6


@dataclass(frozen=True)
class Calm:
    """What the operator does of the scenario, and what is left, where nothing goes wrong."""

    writes: list[Request]
    outcome: Any


@pytest.fixture(scope="module")
def calm(server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Calm:
    folder = tmp_path_factory.mktemp("calm")
    with mortal(server, folder, "calm", lambda _: False) as found:
        play([found.stage])
        found.spare()
        assert found.stage.as_asked() == ""
        assert found.stage.doubled() == []
        return Calm(list(filter(writes, found.proxy.requests)), found.stage.outcome())


def wait_outcome(stage: Stage, wanted: Any, lacking: int = 0) -> None:
    """Wait until ``wanted`` is what is left.

    :param lacking: Events that the operator was told exist already.
    """

    def wrong() -> list[str]:
        found = stage.outcome()
        if lacking:
            missing = Counter(map(str, wanted["events"])) - Counter(map(str, found["events"]))
            assert missing.total() <= lacking, (stage.namespace, missing)
            found["events"] = found["events"] if missing.total() < lacking else wanted["events"]
        return [stage.namespace, *diff] if (diff := differences(found, wanted)) else []

    eventually(wrong, _nothing, within=HEALED, every=0.3)


def wait_as_asked(stage: Stage) -> None:
    eventually(stage.as_asked, lambda text: not text, within=HEALED, every=0.2)


def _nothing(found: list[str]) -> bool:
    return not found


def differences(found: Any, wanted: Any) -> list[str]:
    return [
        f"{key}: {found[key]}, not {wanted[key]}" for key in wanted if found[key] != wanted[key]
    ]


class OfThe:
    """Fatal is the n-th write."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, request: Request) -> bool:
        self.left -= writes(request)
        return writes(request) and self.left == 0


def test_killed_after_any_of_its_writes_the_next_one_finishes(
    server: ApiServer, tmp_path: Path, calm: Calm
) -> None:
    def die_once(number: int) -> None:
        fatal = OfThe(number)
        with mortal(server, tmp_path, f"killed-{number}", fatal) as found:
            play([found.stage])
            wait_outcome(found.stage, calm.outcome)
            found.spare()
            assert len(found.lives) == 2, f"write {number} never came"
            assert differences(found.stage.outcome(), calm.outcome) == [], number

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(die_once, range(1, len(calm.writes) + 1)))


class OfEachInTurn:
    """The first life dies of its first request, reads and watches too, the second of its second."""

    def __init__(self) -> None:
        self.lives, self.requests = 1, 0

    def __call__(self, _: Request) -> bool:
        self.requests += 1
        if self.requests < self.lives:
            return False
        self.lives, self.requests = self.lives + 1, 0
        return True


def test_killed_after_its_first_request_then_its_second_and_so_on(
    server: ApiServer, tmp_path: Path, calm: Calm
) -> None:
    with mortal(server, tmp_path, "killed-again-and-again", OfEachInTurn()) as found:
        play([found.stage])
        wait_outcome(found.stage, calm.outcome)
        found.spare()
        assert len(found.lives) > 10
        assert differences(found.stage.outcome(), calm.outcome) == []


def in_the_crowd(calm: Calm) -> range:
    """The numbers of all writes, without the Lease's: it is elsewhere."""
    return range(1, len([r for r in calm.writes if "/leases" not in r.path]) + 1)


def test_any_write_may_be_answered_with_an_error(
    server: ApiServer, tmp_path: Path, calm: Calm
) -> None:
    said_before: set[str] = set()

    def refuse(status: int) -> Act:
        def act(stage: Stage, request: Request) -> int:
            if (status, request.verb[0]) == (409, "events"):
                said_before.add(stage.namespace)
            return status

        return act

    crowd = Crowd(server)
    for moment in in_the_crowd(calm):
        for status in FAULTS:
            crowd.add(f"answered-{status}-{moment}", moment, refuse(status))
    with crowd.played(tmp_path):
        for name, stage in crowd.stages.items():
            wait_outcome(stage, calm.outcome, lacking=int(name in said_before))


#: The last word about an object, as its spec; None: it is deleted.
INTERRUPTIONS: dict[str, Callable[[], dict[str, Any] | None]] = {
    "edited": lambda: number(0.19),
    "deleted": lambda: None,
    "expiring": lambda: number(0.19, expires_in=2),
}


def test_an_edit_a_delete_or_an_expiry_may_come_before_any_write(
    server: ApiServer, tmp_path: Path, calm: Calm
) -> None:
    def interrupt(word: Callable[[], dict[str, Any] | None]) -> Act:
        return lambda stage, _: stage.interrupt(word())

    crowd = Crowd(server)
    for moment in in_the_crowd(calm):
        for how, word in INTERRUPTIONS.items():
            crowd.add(f"{how}-before-{moment}", moment, interrupt(word))
    with crowd.played(tmp_path):
        for stage in crowd.stages.values():
            wait_as_asked(stage)
        for stage in crowd.stages.values():
            assert stage.doubled() == [], stage.namespace
            assert stage.unsaid() == [], stage.namespace


class OnceEach:
    """Each request that is no write of an object's fails once, a list twice: ours and kopf's."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.seen: Counter[tuple[str, str, bool]] = Counter()

    def __call__(self, request: Request) -> int | None:
        if not self._concerns(request):
            return None
        key = request.method, request.path, request.watch
        self.seen[key] += 1
        return self.status if self.seen[key] <= 1 + request.lists else None

    def _concerns(self, request: Request) -> bool:
        """There is no conflict in asking what the API server knows, and it is never gone."""
        if not request.of_objects:
            return self.status not in (409, 410)
        return not writes(request) or "/leases" in request.path


def test_each_list_watch_and_renewal_may_be_answered_with_an_error(
    server: ApiServer, tmp_path: Path, calm: Calm
) -> None:
    def refuse(status: int) -> None:
        faults = OnceEach(status)
        with mortal(server, tmp_path, f"each-{status}", lambda _: False, faults) as found:
            play([found.stage])
            wait_outcome(found.stage, calm.outcome)
            assert found.lives[0].process.poll() is None
            assert len(faults.seen) >= 7, "two lists, two watches, three ways to use the Lease"

    with ThreadPoolExecutor(len(FAULTS)) as pool:
        list(pool.map(refuse, FAULTS))


OURS = ("alertthresholds", "prometheusrules")

#: Which lists come from a cache of the API server that is behind.
BEHIND = {"objects": OURS[:1], "rules": OURS[1:], "both": OURS}


#: What they know, and what they don't: an edit, another object of the same name, a bad edit.
KNOWN = (SCENARIO[0], SCENARIO[2])
UNKNOWN = (
    SCENARIO[1],
    Step("tsla", None, ACCEPTED, subject="base"),
    Step("tsla", lambda: number(0.04, **TSLA), ACCEPTED),
    Step("base", lambda: number(TOO_HIGH), REFUSED),
)


class Behind:
    """The first two lists of each kind after a restart: the operator's own, and kopf's."""

    def __init__(self, kinds: tuple[str, ...]) -> None:
        self._left = dict.fromkeys(kinds, 2)

    def __call__(self, request: Request) -> str | None:
        kind = request.path.rpartition("/")[2]
        if not request.lists or not self._left.get(kind):
            return None
        self._left[kind] -= 1
        return STALE

    @property
    def over(self) -> bool:
        return not any(self._left.values())


#: Once this is settled, the watch has brought all that came before it.
LAST = Step("last", lambda: number(0.07, alert=PNL, match={"symbol": "AAPL"}), ACCEPTED)


@pytest.mark.parametrize("kinds", BEHIND.values(), ids=BEHIND)
def test_the_first_lists_after_a_restart_may_be_older_than_the_last_word(
    server: ApiServer, tmp_path: Path, kinds: tuple[str, ...]
) -> None:
    """The watches go on from there, so all that the lists don't know comes after them."""
    with mortal(server, tmp_path, f"behind-{'-'.join(kinds)}", lambda _: False) as found:
        play([found.stage], KNOWN)
        found.remember_lists()
        play([found.stage], UNKNOWN)
        found.proxy.fault = behind = Behind(kinds)
        found.replace()
        eventually(lambda: behind.over, bool, within=HEALED, every=0.1)
        play([found.stage], [LAST])
        wait_as_asked(found.stage)
        assert found.stage.doubled() == []
