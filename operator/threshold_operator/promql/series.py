"""The series that the rules record and read: their names, and how PromQL speaks of them."""

from __future__ import annotations

import math

from threshold_operator.model.signal import NAMESPACE_TOKEN
from threshold_operator.model.threshold import DEFAULT_SOURCE

#: A number waits for two evaluations: of the object's group, and of the chart's. So it is in force
#: within 10 s. The signals are sums over what is scraped, so more evaluations cost little.
INTERVAL = "5s"

#: What the names of the objects' groups begin with. Short: all rules share 512 KiB.
THRESHOLD_GROUPS = "at."

THRESHOLD = "stocks:alert_threshold"
RECOVER = "stocks:alert_recover"
EFFECTIVE = f"{THRESHOLD}:effective"
RECOVER_EFFECTIVE = f"{RECOVER}:effective"
OWN_RULE = f"{THRESHOLD}:own_rule"

#: Label of an object's series that tells which rule of its own reads them, if one does.
RULE = "rule"
#: Own timing: the chart's rule passes over what the object governs.
OWN = "own"
#: Beside the numbers in force: no other rule knows of it, and nobody is notified.
SHADOW = "shadow"
#: Matchers of what objects in force set.
OVERRIDES = (f'source!="{DEFAULT_SOURCE}"', f'{RULE}!="{SHADOW}"')


def number(value: float) -> str:
    """A number as PromQL writes it: ``0.03``, ``30``, ``+Inf``."""
    if math.isinf(value):
        return f"{value:+}".title()
    return repr(int(value)) if value == int(value) else repr(value)


def of_release(records: str, *matchers: str) -> str:
    """A selector; ``records`` is the name of a series, or names joined by ``|``."""
    which = ",".join([f'namespace="{NAMESPACE_TOKEN}"', *matchers])
    if "|" in records:
        return f'{{__name__=~"{records}",{which}}}'
    return f"{records}{{{which}}}"
