"""Every tier of every alert, on what the chart ships: it fires, and it stays silent.

The same questions are put to the whole catalogue. An alert that is new is asked them, too, and
fails until ``drivers.py`` says how its signal is made.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.rules.drivers import DRIVERS, STEP, Series, Values, notation

from threshold_operator.model.catalogue import Catalogue, Entry, kebab
from threshold_operator.model.signal import NAMESPACE_TOKEN
from threshold_operator.model.threshold import AlertThreshold, Comparator, Severity
from threshold_operator.promql.rules import threshold_group
from threshold_operator.promql.series import number
from threshold_operator.promql.text import rule_file

FILES = Path(__file__).parents[2] / "charts" / "stocks-fastapi" / "files"
CATALOGUE = Catalogue.load(FILES / "catalogue.yaml")
CONTRACT = yaml.safe_load((Path(__file__).parents[1] / "unit" / "metrics.yaml").read_text())

#: Quiet, beyond the number, and quiet again; each long enough for a rate over 5 minutes and `for`.
QUIET_UNTIL, LOUD_UNTIL, END = 24, 84, 128
#: In the middle of the loud time; in seconds since 1970, where promtool's clock starts.
RESTART = 54
EXPIRY = RESTART * STEP


@dataclass(frozen=True)
class Tier:
    """One severity of one alert, and a number for it: the default, or one that an object sets."""

    entry: Entry
    severity: Severity

    def __str__(self) -> str:
        return f"{self.entry.name}-{self.severity}"

    @property
    def number(self) -> float:
        default = self.entry.default(self.severity)
        return self._beside_the_other if default is None else default

    @property
    def _beside_the_other(self) -> float:
        """Where only the other tier has a default: a warning comes sooner, a critical one later."""
        (other,) = set(Severity) - {self.severity}
        default = self.entry.default(other)
        assert default is not None
        number = self.beyond(default, 1 if self.severity is Severity.CRITICAL else -1)
        return min(max(number, self.entry.bounds.min), self.entry.bounds.max)

    @property
    def rival(self) -> float:
        """Another number within bounds, two steps away: less sensitive where that can be."""
        less = self.beyond(self.number, 2)
        bounds = self.entry.bounds
        return less if bounds.min <= less <= bounds.max else self.beyond(self.number, -2)

    @property
    def quiet(self) -> float:
        if self.entry.comparator is Comparator.ABOVE:
            return 0
        return 4 if self.entry.unit == "count" else 1

    def beyond(self, value: float, steps: int = 1) -> float:
        """Further in the alert's direction, or with a negative number of steps less far."""
        above = self.entry.comparator is Comparator.ABOVE
        sign = (1 if above else -1) * steps
        return value + sign * (1 if self.entry.unit == "count" else 0.2 * value)

    @property
    def recover(self) -> float:
        """Where it ends; the number itself without hysteresis."""
        own = self.entry.tiers[self.severity].recover
        return self.number if own is None else own

    def within(self, share: float = 1e-6) -> float:
        """As near to the number as can be without passing it, or less near."""
        above = self.entry.comparator is Comparator.ABOVE
        return self.number * (1 - share if above else 1 + share)

    def condition(self, limit: float) -> str:
        return f"({self.entry.signal.name} {self.entry.comparator} {number(limit)})"

    def series(self, loud: float, scope: str = "a", last: float | None = None) -> Series:
        """Quiet, loud, and quiet again or the value given last."""
        levels = (self.quiet, loud, self.quiet if last is None else last)
        times = (QUIET_UNTIL, LOUD_UNTIL - QUIET_UNTIL, END - LOUD_UNTIL)
        values = [level for level, count in zip(levels, times, strict=True) for _ in range(count)]
        return DRIVERS[self.entry.name](values, scope)

    def active(self, state: str, scope: str = "") -> str:
        labels = f'alertname="{self.entry.name}",severity="{self.severity}",alertstate="{state}"'
        match = f',{self.entry.scope}="{scope}"' if scope else ""
        return f"ALERTS{{{labels}{match}}}"


TIERS = [Tier(entry, severity) for entry in CATALOGUE for severity in Severity]


