"""The PromQL of the rules: which number governs an instance, and when an alert is to fire."""

from __future__ import annotations

from collections.abc import Mapping

from threshold_operator.model.catalogue import Entry
from threshold_operator.model.threshold import (
    DEFAULT_SOURCE,
    AlertThreshold,
    Comparator,
    Mode,
    Tier,
)
from threshold_operator.promql.series import (
    EFFECTIVE,
    OVERRIDES,
    OWN,
    OWN_RULE,
    RECOVER,
    RECOVER_EFFECTIVE,
    RULE,
    THRESHOLD,
    number,
    of_release,
)


def governing(entry: Entry, records: str, which: tuple[str, ...]) -> str:
    """The first of these that there is: scoped, else namespace-wide, else the chart's."""
    branches = [_branch(entry, records, (*which, f'source="{DEFAULT_SOURCE}"'))]
    if entry.scope is None:
        branches.insert(0, _branch(entry, records, (*which, *OVERRIDES)))
    else:
        branches.insert(0, _branch(entry, records, (*which, *OVERRIDES, f'{entry.scope}=""')))
        scoped = (*which, *OVERRIDES, f'{entry.scope}!=""')
        branches.insert(0, _branch(entry, records, scoped, entry.labels))
    return "\nor\n".join(branches)


def own_rules(entry: Entry, which: tuple[str, ...]) -> str:
    """The instances that are governed by an object with a rule of its own."""
    own, labels = (*which, f'{RULE}="{OWN}"'), ", ".join(entry.labels)
    if entry.scope is None:
        return f"{_instances(entry)}\nand on ({labels})\n{of_release(THRESHOLD, *own)}"
    scoped, wide = f'{entry.scope}!=""', f'{entry.scope}=""'
    return (
        f"{_instances(entry)}\nand on ({labels})\n{of_release(THRESHOLD, *own, scoped)}\nor\n"
        f"{_instances(entry)}\nand on (namespace)\n{of_release(THRESHOLD, *own, wide)}\n"
        f"unless on ({labels})\n{of_release(THRESHOLD, *which, *OVERRIDES, scoped)}"
    )


def until(threshold: AlertThreshold, value: float) -> str:
    """A number until it expires: in the expression, so it reverts with the operator dead."""
    expires = threshold.spec.expiresAt
    if expires is None:
        return f"vector({number(value)})"
    return f"vector({number(value)}) and on () (vector(time()) < {number(expires.timestamp())})"


def chart_condition(entry: Entry, which: tuple[str, ...], labels: Mapping[str, str]) -> str:
    """Beyond the number in force, or held; not where an object has a rule of its own."""
    on = f"on ({', '.join(entry.labels)})"
    beyond = _beyond(entry, on, EFFECTIVE, which)
    held = _held(entry, on, RECOVER_EFFECTIVE, which, labels)
    return f"({beyond}\nor\n{held})\nunless {on}\n{of_release(OWN_RULE, *which)}"


def own_condition(
    threshold: AlertThreshold,
    entry: Entry,
    tier: Tier,
    which: tuple[str, ...],
    own: tuple[str, ...],
    labels: Mapping[str, str],
) -> str:
    """The same for one object: its numbers alone, not where others govern.

    :param own: matchers of the object's series; ``which`` those of all that set this tier.
    """
    on = f"on ({', '.join(entry.labels)})"
    wide = entry.scope is not None and not threshold.spec.match
    if entry.scope is not None:
        own = (*own, f'{entry.scope}{"=" if wide else "!="}""')
    matching = "on (namespace) group_left ()" if wide else on
    condition = _beyond(entry, matching, THRESHOLD, own)
    if tier.recover is not None:
        condition += f"\nor\n{_held(entry, matching, RECOVER, own, labels)}"
    if not wide:
        return condition
    shadow = threshold.spec.mode is Mode.SHADOW
    # A Shadow, were it in force, would stand below the scoped objects of both kinds.
    others = OVERRIDES[:1] if shadow else OVERRIDES
    scoped = of_release(THRESHOLD, *which, *others, f'{entry.scope}!=""')
    return f"({condition})\nunless {on}\n{scoped}"


def _branch(
    entry: Entry, records: str, which: tuple[str, ...], on: tuple[str, ...] = ("namespace",)
) -> str:
    # Where two numbers meet the more sensitive wins: of two overrides in spite of the conflict
    # rules, and of a threshold and its recover number always.
    sensitive = "min" if entry.comparator is Comparator.ABOVE else "max"
    labels = ", ".join(on)
    numbers = f"{sensitive} by ({labels}) ({of_release(records, *which)})"
    return f"{_instances(entry)}\n* on ({labels}) group_left ()\n{numbers}"


def _instances(entry: Entry) -> str:
    return f"group by ({', '.join(entry.labels)}) ({of_release(entry.signal.name)})"


def _beyond(entry: Entry, matching: str, records: str, which: tuple[str, ...]) -> str:
    limit = of_release(records, *which)
    return f"{of_release(entry.signal.name)}\n{entry.comparator} {matching}\n{limit}"


def _held(
    entry: Entry,
    matching: str,
    records: str,
    which: tuple[str, ...],
    labels: Mapping[str, str],
) -> str:
    """Hysteresis: what fires already goes on until the signal is back beyond the recover number."""
    own = (f'{name}="{value}"' for name, value in labels.items())
    alerts = of_release("ALERTS", f'alertname="{entry.name}"', *own, 'alertstate="firing"')
    on = ", ".join(entry.labels)
    return f"{_beyond(entry, matching, records, which)}\nand on ({on})\n{alerts}"
