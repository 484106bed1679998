"""The example's statements, run on a real SQLite file."""

from decimal import Decimal
from pathlib import Path

import pytest
from tests.app import programs as p
from tests.app.support import STAFF_USER, VISITOR, Place

from backstay.app.plan.statements import compile_block
from backstay.app.plan.unit import Unit
from backstay.core.errors import Fault

PROGRAM = p.orders()
ADD_CUSTOMER = (
    p.Create("Customer", (("name", p.Name("n", p.STRING)), ("email", p.Name("e", p.STRING))), "c"),
)
ADD_PRODUCT = (
    p.Create(
        "Product",
        (
            ("sku", p.Name("sku", p.STRING)),
            ("name", p.Name("sku", p.STRING)),
            ("price", p.Name("price", p.MONEY)),
            ("stock", p.Name("stock", p.INT)),
        ),
        "product",
    ),
)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "app.db", PROGRAM)


def run(unit: Unit, statements: tuple[p.Statement, ...], **scope: object) -> dict[str, object]:
    variables = dict(scope)
    compile_block(PROGRAM, statements)(unit, variables)
    return variables


def customer(unit: Unit, email: str = "ada@example.org") -> str:
    return run(unit, ADD_CUSTOMER, n="Ada", e=email)["c"]["id"]  # type: ignore[index, no-any-return]


def product(unit: Unit, sku: str = "A", price: str = "9.99", stock: int = 10) -> str:
    made = run(unit, ADD_PRODUCT, sku=sku, price=Decimal(price), stock=stock)
    return made["product"]["id"]  # type: ignore[index, no-any-return]


def place_order(unit: Unit, *quantities: tuple[str, int]) -> dict[str, object]:
    lines = [{"product": key, "quantity": quantity} for key, quantity in quantities]
    scope = run(unit, p.PLACE_ORDER, body={"customer": customer(unit), "lines": lines})
    return scope["order"]  # type: ignore[return-value]


def test_a_nested_create_stores_the_order_with_its_lines_and_starts_the_workflow(
    place: Place,
) -> None:
    with place.unit() as unit:
        first, second = product(unit, "A", "9.99"), product(unit, "B", "0.50")
        order = place_order(unit, (first, 2), (second, 3))
    assert order["total"] == Decimal("21.48")
    assert order["status"] == "pending"
    assert place.all("SELECT total, status FROM orders") == [(2148, "pending")]
    lines = place.all('SELECT "order", product, quantity, unit_price FROM order_lines ORDER BY id')
    assert lines == [(order["id"], first, 2, 999), (order["id"], second, 3, 50)]
    assert place.started == [("fulfil_order", {"order": order["id"]})]


def test_a_line_that_breaks_a_rule_leaves_nothing_of_the_order(place: Place) -> None:
    with place.unit() as unit:
        thing = product(unit)
    with pytest.raises(Fault) as caught, place.unit() as unit:
        place_order(unit, (thing, 1), (thing, 5000))
    assert caught.value.entry.code == "APP020"
    assert caught.value.values["field"] == "quantity"
    assert place.all("SELECT count(*) FROM orders") == [(0,)]
    assert place.all("SELECT count(*) FROM order_lines") == [(0,)]


def test_a_conditional_update_takes_stock_once_and_names_what_is_missing(place: Place) -> None:
    with place.unit() as unit:
        thing = product(unit, stock=3)
        order = place_order(unit, (thing, 2))
        run(unit, p.RESERVE, order=order["id"])
    assert place.all("SELECT stock FROM products") == [(1,)]
    assert place.all("SELECT status FROM orders") == [("reserved",)]
    with pytest.raises(Fault) as caught, place.unit() as unit:
        run(unit, p.RESERVE, order=order["id"])
    assert caught.value.entry.status == 409
    assert caught.value.message == f"product {thing} is out of stock"
    with place.unit() as unit:
        run(unit, p.PUT_BACK, order=order["id"])
    assert place.all("SELECT stock FROM products") == [(3,)]


def test_a_step_writes_what_an_earlier_step_gave(place: Place) -> None:
    with place.unit() as unit:
        order = place_order(unit, (product(unit), 1))
        run(unit, p.NOTIFY, order=order["id"], steps={"pack": {"parcel": "P-7"}})
    assert place.all("SELECT status, parcel FROM orders") == [("fulfilled", "P-7")]
    assert place.all("SELECT text FROM notifications") == [("Your parcel P-7 is on its way",)]


def test_a_job_counts_and_sums_exactly(place: Place) -> None:
    with place.unit() as unit:
        thing = product(unit, price="0.10")
        body = {"customer": customer(unit), "lines": [{"product": thing, "quantity": 3}]}
        for _ in range(3):
            run(unit, p.PLACE_ORDER, body=body)
        unit.conn.execute("UPDATE orders SET status='fulfilled'")
        run(unit, p.NIGHTLY.body)
    assert place.all("SELECT orders, revenue FROM daily_sales") == [(3, 90)]


def test_rules_hold_for_people_and_not_for_the_system(place: Place) -> None:
    with place.unit(STAFF_USER) as unit:
        customer(unit)
    with pytest.raises(Fault) as caught, place.unit(VISITOR) as unit:
        customer(unit, "bob@example.org")
    assert caught.value.entry.status == 403
    assert place.all("SELECT email FROM customers") == [("ada@example.org",)]


def test_a_taken_value_names_the_field(place: Place) -> None:
    with place.unit() as unit:
        customer(unit)
    with pytest.raises(Fault) as caught, place.unit() as unit:
        customer(unit)
    assert caught.value.entry.code == "APP017"
    assert caught.value.values == {
        "entity": "Customer",
        "field": "email",
        "value": "ada@example.org",
    }


def test_a_reference_to_nothing_names_the_field(place: Place) -> None:
    absent = "00000000-0000-7000-8000-000000000000"
    body = {"customer": absent, "lines": []}
    with pytest.raises(Fault) as caught, place.unit() as unit:
        run(unit, p.PLACE_ORDER, body=body)
    assert caught.value.entry.code == "APP018"
    assert caught.value.values["field"] == "customer"
