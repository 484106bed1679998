"""The orders example over HTTP: what a client sends, what it gets, what is stored."""

import asyncio
from pathlib import Path

import pytest
from tests.app import programs as p
from tests.app.serving import ANONYMOUS, BUYER, STAFF, Answer, Served, served
from tests.app.support import NewDatabase

ADA = "00000000-0000-7000-8000-0000000000a1"
MUG = "00000000-0000-7000-8000-0000000000b1"
PEN = "00000000-0000-7000-8000-0000000000b2"
NOBODY = "00000000-0000-7000-8000-00000000ffff"


@pytest.fixture
async def shop(tmp_path: Path, new_database: NewDatabase):
    async with served(p.checked_orders(), tmp_path, database=new_database()) as app:
        answer = await app.seed(
            ("Customer", {"id": ADA, "name": "Ada", "email": "ada@example.org"}),
            ("Product", {"id": MUG, "sku": "MUG", "name": "Mug", "price": "9.99", "stock": 20}),
            ("Product", {"id": PEN, "sku": "PEN", "name": "Pen", "price": "0.50", "stock": 500}),
        )
        assert answer.json == {"seeded": 3}
        yield app


def order(*lines: tuple[str, int]) -> dict[str, object]:
    return {
        "customer": ADA,
        "lines": [{"product": product, "quantity": quantity} for product, quantity in lines],
    }


def errors(answer: Answer) -> dict[str, str]:
    listed = answer["values"]["errors"]  # type: ignore[index]
    return {each["field"]: each["message"] for each in listed}


async def test_an_order_is_stored_with_its_lines_and_answered_with_them(shop: Served) -> None:
    made = await shop.ask("POST", "/orders", order((MUG, 2), (PEN, 3)), who=ANONYMOUS)
    assert made.status == 201, made.body
    assert made["total"] == "21.48"
    assert made["status"] == "pending"
    assert [(line["product"], line["unit_price"]) for line in made["lines"]] == [  # type: ignore[attr-defined]
        (MUG, "9.99"),
        (PEN, "0.50"),
    ]
    found = await shop.ask("GET", f"/orders/{made['id']}", who=ANONYMOUS)
    assert found.body == made.body
    assert str(made["created_at"]).endswith("Z")


async def test_every_mistake_of_a_body_is_named_at_once(shop: Served) -> None:
    raw = (
        b'{"customer": "nobody", "colour": 1, "lines": ['
        b'{"product": "' + MUG.encode() + b'", "quantity": 0},'
        b'{"quantity": "two", "quantity": "two"},'
        b'{"product": "' + MUG.encode() + b'", "quantty": 1, "quantity": 101}]}'
    )
    answer = await shop.ask("POST", "/orders", raw=raw)
    assert answer.status == 422
    assert answer["code"] == "APP011"
    assert errors(answer) == {
        "customer": 'expected a uuid, got "nobody"',
        "colour": "is not known; known are: customer, lines",
        "lines[0].quantity": "must be at least 1",
        "lines[1].product": "is required",
        "lines[1].quantity": 'expected a whole number, got "two"',
        "lines[2].quantty": "is not known; did you mean quantity?",
        "lines[2].quantity": "must be at most 100",
    } | {"lines[1].quantity": 'expected a whole number, got "two"'}
    assert answer.body.count(b"is given twice") == 1


async def test_references_that_point_nowhere_are_named_by_their_place(shop: Served) -> None:
    answer = await shop.ask("POST", "/orders", order((MUG, 1), (NOBODY, 1)))
    assert answer.status == 422
    assert errors(answer) == {"lines[1].product": f"no Product has the key {NOBODY}"}
    assert await shop.rows("SELECT count(*) FROM orders") == [(0,)]


