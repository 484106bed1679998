"""Thousands of changed programs and queries: answered, laid out, never a crash.

`make torture` runs a hundred thousand; BACKSTAY_SEED makes another run of it.
"""

import os
from pathlib import Path

import pytest
from tests.lang.format.meant import respelled
from tests.lang.fuzz.fuzzing import Fuzzer
from tests.lang.test_hostile import work

from backstay.lang.api import check_text, parse_text
from backstay.lang.openapi import document
from backstay.lang.program import Program
from backstay.lang.query.compile import compile as compile_query
from backstay.lang.query.errors import QueryError
from backstay.lang.render import render

ROOT = Path(__file__).parents[3]
PROGRAMS = [
    path.read_text()
    for path in sorted(
        (*ROOT.glob("examples/**/*.cai"), *ROOT.glob("tests/lang/programs/**/*.cai"))
    )
]
CORPUS = [part for text in PROGRAMS for part in text.split("\n\n")]
QUERIES = [
    "select name, price from Product where stock > 0 and not (price < 1.5) order by price desc",
    "select from Order with customer where status in [paid, packed] limit 5 offset 2",
    "sum(total) from Order where created_at >= @since group by status having sum > 100",
    "update Product set stock = 5, name = 'x' where id = $key or sku like 'a%_'",
    "delete from Order where parcel is not null and total between 1 and 2",
    'sku:abc stock>1 or not (name:x "phrase" ~word)',
]


def judge(text: str) -> None:
    """All that a file goes through; what is sound is laid out and stays what it is."""
    program, found = check_text("a.cai", text)
    render(found, {"a.cai": text})
    if program is not None:
        document(program)
    if not parse_text("a.cai", text)[1]:
        respelled(text)


def test_a_thousand_changed_programs() -> None:
    fuzzer = Fuzzer(CORPUS, 1)
    fuzzer.run(1000, judge)
    assert fuzzer.kept > 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_changed_programs() -> None:
    fuzzer = Fuzzer(CORPUS, os.environ.get("BACKSTAY_SEED", "1"))
    fuzzer.run(100_000, judge)
    print(f"{len(fuzzer.coverage.seen)} lines reached, {fuzzer.kept} inputs kept")
    assert fuzzer.kept > 50


def test_two_thousand_changed_queries(orders: Program) -> None:
    kinds: set[str] = set()

    def ask(text: str) -> None:
        try:
            kinds.add(compile_query(orders, text, "postgres", "Product").sql.split()[0])
        except QueryError as bad:
            kinds.add(bad.kind)

    Fuzzer(QUERIES, 1).run(2000, ask)
    refusals = {"LexerError", "ParserError", "SemanticError", "CompilerError"}
    assert refusals < kinds
    assert kinds - refusals <= {"SELECT", "UPDATE", "DELETE"}


@pytest.mark.slow
def test_a_megabyte_takes_work_in_proportion() -> None:
    text = "\n".join(text for text in PROGRAMS if "exec" not in text)
    once, times = work(text), 1_000_000 // len(text)
    assert work(text * times) <= once * times * 1.01
