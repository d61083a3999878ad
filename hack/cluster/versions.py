"""Which versions we build, and which versions found on PATH are as good."""

from __future__ import annotations

import re

Version = tuple[int, ...]

KUBERNETES = "1.34.4"
KIND = "0.33.0"
HELM = "3.22.0"
ETCD = "3.6.5"
COREDNS = "1.12.1"
LOCAL_PATH = "0.0.30"
PROMETHEUS = "3.16.0"
ALERTMANAGER = "0.31.1"
NODE_EXPORTER = "1.12.1"
PROMETHEUS_OPERATOR = "0.85.0"

# Of a program on PATH: the first version that will do, and the first that will not.
ACCEPTED: dict[str, tuple[Version, Version]] = {
    "kind": ((0, 30), (0, 34)),  # node images fit few kind releases
    "kubectl": ((1, 33), (1, 36)),  # supported within one minor version of the cluster's
    "helm": ((3, 14), (5,)),
    "promtool": ((3,), (4,)),
    "prometheus": ((3,), (4,)),
    "alertmanager": ((0, 27), (1,)),
}


def version_in(text: str) -> Version:
    """The first dotted version in a text (``kind version 0.33.0``: (0, 33, 0)); (0,) if none."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(map(int, found[0].split("."))) if found else (0,)


def fits(program: str, version: Version) -> bool:
    """Whether this version of a program can stand in for the one we would build."""
    first, beyond = ACCEPTED[program]
    return first <= version < beyond
