"""A preview's answer is what Prometheus did: a real one's alerts, compared episode by episode."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import httpx
import pytest
from tests.integration.operator.monitoring import CATALOGUE, Monitoring, exporter
from tests.ports import free_ports
from tests.waiting import eventually

from threshold_operator.evidence.access import Access
from threshold_operator.evidence.history import History
from threshold_operator.evidence.preview import Report, in_force, question
from threshold_operator.evidence.prometheus import Address, PrometheusReader
from threshold_operator.evidence.replay import Episode
from threshold_operator.model.catalogue import Entry, TierDefaults
from threshold_operator.model.signal import Signal
from threshold_operator.model.threshold import API_VERSION, KIND, AlertThreshold, Severity
from threshold_operator.promql.rules import Group, alert_group, threshold_group
from threshold_operator.promql.text import rule_file

pytestmark = pytest.mark.timeout(360)  # the script may have to be repeated on a busy machine

NAMESPACE, ALERT = "desk", "StocksPnlMoveUnusual"
INTERVAL = 1000

#: The level of the signal, and for how many seconds; None: the metric is gone.
SCRIPTS: Mapping[str, list[tuple[int, float | None]]] = {
    # Past both limits, between limit and recover number, an absence, and up again.
    "TSLA": [(4, 0), (7, 9), (5, 4.5), (4, 0), (7, 6), (4, None), (5, 10), (99, 0)],
    # Short peaks that no rule sees: each waits for at least one interval; then two long ones.
    "AAPL": [
        *((5, 0), (2, 9), (2, 0), (2, 9), (6, 0), (4, 5), (2, 2.5), (3, 0.5)),
        *((8, 9), (4, 0), (7, 9), (99, 0)),
    ],
}
SECONDS = 54


@dataclass
class Script:
    """What the exporter says; quiet until it begins."""

    began: float = field(default=float("inf"))

    def metrics(self) -> dict[str, float]:
        levels = {symbol: self._level(script) for symbol, script in SCRIPTS.items()}
        return {
            f'scripted{{namespace="{NAMESPACE}",symbol="{symbol}"}}': level
            for symbol, level in levels.items()
            if level is not None
        }

    def _level(self, script: list[tuple[int, float | None]]) -> float | None:
        left = time.time() - self.began
        for seconds, level in script:
            left -= seconds
            if left < 0:
                return level
        return 0


def scripted() -> Entry:
    """An alert of the catalogue with a signal, numbers and timing of this test's own."""
    warning = {"threshold": 7, "for": "1s", "keepFiringFor": "2s", "recover": 2}
    changed = {
        "signal": Signal(
            name="stocks:scripted:ratio",
            expr='max by (namespace, symbol) (scripted{namespace="__NAMESPACE__"})',
        ),
        "tiers": {
            Severity.WARNING: TierDefaults.model_validate(warning),
            Severity.CRITICAL: TierDefaults.model_validate({"threshold": 8, "for": "3s"}),
        },
    }
    return CATALOGUE[ALERT].model_copy(update=changed)


def threshold(name: str, **spec: Any) -> AlertThreshold:
    return AlertThreshold.parse(
        {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"alert": ALERT, **spec},
        }
    )


ENTRY = scripted()
TSLA = {"symbol": "TSLA"}
#: Own timing and hysteresis: a rule of its own.
OWN = threshold(
    "own",
    match=TSLA,
    critical={"threshold": 5.0, "for": "3s", "keepFiringFor": "2s", "recover": 4.0},
)
#: Other numbers in the chart's rule.
WIDE = threshold("wide", warning={"threshold": 4.0, "recover": 1.0})
SHADOW = threshold("shadow", mode="Shadow", warning={"threshold": 8.0, "for": "2s"})
#: What it would replace is in force: the chart's critical for AAPL.
PREVIEW = threshold(
    "preview", mode="Preview", match={"symbol": "AAPL"}, critical={"threshold": 4.0}
)
OBJECTS = (OWN, WIDE, SHADOW, PREVIEW)


