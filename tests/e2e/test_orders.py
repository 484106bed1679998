"""The main job on real input: an order from the gateway to the parcel, and back again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.stack import Stack, check_shop, running, until


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("shop")) as stack:
        yield stack


def _status(shop: Stack, order: str) -> str:
    return str(shop.ask("GET", f"/api/v1/orders/{order}").json["status"])


def _fulfilled(shop: Stack, order: str) -> None:
    until(lambda: _status(shop, order) == "fulfilled", 20, lambda: _status(shop, order))


def test_an_order_goes_from_the_shelf_to_the_parcel(shop: Stack) -> None:
    product = shop.products(1)[0]
    answer = shop.order(shop.customer(), [(product["id"], 2)])
    assert answer is not None
    assert answer.status == 201, answer.body
    order = answer.json
    assert order["status"] == "pending"
    assert [line["quantity"] for line in order["lines"]] == [2]
    _fulfilled(shop, order["id"])
    assert shop.ask("GET", f"/api/v1/orders/{order['id']}").json["parcel"].startswith("P-")
    after = shop.ask("GET", f"/api/v1/products/{product['id']}").json
    assert after["stock"] == product["stock"] - 2
    check_shop(shop, {product["id"]: product["stock"]}, [order["id"]])


def test_the_same_idempotency_key_is_one_order(shop: Stack) -> None:
    product = shop.products(2)[1]
    customer = shop.customer()
    first = shop.order(customer, [(product["id"], 1)], key="basket-1")
    again = shop.order(customer, [(product["id"], 1)], key="basket-1")
    assert first is not None
    assert again is not None
    assert (first.status, again.status) == (201, 201)
    assert first.json["id"] == again.json["id"]
    other = shop.order(customer, [(product["id"], 2)], key="basket-1")
    assert other is not None
    assert other.status == 409


def test_an_order_beyond_the_stock_is_cancelled_and_costs_nothing(shop: Stack) -> None:
    products = shop.products(40)
    short = min(products, key=lambda product: product["stock"])
    if short["stock"] >= 100:
        pytest.fail("the seed has no product that can be sold out in one order")
    quantity = short["stock"] + 1
    answer = shop.order(shop.customer(), [(short["id"], quantity)])
    assert answer is not None
    order = answer.json["id"]
    until(lambda: _status(shop, order) == "cancelled", 20, lambda: _status(shop, order))
    assert shop.ask("GET", f"/api/v1/products/{short['id']}").json["stock"] == short["stock"]
    assert [entry for entry in shop.ledger() if entry["order"] == order] == []


def test_a_refund_wants_a_token_with_the_role(shop: Stack) -> None:
    product = shop.products(3)[2]
    answer = shop.order(shop.customer(), [(product["id"], 1)])
    assert answer is not None
    order = answer.json["id"]
    _fulfilled(shop, order)
    path = f"/api/v1/orders/{order}/refund"
    refused = shop.ask("POST", path)
    assert (refused.status, refused.json["code"]) == (401, "AUTH005")
    wrong_role = shop.ask(
        "POST", path, headers={"Authorization": f"Bearer {shop.token('visitor')}"}
    )
    assert wrong_role.status == 403
    granted = shop.ask("POST", path, headers={"Authorization": f"Bearer {shop.token('staff')}"})
    assert granted.status == 202, granted.body
    until(
        lambda: any(e["kind"] == "refund" and e["order"] == order for e in shop.ledger()),
        20,
        lambda: "no refund in the ledger",
    )
    assert _status(shop, order) == "refunded"
    twice = shop.ask("POST", path, headers={"Authorization": f"Bearer {shop.token('staff')}"})
    assert twice.status == 409


def test_the_catalogue_filters_sorts_and_pages(shop: Stack) -> None:
    cheap = shop.ask("GET", "/api/v1/products?price[lte]=20&sort=-price,name&limit=50").json
    prices = [float(product["price"]) for product in cheap["data"]]
    assert prices
    assert prices == sorted(prices, reverse=True)
    assert max(prices) <= 20
    ids = [product["id"] for product in shop.pages("/api/v1/products?sort=name")]
    assert len(ids) == len(set(ids)) == 2000


def test_the_nightly_job_counts_what_was_sold(shop: Stack) -> None:
    ran = shop.ask("POST", "/api/v1/jobs/nightly_sales/run")
    assert ran.status in (200, 202), ran.body


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/v1/orders", {"lines": []}, 422),
        ("POST", "/api/v1/orders", [1], 422),
        ("DELETE", "/api/v1/products", None, 405),
        ("GET", "/api/v1/nowhere", None, 404),
        ("GET", "/nowhere", None, 404),
        ("GET", "/api/v1/products/not-a-uuid", None, 400),
        ("GET", "/api/v1/products?colour=red", None, 400),
    ],
)
def test_bad_input_has_its_code(
    shop: Stack, method: str, path: str, body: object, status: int
) -> None:
    answer = shop.ask(method, path, body)
    assert answer.status in (status, 400 if status == 422 else status), answer.body
    assert answer.json["code"]
    assert answer.json["error"]
    assert answer.headers["x-request-id"]
    assert b"Traceback" not in answer.body


def test_ctrl_c_drains_leaves_nothing_and_the_data_is_found_again(tmp_path: Path) -> None:
    with running(tmp_path) as stack:
        product = stack.products(1)[0]
        answer = stack.order(stack.customer(), [(product["id"], 1)])
        assert answer is not None
        order = answer.json["id"]
        assert stack.stop() == 0
        until(lambda: not stack.children(), 5, lambda: f"left running: {stack.children()}")
        stack.start()
        _fulfilled(stack, order)