BAD_INPUT = [
    ("POST", "/orders", b"{", 400, "APP010"),
    ("POST", "/orders", b"", 400, "APP010"),
    ("POST", "/orders", b"\xff\xfe", 400, "APP010"),
    ("POST", "/orders", b"[" * 100_000, 400, "APP010"),
    ("POST", "/orders", b"[]", 422, "APP011"),
    ("POST", "/orders", b"null", 422, "APP011"),
    ("POST", "/orders", b'{"customer": NaN}', 400, "APP010"),
    ("POST", "/orders", b'{"customer": "\\ud800", "lines": 1' + b"9" * 5000 + b"}", 400, "APP010"),
    ("POST", "/orders", b" " * 1_100_000, 413, "CORE103"),
    ("GET", "/orders/not-a-uuid", None, 400, "APP012"),
    ("GET", f"/orders/{NOBODY}", None, 404, "APP013"),
    ("GET", "/orders?colour=red", None, 400, "APP012"),
    ("GET", "/orders?status=lost", None, 400, "APP012"),
    ("GET", "/orders?total[gte]=ten", None, 400, "APP012"),
    ("GET", "/orders?total[near]=10", None, 400, "APP012"),
    ("GET", "/orders?status[gt]=paid", None, 400, "APP012"),
    ("GET", "/orders?sort=parcel", None, 400, "APP012"),
    ("GET", "/orders?sort=total,total", None, 400, "APP012"),
    ("GET", "/orders?limit=0", None, 400, "APP012"),
    ("GET", "/orders?limit=101", None, 400, "APP012"),
    ("GET", "/orders?page=-1", None, 400, "APP012"),
    ("GET", "/orders?cursor=xyz", None, 400, "APP012"),
    ("GET", "/orders?limit=1&limit=2", None, 400, "APP012"),
    ("GET", "/products?name=%00", None, 400, "APP012"),
    ("GET", "/nowhere", None, 404, "CORE101"),
    ("DELETE", "/orders", None, 405, "CORE102"),
]


@pytest.mark.parametrize(("method", "path", "raw", "status", "code"), BAD_INPUT)
async def test_bad_input_gets_its_code(
    shop: Served, method: str, path: str, raw: bytes | None, status: int, code: str
) -> None:
    answer = await shop.ask(method, path, raw=raw)
    assert (answer.status, answer["code"]) == (status, code), answer.body[:300]
    assert answer["error"]
    assert answer.headers["content-type"] == "application/problem+json"


