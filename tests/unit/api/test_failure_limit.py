"""Who fails too often is told to wait; nobody else is."""

from __future__ import annotations

from stocks_api.api.auth import FailureLimit


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_only_the_address_that_fails_too_often_has_to_wait() -> None:
    limit = FailureLimit(3, Clock())
    assert [limit.failed("a") for _ in range(5)] == [None, None, None, 60, 60]
    assert limit.failed("b") is None


def test_after_a_minute_it_begins_anew() -> None:
    clock = Clock()
    limit = FailureLimit(1, clock)
    assert limit.failed("a") is None
    clock.now += 45.5
    assert limit.failed("a") == 15
    clock.now += 14.5
    assert limit.failed("a") is None


def test_the_number_of_addresses_is_bounded() -> None:
    limit = FailureLimit(1, Clock())
    for number in range(10_000):
        limit.failed(str(number))
    assert len(limit._failures) == 4096
    assert limit.failed("9999") is not None
    assert limit.failed("0") is None  # forgotten
