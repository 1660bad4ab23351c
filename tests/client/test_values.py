"""Values of documents, type by type (faults R7): money is never a float, and no error shows a value."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from govpay.client import BadValue, resources, values

WRONG_FOR_ALL: list[Any] = [[], {}, object(), b"x", (1,), float("nan")]

WRONG: dict[Callable[..., Any], list[Any]] = {
    values.cents: ["12.30", "1230", 12.0, 12.3, True, False, -1, 2**53, 10**400, 1e300, Decimal(5), None],
    values.dollars: ["12.30", True, -0.01, 12.345, 1e300, float("inf"), 2**53, 10**400, None, Decimal("sNaN")],
    values.text: [5, True, 1.5, "a\x00b", "\ud800", "x\udfff", "x" * 10_001, None],
    values.uid: ["", " a", "a ", "a\nb", "a\x7f", "x" * 129, 5, True, None, "\x00", "\ud800"],
    values.flag: ["true", 0, 1, None, "False"],
    values.whole: [True, "5", 1.0, 2**31, -(2**31) - 1, None],
    values.timestamp: [
        "", "2026-06-11", "2026-02-30T00:00:00Z", "2026-06-11T24:00:00Z", "2026-06-11T10:00:60Z", 1781000000, True,
        "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "yesterday", "2026-06-11T10:00:00Zjunk", None,
    ],
    values.texts: ["a", [1], [None], {"a": 1}, ["a\x00"], None],
    values.mapping: ["a", [], 5, None],
    values.mappings: ["a", {}, [5], [None], None],
}  # fmt: skip


@pytest.mark.parametrize("read", WRONG, ids=lambda read: read.__name__)
def test_wrong_values_are_refused_by_name_and_never_shown(read: Callable[..., Any]) -> None:
    fits: dict[Any, list[Any]] = {values.texts: [[]], values.mapping: [{}], values.mappings: [[]]}
    for value in [*WRONG[read], *(value for value in WRONG_FOR_ALL if value not in fits.get(read, ()))]:
        with pytest.raises(BadValue) as caught:
            read("some_field", value)
        error = caught.value
        assert error.field == "some_field"
        assert str(error).startswith("some_field ")
        shown = str(value)
        assert len(shown) < 6 or shown not in str(error)


@pytest.mark.parametrize("value", [0, 1, 14227, 2**53 - 1])
def test_amounts_are_whole_cents(value: int) -> None:
    assert values.cents("a", value) == value


@pytest.mark.parametrize(
    ("text", "cents"),
    [
        ("0.0", 0), ("0", 0), ("999999.99", 99999999), ("0.1", 10), ("0.29", 29), ("1.15", 115), ("12", 1200),
        ("4503599627370.49", 450359962737049), ("1e3", 100000), ("0.07", 7), ("1.10", 110),
    ],
)  # fmt: skip
def test_dollars_become_cents_exactly(text: str, cents: int) -> None:
    assert values.dollars("a", json.loads(text)) == cents


@given(st.integers(0, 10**14))
def test_every_amount_survives_the_way_through_a_double(cents: int) -> None:
    text = f"{cents // 100}.{cents % 100:02}"
    assert values.dollars("a", json.loads(text)) == cents
    assert values.dollars("a", Decimal(text)) == cents


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-06-11T10:00:00Z", dt.datetime(2026, 6, 11, 10, tzinfo=dt.UTC)),
        ("2026-06-11T10:00:00.123Z", dt.datetime(2026, 6, 11, 10, 0, 0, 123000, dt.UTC)),
        ("2026-06-11T10:00:00.1234567Z", dt.datetime(2026, 6, 11, 10, 0, 0, 123456, dt.UTC)),
        ("2026-06-11T10:00:00.123456789+02:00", dt.datetime(2026, 6, 11, 8, 0, 0, 123456, dt.UTC)),
        ("2026-06-11T10:00:00", dt.datetime(2026, 6, 11, 10, tzinfo=dt.UTC)),
        ("2026-06-11t10:00:00z", dt.datetime(2026, 6, 11, 10, tzinfo=dt.UTC)),
    ],
)
def test_timestamps_become_utc(text: str, moment: dt.datetime) -> None:
    found = values.timestamp("a", text)
    assert (found, found.tzinfo) == (moment, dt.UTC)
    assert values.timestamp_text("a", text) == text


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=3))
def test_every_reader_gives_a_value_or_a_bad_value(value: Any) -> None:
    for read in WRONG:
        with contextlib.suppress(BadValue):
            read("a", value)


KINDS = [kind for name, kind in vars(resources).items() if name.endswith("Resource") and name != "Resource"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_vital_properties_exist(kind: type[resources.Resource]) -> None:
    assert all(hasattr(kind, name) for name in kind.VITAL)
