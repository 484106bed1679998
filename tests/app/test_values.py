"""A value keeps its meaning on every way: JSON → Python → SQLite → Python → JSON."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.app import programs as p

from backstay.app.values import Codec, codec, parse_stamp, stamp_text
from backstay.lang.program import Type

PROGRAM = p.orders()
STAMPS = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)
LINE = p.RecordType((p.Field("price", p.MONEY), p.Field("at", p.STAMP)))


def of(kind: Type) -> Codec:
    return codec(PROGRAM, kind)


CASES: list[tuple[Type, object, object, object]] = [
    (p.MONEY, "12.50", Decimal("12.50"), 1250),
    (p.MONEY, "-0.05", Decimal("-0.05"), -5),
    (p.DecimalType(6, 0), "7", Decimal(7), 7),
    (p.STAMP, "2026-03-01T12:00:00.000001Z", 1_772_366_400_000_001, 1_772_366_400_000_001),
    (p.DURATION, "1m30s", 90.0, 90.0),
    (p.DATE, "2026-03-01", "2026-03-01", "2026-03-01"),
    (p.BOOL, True, True, 1),
    (p.INT, -(2**63), -(2**63), -(2**63)),
    (p.FLOAT, 0.1, 0.1, 0.1),
    (p.JSON, {"a": [1, None, 2.5]}, {"a": [1, None, 2.5]}, '{"a":[1,null,2.5]}'),
    (p.ListType(p.MONEY), ["1.00"], [Decimal("1.00")], '["1.00"]'),
    (
        LINE,
        {"price": "2.00", "at": "1970-01-01T00:00:00.000000Z"},
        {"price": Decimal("2.00"), "at": 0},
        '{"price":"2.00","at":"1970-01-01T00:00:00.000000Z"}',
    ),
]


@pytest.mark.parametrize(("kind", "shown", "python", "stored"), CASES)
def test_the_table_of_representations(
    kind: Type, shown: object, python: object, stored: object
) -> None:
    made = of(kind)
    assert made.parse(shown) == python
    assert made.store(python) == stored
    assert made.load(stored) == python
    assert made.shape(python) == shown
    emitted = stored if made.emit is None else made.emit(stored)
    assert msgspec.json.decode(msgspec.json.encode(emitted)) == shown
    for change in (made.store, made.load, made.shape, made.parse, made.fit):
        assert change(None) is None


@pytest.mark.parametrize("given", ["-0", "-0.00", -0.0, 0])
def test_there_is_one_zero(given: object) -> None:
    """The answer to a create said -0.00 where every later one said 0.00."""
    money = of(p.MONEY)
    assert money.shape(money.parse(given)) == "0.00"
    assert money.shape(money.fit(Decimal("-0.001"))) == "0.00"


@given(st.integers(-(10**10) + 1, 10**10 - 1))
def test_decimals_are_exact_both_ways(scaled: int) -> None:
    money = of(p.MONEY)
    value = money.load(scaled)
    assert money.store(value) == scaled
    assert money.emit is not None
    assert money.emit(scaled) == money.shape(value)
    assert money.parse(money.emit(scaled)) == value


@given(STAMPS)
def test_times_are_exact_both_ways(stamp: int) -> None:
    assert parse_stamp(stamp_text(stamp)) == stamp


REFUSED: list[tuple[Type, object]] = [
    (p.MONEY, "1.005"),
    (p.MONEY, "100000000.00"),
    (p.MONEY, "1e3"),
    (p.MONEY, "NaN"),
    (p.MONEY, True),
    (p.MONEY, ""),
    (p.INT, 2**63),
    (p.INT, 1.5),
    (p.INT, True),
    (p.INT, "1"),
    (p.FLOAT, "1"),
    (p.BOOL, 1),
    (p.UUID, "not-a-uuid"),
    (p.UUID, "00000000-0000-7000-8000-00000000000g"),
    (p.STAMP, "2026-03-01T12:00:00"),
    (p.STAMP, "2026-02-30T12:00:00Z"),
    (p.STAMP, "0001-01-01T00:00:00+14:00"),
    (p.STAMP, 5),
    (p.DATE, "2026-3-1"),
    (p.DATE, "2026-02-30"),
    (p.DURATION, "soon"),
    (p.STRING, "\x00"),
    (p.STRING, "\ud800"),
    (p.STRING, 5),
    (p.STATUS, "lost"),
    (p.STATUS, ["paid"]),
    (p.RefType("Order"), 5),
    (p.ListType(p.INT), "1"),
    (p.JSON, ["\ud800"]),
    (p.JSON, {"a": 10**30}),
]


@pytest.mark.parametrize(("kind", "value"), REFUSED)
def test_what_does_not_fit_is_refused_in_words(kind: Type, value: object) -> None:
    with pytest.raises(ValueError, match=r"expected|must not"):
        of(kind).parse(value)


def test_free_json_has_a_deepest_level() -> None:
    value: object = 1
    for _ in range(100):
        value = [value]
    with pytest.raises(ValueError, match="nested"):
        of(p.JSON).parse(value)


def test_a_row_stands_for_its_key_where_a_reference_is_wanted() -> None:
    key = "00000000-0000-7000-8000-0000000000A1"
    reference = of(p.RefType("Order"))
    assert reference.fit({"id": key, "total": Decimal(1)}) == key.lower()
    assert reference.store({"id": key}) == key.lower()
