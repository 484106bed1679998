"""The shop's data: always the same bytes, and valid against its program."""

import json
import re
import subprocess
import sys
import uuid
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

SEED = Path(__file__).parents[2] / "examples" / "orders" / "seed.py"


def run() -> bytes:
    return subprocess.run([sys.executable, str(SEED)], capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in run().splitlines()]


def test_it_prints_the_same_bytes_every_time() -> None:
    assert run() == run()


def test_it_fills_a_shop_of_realistic_size(rows: list[dict[str, Any]]) -> None:
    assert Counter(row["entity"] for row in rows) == {"Product": 2_000, "Customer": 1_000}


def test_ids_are_version_7_and_ascend(rows: list[dict[str, Any]]) -> None:
    ids = [row["values"]["id"] for row in rows]
    assert ids == sorted(set(ids))
    assert {uuid.UUID(one).version for one in ids} == {7}


def test_what_must_be_unique_is_unique(rows: list[dict[str, Any]]) -> None:
    for entity, field in (("Product", "sku"), ("Product", "name"), ("Customer", "email")):
        values = [row["values"][field] for row in rows if row["entity"] == entity]
        assert len(values) == len(set(values))


def test_prices_and_stock_fit_the_program(rows: list[dict[str, Any]]) -> None:
    products = [row["values"] for row in rows if row["entity"] == "Product"]
    assert all(re.fullmatch(r"\d+\.\d\d", product["price"]) for product in products)
    assert all(Decimal(product["price"]) > 0 for product in products)
    stocks = [product["stock"] for product in products]
    assert min(stocks) == 0
    assert sum(stock == 0 for stock in stocks) < 100


def test_addresses_cannot_belong_to_anybody(rows: list[dict[str, Any]]) -> None:
    addresses = [row["values"]["email"] for row in rows if row["entity"] == "Customer"]
    assert all(address.endswith(".example") for address in addresses)
