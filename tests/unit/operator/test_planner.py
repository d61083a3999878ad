"""A plan of what changed is a plan of everything: compared for random histories."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.operator.objects import CATALOGUE, NOW, PNL, body

from threshold_operator.cluster.store import Store
from threshold_operator.model.plan import Planner

names = st.sampled_from("abcde")
steps = st.tuples(
    names,
    st.sampled_from(["TSLA", "AAPL", None, "gone"]),
    st.sampled_from([0.03, 0.04, 7]),  # 7 is out of bounds
    st.sampled_from([None, 5, 15, 25]),  # expires then
    st.integers(-10, 20),  # the clock moves
)


@settings(max_examples=300)
@given(st.lists(steps, max_size=12))
def test_what_is_decided_anew_is_all_that_had_to_be(history: list[Any]) -> None:
    store, now = Store(), NOW
    planner = Planner(store.thresholds, store.recaller(CATALOGUE), CATALOGUE)
    planner.plan(now)
    for version, (name, symbol, number, expires, seconds) in enumerate(history, 1):
        before = dict(planner.decisions)
        now += timedelta(seconds=seconds)
        _apply(store, version, name, symbol, number, expires)
        changed = planner.plan(now, store.take_dirty())

        everything = Planner(store.thresholds, store.recaller(CATALOGUE), CATALOGUE)
        everything._accepted = dict(planner._accepted)  # what it remembers isn't in the store
        everything.plan(now)
        assert planner.decisions == everything.decisions
        moved = {n for n in "abcde" if before.get(n) != planner.decisions.get(n)}
        assert moved <= changed


def _apply(
    store: Store, version: int, name: str, symbol: str | None, number: float, expires: int | None
) -> None:
    live = store.thresholds.get(name)
    if symbol == "gone":
        if live:
            store.thresholds.drop(live)
        return
    spec: dict[str, Any] = {"critical": {"threshold": number}}
    if symbol:
        spec["match"] = {"symbol": symbol}
    if expires is not None:
        spec["expiresAt"] = f"{NOW + timedelta(seconds=expires):%Y-%m-%dT%H:%M:%SZ}"
    seen = body(name, PNL, generation=version, version=version, **spec)
    if live is None:  # another object of that name
        seen["metadata"]["uid"] = f"{name}-{version}"
        seen["metadata"]["creationTimestamp"] = (
            f"{NOW - timedelta(99 - version):%Y-%m-%dT%H:%M:%SZ}"
        )
    else:
        kept = ("uid", "creationTimestamp")
        seen["metadata"] |= {key: live["metadata"][key] for key in kept}
    store.thresholds.put(seen)