@dataclass(frozen=True)
class Bench:
    """A folder for promtool, with the chart's rules of one alert and objects for it."""

    promtool: str
    folder: Path
    tier: Tier

    def object(self, name: str, limit: float, **spec: Any) -> None:
        severity, alert = str(self.tier.severity), self.tier.entry.name
        body = {
            "apiVersion": "stocks-fastapi.io/v1alpha1",
            "kind": "AlertThreshold",
            "metadata": {"name": name},
            "spec": {"alert": alert, severity: {"threshold": limit}, **spec},
        }
        threshold = AlertThreshold.parse(body, NAMESPACE_TOKEN)
        assert not CATALOGUE.problems(threshold)
        group = threshold_group(threshold, self.tier.entry)
        (self.folder / f"{name}.yaml").write_text(rule_file([group]))

    def armed(self) -> None:
        """An object for a tier that is silent by default."""
        if self.tier.entry.default(self.tier.severity) is None:
            self.object("armed", self.tier.number)

    def expect(self, series: Series, *checks: tuple[str, int, float | None]) -> None:
        """Each check: an expression, the step at which it is asked, and the only value or None."""
        shipped = FILES / "rules" / f"{kebab(self.tier.entry.name)}.yaml"
        tests = [
            {
                "expr": expr,
                "eval_time": f"{step * STEP}s",
                "exp_samples": [] if value is None else [{"labels": "{}", "value": value}],
            }
            for expr, step, value in checks
        ]
        inputs = [{"series": name, "values": notation(each)} for name, each in series.items()]
        case = {
            "rule_files": [str(shipped), *(str(path) for path in self.folder.glob("*.yaml"))],
            "evaluation_interval": f"{STEP}s",
            "tests": [{"interval": f"{STEP}s", "input_series": inputs, "promql_expr_test": tests}],
        }
        file = self.folder / "case.yml"
        file.write_text(yaml.safe_dump(case))
        command = [self.promtool, "test", "rules", str(file)]
        run = subprocess.run(command, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr


@pytest.fixture(params=TIERS, ids=str)
def tier(request: pytest.FixtureRequest) -> Tier:
    found: Tier = request.param
    return found


@pytest.fixture
def bench(promtool: str, tmp_path: Path, tier: Tier) -> Bench:
    return Bench(promtool, tmp_path, tier)


def firing(tier: Tier, scope: str = "") -> str:
    return f"count({tier.active('firing', scope)})"


def samples(expr: str, steps: int) -> str:
    """How many samples there are in the last steps."""
    return f"(sum(count_over_time({expr}[{steps * STEP}s:{STEP}s])) or vector(0))"


def steps_of(duration: str | None) -> int:
    units = {"s": 1, "m": 60, "h": 3600}
    return int(duration[:-1]) * units[duration[-1]] // STEP if duration else 0


def test_it_is_pending_for_its_time_then_fires_and_recovers(bench: Bench, tier: Tier) -> None:
    """To the sample: what the condition holds for, less `for`, and more by `keepFiringFor`."""
    bench.armed()
    settings = tier.entry.tiers[tier.severity]
    waits, keeps = steps_of(settings.for_), steps_of(settings.keep_firing_for)
    middle, rest = LOUD_UNTIL - 1, END - LOUD_UNTIL
    fires, holds = tier.active("firing"), tier.condition(tier.number)
    goes_on = tier.condition(tier.recover)
    bench.expect(
        tier.series(tier.beyond(tier.number)),
        (firing(tier), QUIET_UNTIL - 1, None),
        (samples(tier.active("pending"), middle), middle, waits),
        (f"{samples(holds, middle)} - {samples(fires, middle)}", middle, waits),
        (firing(tier), middle, 1),
        (f"{samples(fires, rest)} - {samples(goes_on, rest)}", END - 1, keeps),
        (firing(tier), END - 1, None),
    )


def test_just_within_its_number_it_never_even_waits(bench: Bench, tier: Tier) -> None:
    bench.armed()
    signal = f"count({tier.entry.signal.name})"
    bench.expect(
        tier.series(tier.within()),
        (signal, LOUD_UNTIL - 1, 1),
        (samples(tier.active("pending"), LOUD_UNTIL), LOUD_UNTIL - 1, 0),
        (samples(tier.active("firing"), LOUD_UNTIL), LOUD_UNTIL - 1, 0),
    )


def test_a_restart_of_what_it_watches_is_no_incident(bench: Bench, tier: Tier) -> None:
    """Two scrapes are lost, and the counters begin anew."""
    bench.armed()
    busy = tier.within(0.1)
    bench.expect(
        restarted(tier.series(busy), RESTART),
        (samples(tier.active("firing"), LOUD_UNTIL), LOUD_UNTIL - 1, 0),
        (samples(f"({tier.entry.signal.name} < 0)", LOUD_UNTIL), LOUD_UNTIL - 1, 0),
    )


def test_without_a_series_it_does_what_the_catalogue_says(bench: Bench, tier: Tier) -> None:
    bench.armed()
    loud = tier.entry.absent.means == "firing"
    bench.expect({}, (firing(tier), QUIET_UNTIL, 1 if loud else None))


def test_an_object_beats_the_default_until_it_expires(bench: Bench, tier: Tier) -> None:
    """The signal lies between the two numbers, so that exactly one of them lets it fire."""
    silent_by_default = tier.entry.default(tier.severity) is None
    ours = tier.number if silent_by_default else tier.rival
    loud = tier.beyond(ours) if silent_by_default else (ours + tier.number) / 2
    fires_with_ours = tier.entry.comparator.beyond(loud, ours)
    bench.object("until", ours, expiresAt=moment(EXPIRY))
    bench.expect(
        tier.series(loud),
        (firing(tier), EXPIRY // STEP - 1, 1 if fires_with_ours else None),
        (firing(tier), LOUD_UNTIL - 1, None if fires_with_ours else 1),
    )


@pytest.mark.parametrize("tier", [each for each in TIERS if each.entry.scope], ids=str)
def test_an_object_for_one_value_of_the_scope_leaves_the_others(bench: Bench, tier: Tier) -> None:
    silent_by_default = tier.entry.default(tier.severity) is None
    ours = tier.number if silent_by_default else tier.rival
    loud = tier.beyond(ours) if silent_by_default else (ours + tier.number) / 2
    fires_with_ours = tier.entry.comparator.beyond(loud, ours)
    bench.object("scoped", ours, match={str(tier.entry.scope): "a"})
    bench.expect(
        tier.series(loud, "a") | tier.series(loud, "b"),
        (firing(tier, "a"), LOUD_UNTIL - 1, 1 if fires_with_ours else None),
        (firing(tier, "b"), LOUD_UNTIL - 1, None if fires_with_ours else 1),
    )


HYSTERETIC = [tier for tier in TIERS if tier.recover != tier.number]


@pytest.mark.parametrize("tier", HYSTERETIC, ids=str)
def test_between_its_two_numbers_it_goes_on_but_does_not_begin(bench: Bench, tier: Tier) -> None:
    between = (tier.number + tier.recover) / 2
    bench.expect(
        tier.series(tier.beyond(tier.number), last=between),
        (firing(tier), END - 1, 1),
    )
    bench.expect(
        tier.series(between),
        (samples(tier.active("pending"), LOUD_UNTIL), LOUD_UNTIL - 1, 0),
    )


def test_the_alerts_that_hover_about_their_numbers_have_hysteresis() -> None:
    assert len(HYSTERETIC) >= 5


def restarted(series: Series, at: int) -> Series:
    """Gone for two scrapes; counters and histograms start from 0."""
    return {name: _restarted(name, values, at) for name, values in series.items()}


def _restarted(name: str, values: Values, at: int) -> Values:
    metric = re.sub(r"_(bucket|count)$", "", name.partition("{")[0])
    kind = CONTRACT.get(metric, ["gauge"])[0]
    base = (values[at + 1] or 0.0) if kind != "gauge" else 0.0
    rest = [None if value is None else value - base for value in values[at + 2 :]]
    return [*values[:at], None, None, *rest]


def moment(seconds: int) -> str:
    return f"1970-01-01T00:{seconds // 60:02}:{seconds % 60:02}Z"
