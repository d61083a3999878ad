"""Faults are state with an end, told in JSON."""

import pytest

from gateway_simulator.faults import Faults


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def faults(clock: Clock) -> Faults:
    return Faults(clock)


def in_force(faults: Faults) -> tuple[bool, ...]:
    return (
        faults.refusing,
        faults.hung,
        faults.mute,
        faults.fills_held,
        faults.stalled("AAPL"),
    )


def test_at_first_nothing_is_in_force(faults: Faults) -> None:
    assert faults.in_force() == {}
    assert faults.take_rejection() is None
    assert in_force(faults) == (False, False, False, False, False)


def test_the_next_n_orders_are_rejected_and_no_more(faults: Faults) -> None:
    faults.reject(2, 201, "no")
    assert faults.in_force() == {"reject": {"orders": 2, "code": 201}}
    assert [faults.take_rejection() for _ in range(3)] == [(201, "no"), (201, "no"), None]


def test_faults_end_by_themselves(faults: Faults, clock: Clock) -> None:
    faults.refuse(5)
    faults.deafen(5)
    faults.stall(["AAPL"], 5)
    faults.hold_fills(5)
    clock.now += 4.999
    assert in_force(faults) == (True, True, False, True, True)
    clock.now += 0.001
    assert in_force(faults) == (False, False, False, False, False)
    assert faults.in_force() == {}


def test_without_a_duration_they_last_until_cleared(faults: Faults, clock: Clock) -> None:
    faults.deafen(None, "mute")
    faults.stall(None, None)
    clock.now += 1e9
    assert (faults.mute, faults.hung, faults.stalled("ANY")) == (True, False, True)
    assert faults.in_force() == {"deaf": {"seconds": None, "mode": "mute"}, "stall": {"*": None}}
    faults.clear()
    assert faults.in_force() == {}


def test_a_stall_concerns_only_the_symbols_it_names(faults: Faults) -> None:
    faults.stall(["AAPL"], 5)
    assert (faults.stalled("AAPL"), faults.stalled("MSFT")) == (True, False)
