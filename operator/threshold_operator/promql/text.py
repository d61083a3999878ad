"""Rule files of Prometheus as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from threshold_operator.promql.rules import Group


def rule_file(groups: Iterable[Group]) -> str:
    """A Prometheus rule file, in YAML that a person can read."""
    return yaml.dump(
        {"groups": list(groups)},
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=1000,
    )


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _represent_str(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = None
    if not text.isprintable():  # in double quotes whatever YAML would fold or drop is escaped
        style = "|" if text.replace("\n", "").isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_str)