@dataclass
class Past:
    """A Prometheus that has seen the whole script, and when it ended (Unix milliseconds)."""

    monitoring: Monitoring
    end: int

    def alerts(self, **labels: str) -> list[Episode]:
        """What really fired, from each single evaluation."""
        own = {"alertname": ALERT, "alertstate": "firing", **labels}
        matchers = ",".join(f'{name}="{value}"' for name, value in own.items())
        found = raw(self.monitoring, f"ALERTS{{{matchers}}}", self.end)
        episodes = [episode for times in found for episode in _episodes(times)]
        return sorted(episodes, key=lambda episode: (episode.end, episode.start))

    async def replayed(self, threshold: AlertThreshold) -> Report:
        now = datetime.fromtimestamp(self.end / 1000, UTC)
        others = [o for o in in_force(OBJECTS, now) if o is not threshold]
        async with aiohttp.ClientSession() as session:
            address = Address("Prometheus", self.monitoring.url)
            prometheus = PrometheusReader(Access(session), address, NAMESPACE, alerts=())
            return await History(prometheus, INTERVAL).preview(
                question(threshold, ENTRY, others), SECONDS * 1000, self.end
            )


def raw(monitoring: Monitoring, selector: str, end: int) -> list[list[int]]:
    """The times of the samples of each series during the script."""
    params: dict[str, str] = {"query": f"{selector}[{SECONDS}s]", "time": f"{end / 1000:.3f}"}
    answer = httpx.get(f"{monitoring.url}/api/v1/query", params=params, timeout=30).json()
    return [[round(at * 1000) for at, _ in s["values"]] for s in answer["data"]["result"]]


def _episodes(times: list[int]) -> Iterator[Episode]:
    start = before = times[0]
    for at in times[1:]:
        if at - before > INTERVAL:
            yield Episode(start, before + INTERVAL)
            start = at
        before = at
    yield Episode(start, before + INTERVAL)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    script, folder = Script(), tmp_path_factory.mktemp("past")
    with exporter(script.metrics) as target:
        monitoring = Monitoring(folder, {}, target, free_ports(1)[0])
        groups = [alert_group(ENTRY, NAMESPACE), *(threshold_group(o, ENTRY) for o in OBJECTS)]
        quick: list[Group] = [{**group, "interval": "1s"} for group in groups if group["rules"]]
        (monitoring.rules / "rules.yaml").write_text(rule_file(quick))
        monitoring.start()
        try:
            monitoring.wait_for("stocks:scripted:ratio")
            yield Past(
                monitoring, eventually(lambda: perform(script, monitoring), bool, within=300)
            )
        finally:
            monitoring.stop()


def perform(script: Script, monitoring: Monitoring) -> int:
    """Once through the script; 0 where a busy machine has made Prometheus miss an evaluation."""
    script.began = time.time()
    eventually(time.time, lambda now: now > script.began + SECONDS, within=SECONDS + 30, every=0.5)
    end = round((script.began + SECONDS) * 1000)
    evaluated = raw(monitoring, "stocks:alert_threshold", end)
    return end if all(len(times) >= SECONDS for times in evaluated) else 0


async def test_a_number_in_the_charts_rule(past: Past) -> None:
    new, in_force = (await past.replayed(WIDE)).tiers[Severity.WARNING]
    fired = past.alerts(severity="warning")
    assert list(new.episodes) == fired
    assert len(fired) > 3, "else the script is too dull"
    assert new.episodes != in_force.episodes


async def test_the_number_in_force_without_the_object(past: Past) -> None:
    _, in_force = (await past.replayed(PREVIEW)).tiers[Severity.CRITICAL]
    fired = past.alerts(severity="critical", symbol="AAPL")
    assert list(in_force.episodes) == fired
    assert fired


RULES_OF_THEIR_OWN: Mapping[str, tuple[AlertThreshold, Severity, dict[str, str]]] = {
    "own timing": (OWN, Severity.CRITICAL, {"severity": "critical", "symbol": "TSLA"}),
    "Shadow": (SHADOW, Severity.WARNING, {"severity": "none", "shadow": "warning"}),
}


@pytest.mark.parametrize(
    ("threshold", "severity", "labels"), RULES_OF_THEIR_OWN.values(), ids=RULES_OF_THEIR_OWN
)
async def test_a_rule_of_an_objects_own(
    past: Past, threshold: AlertThreshold, severity: Severity, labels: dict[str, str]
) -> None:
    """Its group is evaluated between two evaluations of the signal, and may see the one before."""
    new, _ = (await past.replayed(threshold)).tiers[severity]
    fired = past.alerts(**labels)
    assert len(new.episodes) == len(fired) > 1
    for replayed, real in zip(new.episodes, fired, strict=True):
        assert real.start - replayed.start == pytest.approx(0, abs=2 * INTERVAL)
        assert real.end - replayed.end == pytest.approx(0, abs=2 * INTERVAL)


async def test_the_whole_window_is_covered(past: Past) -> None:
    report = await past.replayed(WIDE)
    assert (report.coverage, report.step) == (1, INTERVAL)
    assert report.end - report.start == SECONDS * 1000
