"""Row f: an unquoted value is what kubectl makes of it (compared with kubectl in test_files.py)."""

from __future__ import annotations

from typing import Any

import pytest

from threshold_operator.cli.kubectl_yaml import documents, resolved

VALUES: dict[str, Any] = {
    **{
        "1e-4": 0.0001,
        ".5": 0.5,
        "-.5": -0.5,
        "+.5": 0.5,
        "1.": 1.0,
        "12e03": 12000.0,
        "1E2": 100.0,
    },
    **{"0x10": 16, "0X10": 16, "0b11": 3, "0o17": 15, "017": 15, "09": 9.0, "+1": 1, "-0x10": -16},
    **{"1_000": 1000, "1_0.5": 10.5, "1__0": 10, "0": 0, "-0": 0, "1:30": "1:30"},
    **{"on": True, "Off": False, "y": True, "N": False, "yes": True, "tRue": "tRue"},
    **{
        "~": None,
        "": None,
        "null": None,
        "NULL": None,
        "nULL": "nULL",
        "<": "<",
        "-": "-",
        ".": ".",
    },
    **{"2026-12-24": "2026-12-24", "2026-12-24T21:00:00Z": "2026-12-24T21:00:00Z"},
    **{
        "18446744073709551615": 2.0**64,
        "9223372036854775807": 2**63 - 1,
        "0xg": "0xg",
        "1e": "1e",
    },
    **{".inf": float("inf"), "-.INF": float("-inf"), "inf": "inf", "٣": "٣"},
}


@pytest.mark.parametrize(("text", "value"), VALUES.items(), ids=map(repr, VALUES))
def test_row_f_a_plain_value_is_read_as_kubectl_reads_it(text: str, value: Any) -> None:
    found = resolved(text)
    assert (type(found), found) == (type(value), value)


def test_quotes_and_tags_keep_a_text_a_text() -> None:
    text = "a: '5'\nb: \"on\"\nc: !!str 5\nd: |\n  7\n"
    assert list(documents(text)) == [{"a": "5", "b": "on", "c": "5", "d": "7\n"}]


def test_keys_are_texts_and_merges_are_merged() -> None:
    text = "base: &b {x: 1}\non: 2\n3: 4\nmore:\n  <<: *b\n  z: 2\n"
    (found,) = documents(text)
    assert found == {"base": {"x": 1}, "true": 2, "3": 4, "more": {"x": 1, "z": 2}}


def test_empty_documents_are_none() -> None:
    assert list(documents("---\n---\na: 1\n---\n")) == [None, {"a": 1}, None]
