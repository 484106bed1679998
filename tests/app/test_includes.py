"""Related rows: as many statements however many rows, on PostgreSQL none of their own; by their own
rules."""

from typing import Self

import pytest
from tests.app import programs as p
from tests.app.support import STAFF_USER, VISITOR, NewPlace, Place

from backstay.app.plan.expressions import compile_expr
from backstay.app.plan.reads import Reader
from backstay.app.plan.unit import Unit
from backstay.core.context import Principal

PROGRAM = p.orders()
NOBODY = Principal("anonymous")


def key(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012d}"


@pytest.fixture
def place(new_place: NewPlace) -> Place:
    made = new_place(PROGRAM)
    price = made.decimal("1.00")
    with made.unit() as unit:
        add(unit, "customers", key(1), "Ada", "ada@example.org", 0)
        for number in range(40):
            add(unit, "products", key(100 + number), f"S{number}", "N", price, 5)
        for order in (2, 3):
            add(unit, "orders", key(order), key(1), "pending", price, None, 0)
        for number in range(40):
            add(unit, "order_lines", key(200 + number), key(2), key(100 + number), 1, price)
    return made


def add(unit: Unit, name: str, *values: object) -> None:
    marks = ", ".join("?" * len(values))
    unit.conn.execute(f"INSERT INTO {name} VALUES ({marks})", values)  # type: ignore[arg-type]


class Counted:
    """Which statements ran in a place while it was open."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.statements: list[str] = []

    def __enter__(self) -> Self:
        self._before = len(self._place.statements)
        return self

    def __exit__(self, *_: object) -> None:
        self.statements = self._place.statements[self._before :]


def test_forty_lines_cost_as_many_statements_as_none(place: Place) -> None:
    reader = Reader(place.program, "Order", ("lines",))
    with place.unit(NOBODY) as unit, Counted(place) as counted:
        order = reader.find(unit, key(2))
    assert order is not None
    assert [line["id"] for line in order["lines"]] == [key(200 + each) for each in range(40)]  # type: ignore[attr-defined]
    assert len(counted.statements) == (1 if place.dialect.arrays else 2)
    with place.unit(NOBODY) as unit, Counted(place) as again:
        empty = reader.find(unit, key(3))
    assert len(again.statements) == len(counted.statements)
    assert empty is not None
    assert empty["lines"] == []


def test_an_included_reference_is_its_row_or_stays_a_key_for_those_who_may_not_read_it(
    place: Place,
) -> None:
    reader = Reader(place.program, "Order", ("customer",))
    with place.unit(STAFF_USER) as unit:
        seen = reader.find(unit, key(2))
    with place.unit(VISITOR) as unit:
        hidden = reader.find(unit, key(2))
    assert seen is not None
    assert hidden is not None
    assert seen["customer"]["email"] == "ada@example.org"  # type: ignore[index]
    assert hidden["customer"] == key(1)


def test_going_through_a_reference_twice_reads_its_row_once(place: Place) -> None:
    order = p.Name("order", p.RefType("Order"))
    both = p.binary("+", p.Get(order, "total", p.TOTAL), p.Get(order, "total", p.TOTAL), p.TOTAL)
    closure = compile_expr(place.program, both)
    with place.unit() as unit, Counted(place) as counted:
        assert str(closure(unit, {"order": key(2)})) == "2.00"
    assert len(counted.statements) == 1


def test_a_row_that_may_not_be_read_is_null_in_an_expression(place: Place) -> None:
    order = p.Name("order", p.RefType("Order"))
    email = p.Get(p.Get(order, "customer", p.RefType("Customer")), "email", p.STRING)
    closure = compile_expr(place.program, email)
    with place.unit(VISITOR) as unit:
        assert closure(unit, {"order": key(2)}) is None
    with place.unit(STAFF_USER) as unit:
        assert closure(unit, {"order": key(2)}) == "ada@example.org"


def test_aggregates_count_only_what_may_be_read(place: Place) -> None:
    count = compile_expr(place.program, p.Aggregate("count", "Customer", "", None, p.INT))
    average = compile_expr(place.program, p.Aggregate("avg", "Order", "total", None, p.TOTAL))
    nothing = compile_expr(
        place.program,
        p.Aggregate(
            "sum", "Order", "total", p.eq(p.Column("parcel", p.STRING), p.text("x")), p.TOTAL
        ),
    )
    with place.unit(STAFF_USER) as unit:
        assert count(unit, {}) == 1
    with place.unit(VISITOR) as unit:
        assert count(unit, {}) == 0
        assert str(average(unit, {})) == "1.00"
        assert nothing(unit, {}) == 0


def test_rows_are_related_to_rows_of_their_own_kind(new_place: NewPlace) -> None:
    part = p.Entity(
        "Part",
        "parts",
        (
            p.key(),
            p.Field("whole", p.RefType("Part")),
            p.Field("parts", p.ManyType("Part", "whole")),
        ),
    )
    place = new_place(p.program(part))
    with place.unit() as unit:
        add(unit, "parts", key(1), None)
        add(unit, "parts", key(2), key(1))
        add(unit, "parts", key(3), key(1))
        add(unit, "parts", key(4), key(3))
    reader = Reader(place.program, "Part", ("whole", "parts"))
    with place.unit() as unit:
        found = [reader.find(unit, key(each)) for each in (1, 3)]
    top = {"id": key(1), "whole": None}
    assert found == [
        {**top, "parts": [{"id": key(each), "whole": key(1)} for each in (2, 3)]},
        {"id": key(3), "whole": top, "parts": [{"id": key(4), "whole": key(3)}]},
    ]