async def test_concurrent_orders_take_each_piece_of_stock_once(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    take = p.Endpoint(
        "POST",
        "/take",
        "public",
        p.Action(
            (
                p.Update(
                    "Product",
                    p.both(
                        p.eq(p.Column("id", p.UUID), p.text(MUG)),
                        p.binary(">=", p.Column("stock", p.INT), p.QTY),
                    ),
                    (("stock", p.binary("-", p.Column("stock", p.INT), p.QTY, p.INT)),),
                    p.Fail(p.text("out of stock")),
                ),
            )
        ),
        body=p.RecordType((p.Field("quantity", p.INT, required=True),)),
    )
    product = p.replace(p.PRODUCT, access=p.Access())
    program = p.program(product, endpoints=(take,))
    async with served(program, tmp_path, database=new_database()) as app:
        await app.seed(
            ("Product", {"id": MUG, "sku": "M", "name": "M", "price": "1", "stock": 100})
        )
        sizes = [1 + each % 5 for each in range(50)]
        answers = await asyncio.gather(
            *(app.ask("POST", "/take", {"quantity": size}) for size in sizes)
        )
        assert {answer.status for answer in answers} == {204, 409}
        taken = sum(size for size, a in zip(sizes, answers, strict=True) if a.status == 204)
        assert await app.rows("SELECT stock FROM products") == [(100 - taken,)]
        assert 95 < taken <= 100


async def test_many_at_once_with_keys_of_their_own_are_all_done_and_each_key_once(
    shop: Served,
) -> None:
    """Serializable transactions that look where others write are turned away: keys are looked for
    outside of them."""
    keys = [f"key-{number}" for number in range(40)]
    answers = await asyncio.gather(
        *(
            shop.ask("POST", "/orders", order((MUG, 1)), headers={"idempotency-key": key})
            for key in [*keys, *keys]
        )
    )
    assert {answer.status for answer in answers} == {201}
    first, second = answers[:40], answers[40:]
    assert [answer.body for answer in first] == [answer.body for answer in second]
    assert await shop.rows("SELECT count(*) FROM orders") == [(40,)]


async def test_who_may_what(shop: Served) -> None:
    made = await shop.ask("POST", "/orders", order((MUG, 1)), who=BUYER)
    refund = f"/orders/{made['id']}/refund"
    assert (await shop.ask("POST", refund, who=ANONYMOUS)).status == 401
    without_token = await shop.ask("POST", refund)
    assert (without_token.status, without_token["code"]) == (401, "AUTH005")
    assert (await shop.ask("POST", refund, who=BUYER)).status == 403
    not_yet = await shop.ask("POST", refund, who=STAFF)
    assert not_yet.status == 409
    assert not_yet["error"] == f"order {made['id']} is not fulfilled, so it cannot be refunded"
    await shop.runtime.database.write(
        lambda conn: list(conn.execute("UPDATE orders SET status='fulfilled'"))
    )
    done = await shop.ask("POST", refund, who=STAFF)
    assert done.status == 202
    assert done["order"] == made["id"]
    assert done["execution"]
    assert (await shop.ask("GET", "/customers")).status == 401
    assert (await shop.ask("GET", "/customers", who=BUYER)).status == 403
    assert len((await shop.ask("GET", "/customers", who=STAFF))["data"]) == 1  # type: ignore[arg-type]


async def test_seeding_needs_the_admin_scope_happens_once_and_whole(shop: Served) -> None:
    line = b'{"entity":"Customer","values":{"name":"Bob","email":"bob@example.org"}}'
    again = await shop.ask("POST", "/admin/seed", raw=line, headers={"x-seed-id": "s1"})
    assert again.json == {"seeded": 0, "already": True}
    refused = await shop.ask(
        "POST", "/admin/seed", raw=line, headers={"x-seed-id": "s2"}, who=STAFF
    )
    assert refused.status == 403
    bad = await shop.ask(
        "POST", "/admin/seed", raw=line + b"\n" + line, headers={"x-seed-id": "s2"}
    )
    assert (bad.status, bad["code"]) == (422, "APP026")
    assert str(bad["error"]).startswith("line 2 of the seed: Customer.email is taken")
    entities = (await shop.ask("GET", "/admin/entities"))["data"]
    counted = {each["entity"]: each["rows"] for each in entities}  # type: ignore[attr-defined]
    assert counted["Customer"] == 1
    assert counted["Product"] == 2


async def test_the_same_idempotency_key_gives_the_first_answer(shop: Served) -> None:
    headers = {"idempotency-key": "k-1"}
    first = await shop.ask("POST", "/orders", order((MUG, 1)), headers=headers)
    again = await shop.ask("POST", "/orders", order((MUG, 1)), headers=headers)
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["idempotency-replayed"] == "true"
    assert await shop.rows("SELECT count(*) FROM orders") == [(1,)]
    other = await shop.ask("POST", "/orders", order((MUG, 2)), headers=headers)
    assert (other.status, other["code"]) == (409, "APP024")
    somebody_else = await shop.ask("POST", "/orders", order((MUG, 2)), headers=headers, who=BUYER)
    assert somebody_else.status == 201
    spaced = await shop.ask("POST", "/orders", order((MUG, 2)), headers={"idempotency-key": "a b"})
    assert (spaced.status, spaced["code"]) == (400, "APP025")


async def test_many_requests_with_one_key_at_once_make_one_order(shop: Served) -> None:
    headers = {"idempotency-key": "k-2"}
    answers = await asyncio.gather(
        *(shop.ask("POST", "/orders", order((PEN, 1)), headers=headers) for _ in range(20))
    )
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    assert await shop.rows("SELECT count(*) FROM orders") == [(1,)]
