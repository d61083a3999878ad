"""Bodies of control requests: what is refused says the field, the limit and a fix."""

from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_simulator.control_body import Body, InputError

KNOWN = ("n", "seconds", "flag", "word", "text", "texts")


def body(text: str) -> Body:
    return Body(text.encode(), KNOWN)


def test_good_fields_are_read() -> None:
    good = body(
        '{"n": 3, "seconds": 0.5, "flag": true, "word": "b", "text": "Größe", "texts": ["x"]}'
    )
    assert good.integer("n", 1, 3) == 3
    assert good.number("n", Decimal(0), Decimal(3)) == 3
    assert good.seconds() == 0.5
    assert good.flag("flag", default=False)
    assert good.choice("word", ("a", "b"), "a") == "b"
    assert good.text("text", 5) == "Größe"
    assert good.texts_or_none("texts", 1, 1) == ["x"]


def test_what_is_missing_or_null_has_its_default() -> None:
    for empty in (Body(b"", KNOWN), body("{}"), body('{"seconds": null, "texts": null}')):
        assert empty.seconds_or_none() is None
        assert empty.texts_or_none("texts", 1, 1) is None
        assert empty.integer("n", 1, 3, default=2) == 2
        assert empty.flag("flag", default=True)


@pytest.mark.parametrize(
    ("text", "read", "field"),
    [
        ("{", lambda b: b, "body"),
        ("[]", lambda b: b, "body"),
        ("[" * 100_000, lambda b: b, "body"),
        ('{"seconds": NaN}', lambda b: b.seconds(), "body"),
        ('{"second": 1}', lambda b: b, "second"),
        ("{}", lambda b: b.seconds(), "seconds"),
        ('{"seconds": 0}', lambda b: b.seconds(), "seconds"),
        ('{"seconds": 3600.1}', lambda b: b.seconds(), "seconds"),
        ('{"seconds": true}', lambda b: b.seconds(), "seconds"),
        ('{"seconds": "5"}', lambda b: b.seconds_or_none(), "seconds"),
        ('{"seconds": 1e999}', lambda b: b.seconds(), "seconds"),
        ('{"n": 4}', lambda b: b.integer("n", 1, 3), "n"),
        ('{"n": 1.0}', lambda b: b.integer("n", 1, 3), "n"),
        ('{"n": true}', lambda b: b.integer("n", 1, 3), "n"),
        ('{"flag": 1}', lambda b: b.flag("flag", default=True), "flag"),
        ('{"word": "c"}', lambda b: b.choice("word", ("a", "b"), "a"), "word"),
        ('{"text": ""}', lambda b: b.text("text", 5), "text"),
        ('{"text": "a\\u0000b"}', lambda b: b.text("text", 5), "text"),
        ('{"text": "toolong"}', lambda b: b.text("text", 5), "text"),
        ('{"texts": []}', lambda b: b.texts_or_none("texts", 1, 1), "texts"),
        ('{"texts": ["a", "b"]}', lambda b: b.texts_or_none("texts", 1, 1), "texts"),
        ('{"texts": [1]}', lambda b: b.texts_or_none("texts", 1, 1), "texts"),
        ('{"texts": "x"}', lambda b: b.texts_or_none("texts", 1, 1), "texts"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_bad_fields_are_refused(text: str, read: Callable[[Body], object], field: str) -> None:
    with pytest.raises(InputError) as error:
        read(body(text))
    assert error.value.field == field
    assert error.value.limit
    assert error.value.fix


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_a_body_or_refused(data: bytes) -> None:
    with suppress(InputError):
        Body(data, KNOWN)
