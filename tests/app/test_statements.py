"""The example's statements, run on a real SQLite file."""

from decimal import Decimal

import pytest
from tests.app import programs as p
from tests.app.support import STAFF_USER, VISITOR, NewPlace, Place

from backstay.app.plan.statements import compile_block
from backstay.app.plan.unit import Unit
from backstay.app.store.aim import aim
from backstay.app.store.schema import relations
from backstay.core.errors import Fault

PROGRAM = p.orders()
ADD_CUSTOMER = (
    p.Create("Customer", (("name", p.Name("n", p.STRING)), ("email", p.Name("e", p.STRING))), "c"),
)


@pytest.fixture
def place(new_place: NewPlace) -> Place:
    return new_place(PROGRAM)


def run(unit: Unit, statements: tuple[p.Statement, ...], **scope: object) -> dict[str, object]:
    variables = dict(scope)
    compile_block(aim(PROGRAM, unit.conn.dialect), statements)(unit, variables)
    return variables


def customer(unit: Unit, email: str = "ada@example.org") -> str:
    return run(unit, ADD_CUSTOMER, n="Ada", e=email)["c"]["id"]  # type: ignore[index, no-any-return]


def product(unit: Unit, sku: str = "A", price: str = "9.99", stock: int = 10) -> str:
    made = run(unit, p.ADD_PRODUCT, sku=sku, price=Decimal(price), stock=stock)
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
    assert place.all("SELECT total, status FROM orders") == [(place.decimal("21.48"), "pending")]
    lines = place.all('SELECT "order", product, quantity, unit_price FROM order_lines ORDER BY id')
    assert lines == [
        (order["id"], first, 2, place.decimal("9.99")),
        (order["id"], second, 3, place.decimal("0.50")),
    ]
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
    assert place.all("SELECT orders, revenue FROM daily_sales") == [(3, place.decimal("0.90"))]


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


def test_a_row_that_others_refer_to_cannot_be_deleted(place: Place) -> None:
    with place.unit() as unit:
        thing, spare = product(unit, "A"), product(unit, "B")
        place_order(unit, (thing, 1))
    delete = compile_block(
        place.program, [p.Delete("Product", p.eq(p.Column("id", p.UUID), p.Name("k", p.UUID)))]
    )
    with place.unit() as unit:
        delete(unit, {"k": spare})
    with pytest.raises(Fault) as caught, place.unit() as unit:
        delete(unit, {"k": thing})
    assert caught.value.entry.code == "APP019"
    assert caught.value.message == "Product cannot be deleted: OrderLine.product refers to it"
    assert place.all("SELECT id FROM products") == [(thing,)]


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (
            p.binary("-", p.Column("stock", p.INT), p.Constant(99, p.INT), p.INT),
            "APP020",
            "Product.stock would break its rule: at least 0",
        ),
        (
            p.binary("*", p.Column("stock", p.INT), p.Constant(2**62, p.INT), p.INT),
            "APP020",
            "Product.stock would break its rule: at most 64 bits",
        ),
        (p.Constant(None, p.INT), "APP022", "Product.stock is required and got no value"),
        (
            p.Name("given", p.UnknownType()),
            "APP021",
            'Product.stock: expected a whole number, got "many"',
        ),
    ],
)
def test_a_change_that_breaks_a_rule_names_field_and_rule(
    place: Place, change: p.Expr, code: str, says: str
) -> None:
    with place.unit() as unit:
        product(unit, stock=10)
    with pytest.raises(Fault) as caught, place.unit() as unit:
        run(unit, (p.Update("Product", p.TRUE, (("stock", change),)),), given="many")
    assert (caught.value.entry.code, caught.value.message) == (code, says)
    assert place.all("SELECT stock FROM products") == [(10,)]


def test_someone_who_sees_a_row_but_may_not_change_it_is_told_so(place: Place) -> None:
    with place.unit() as unit:
        thing = product(unit)
    change = (
        p.Update(
            "Product",
            p.eq(p.Column("id", p.UUID), p.text(thing)),
            (("stock", p.Constant(1, p.INT)),),
            p.Fail(p.text("gone")),
        ),
    )
    with pytest.raises(Fault) as caught, place.unit(VISITOR) as unit:
        run(unit, change)
    assert caught.value.entry.status == 403
    with place.unit(STAFF_USER) as unit:
        run(unit, change)
    assert place.all("SELECT stock FROM products") == [(1,)]
    absent = (
        p.Update(
            "Product",
            p.eq(p.Column("sku", p.STRING), p.text("none")),
            (("stock", p.Constant(1, p.INT)),),
            p.Fail(p.text("gone")),
        ),
    )
    with pytest.raises(Fault) as caught, place.unit(VISITOR) as unit:
        run(unit, absent)
    assert caught.value.message == "gone"


def test_a_text_with_holes_takes_null_as_nothing(place: Place) -> None:
    message = p.binary(
        "+",
        p.text("a"),
        p.binary(
            "+", p.Name("x", p.STRING), p.Call("text", (p.Name("y", p.MONEY),), p.STRING), p.STRING
        ),
        p.STRING,
    )
    with place.unit() as unit:
        for x, y, says in ((None, None, "a"), ("-", Decimal("1.5"), "a-1.50")):
            with pytest.raises(Fault) as caught:
                run(unit, (p.Fail(message, 418),), x=x, y=y)
            assert (caught.value.message, caught.value.entry.status) == (says, 418)


def test_names_of_a_branch_end_with_it_and_loops_see_each_item(place: Place) -> None:
    seen = p.Name("seen", p.INT)
    body = (
        p.Let("seen", p.Constant(1, p.INT)),
        p.If(p.TRUE, (p.Let("seen", p.Constant(2, p.INT)),)),
        p.For(
            "n",
            p.Name("numbers", p.ListType(p.INT)),
            (
                p.If(
                    p.eq(p.Name("n", p.INT), p.Constant(3, p.INT)),
                    (p.Fail(p.Call("text", (seen,), p.STRING)),),
                ),
            ),
        ),
    )
    with place.unit() as unit:
        assert run(unit, body, numbers=[1, 2])["seen"] == 1
        with pytest.raises(Fault) as caught:
            run(unit, body, numbers=[1, 3])
        assert caught.value.message == "1"


def test_the_example_in_the_repository_has_the_tables_of_the_one_made_by_hand() -> None:
    assert relations(p.checked_orders()) == relations(PROGRAM)
