"""What expressions and statements of `do` come to: a real server, on each database."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.app.serving import served

from backstay.app.plan.endpoints import compile_endpoints
from backstay.app.plan.unit import MAX_CALLS, MAX_DEPTH
from backstay.app.store.session import Database
from backstay.app.unsupported import problems
from backstay.app.values import plain
from backstay.core.errors import Fault
from backstay.lang.api import check_text
from backstay.lang.library.values import Duration, Timestamp
from backstay.lang.program import Program

SOURCE = """
entity Item {
  id: uuid, primary, auto
  name: string, required
  stock: int, required
  price: decimal(8, 2), required
  made: timestamp
  access { read: true, write: true }
}

function postage(weight: int) -> decimal(6, 2) {
  if weight > 2000 { return 7.50 }
  return weight > 500 ? 4.20 : 1.80
}

function factorial(n: int) -> int {
  if n < 2 { return 1 }
  return n * factorial(n - 1)
}

function later(at, wait) {
  return at + wait
}

function half(value) {
  return value / 2
}

function longest(words: list(string)) -> string {
  var best = ""
  for word in words {
    if len(word) > len(best) { best = word }
  }
  return best
}

function shelve(name: string, price: decimal(8, 2)) {
  create Item { name: name, stock: 1, price: price, made: now() }
}

function counted(n) {
  if n { return "some" }
  return "none"
}

function endless(n: int) -> int { return endless(n + 1) }

endpoint POST /sums {
  auth: public
  body { words: list(string), weight: int, at: timestamp, price: decimal(8, 2), n: int }
  do {
    var total = 0
    var last = ""
    for word in body.words {
      if len(word) > 1 {
        total = total + len(word)
        last = word
      } else {
        var other = word
        last = other
      }
    }
    var due = body.at
    for _ in range(0, 2) { due = due + 1h }
    let picked = [postage(body.weight), body.price]
    return {
      postage: postage(body.weight),
      ladder: body.n > 10 ? "many" : body.n > 0 ? "few" : "none",
      rest: body.n % 3,
      minus: (0 - body.n) % 3,
      exact: body.price % 0.25,
      second: body.words[1],
      picked: picked,
      factorial: factorial(5),
      longest: longest(body.words),
      later: later(body.at, 1h),
      half: half(7),
      total: total,
      last: last,
      due: due,
      mode: env("MODE", "plain"),
      some: counted(body.n),
      chance: random() < 1,
      upper: map(filter(body.words, w => w != ""), w => upper(w))[0],
    }
  }
}

endpoint POST /items {
  auth: public
  body { name: string, required, price: decimal(8, 2), required }
  do {
    shelve(body.name, body.price)
    log_info("shelved {body.name}")
    let found = count(Item where name == body.name)
    return { found: found }
  }
}

endpoint GET /odd {
  auth: public
  query { by: int, default(2), limit_of: decimal(8, 2), default(5) }
  returns: paginated(Item)
  where: stock % query.by == 1 and (stock > 3 ? price : price * 2) > query.limit_of
  filter: [name]
}

endpoint PUT /items/{id} {
  auth: public
  path { id: uuid }
  do {
    update Item where id == path.id { stock: stock > 2 ? stock % 3 : stock + factorial(2) * 5 }
      else fail 404 "gone"
    let row = count(Item where id == path.id and stock < 3)
    return { small: row }
  }
}

endpoint POST /deep { auth: public, do { return { n: endless(0) } } }
"""

ASKED = {
    "words": ["oak", "x", "maple"],
    "weight": 700,
    "at": "2026-01-01T00:00:00Z",
    "price": "10.30",
    "n": 7,
}
NewDatabase = Callable[[], Database]


def checked(text: str) -> Program:
    program, found = check_text("app.cai", text)
    assert program is not None, found
    assert [str(each) for each in problems(program)] == []
    return program


async def test_expressions_and_functions_answer(tmp_path: Path, new_database: NewDatabase) -> None:
    async with served(checked(SOURCE), tmp_path, database=new_database(), env={"MODE": "x"}) as app:
        answer = await app.ask("POST", "/sums", ASKED)
        assert answer.status == 200, answer.body
        assert answer.json == {
            "postage": "4.20",
            "ladder": "few",
            "rest": 1,
            "minus": -1,
            "exact": "0.05",
            "second": "x",
            "picked": ["4.20", "10.30"],
            "factorial": 120,
            "longest": "maple",
            "later": "2026-01-01T01:00:00.000000Z",
            "half": 3,
            "total": 8,
            "last": "maple",
            "due": "2026-01-01T02:00:00.000000Z",
            "mode": "x",
            "some": "some",
            "chance": True,
            "upper": "OAK",
        }
        changed = {**ASKED, "n": 0, "weight": 1, "words": ["a", "b"]}
        answer = await app.ask("POST", "/sums", changed)
        assert (answer["postage"], answer["ladder"], answer["some"]) == ("1.80", "none", "none")
        assert (answer["total"], answer["last"]) == (0, "b")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"words": ["one"]}, "the list has 1 items, there is none at 1"),
        ({"words": None}, "null[int] is nothing"),
    ],
)
async def test_an_item_that_is_not_there_is_a_mistake_of_the_request(
    change: dict[str, object], says: str, tmp_path: Path, new_database: NewDatabase
) -> None:
    async with served(checked(SOURCE), tmp_path, database=new_database()) as app:
        answer = await app.ask("POST", "/sums", {**ASKED, **change})
        assert (answer.status, answer["code"]) == (422, "APP023"), answer.body
        assert says in answer.body.decode()


async def test_a_function_writes_where_its_statement_stands(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    async with served(checked(SOURCE), tmp_path, database=new_database()) as app:
        for count in (1, 2):
            answer = await app.ask("POST", "/items", {"name": "lamp", "price": "3.00"})
            assert (answer.status, answer.json) == (200, {"found": count}), answer.body


async def test_conditions_on_rows_are_asked_of_the_database(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    rows = [("a", 1, "2.60"), ("b", 3, "2.50"), ("c", 5, "4.00"), ("d", 7, "5.01"), ("e", 4, "9")]
    async with served(checked(SOURCE), tmp_path, database=new_database()) as app:
        for name, stock, price in rows:
            line = ("Item", {"name": name, "stock": stock, "price": price})
            assert (await app.seed(line, id=name)).status == 200
        answer = await app.ask("GET", "/odd")
        data = answer["data"]
        assert isinstance(data, list)
        assert sorted(each["name"] for each in data) == ["a", "d"]
        keys = {each["name"]: each["id"] for each in data}
        for name, small in (("a", 0), ("d", 1)):
            answer = await app.ask("PUT", f"/items/{keys[name]}")
            assert (answer.status, answer.json) == (200, {"small": small}), answer.body


async def test_calls_that_never_end_are_stopped(tmp_path: Path, new_database: NewDatabase) -> None:
    async with served(checked(SOURCE), tmp_path, database=new_database()) as app:
        answer = await app.ask("POST", "/deep")
        assert (answer.status, answer["code"]) == (422, "APP023")
        assert f"nested deeper than {MAX_DEPTH}" in answer.body.decode()


async def test_calls_with_high_expressions_are_stopped(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    high = "high(n + 1)" + " + 1" * 80
    source = f"function high(n: int) -> int {{ return {high} }}\n"
    source += "endpoint POST /high { auth: public, do { return { n: high(0) } } }"
    async with served(checked(source), tmp_path, database=new_database()) as app:
        answer = await app.ask("POST", "/high")
        assert (answer.status, answer["code"]) == (422, "APP023")
        assert "nested" in answer.body.decode()


async def test_calls_that_grow_in_numbers_are_stopped(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    twice = "function twice(n: int) -> int { return n == 0 ? 0 : twice(n - 1) + twice(n - 1) }"
    source = f"{twice}\nendpoint POST /wide {{ auth: public, do {{ return {{ n: twice(30) }} }} }}"
    async with served(checked(source), tmp_path, database=new_database()) as app:
        answer = await app.ask("POST", "/wide")
        assert (answer.status, answer["code"]) == (422, "APP023")
        assert f"more than {MAX_CALLS} calls" in answer.body.decode()


BASE = "entity Item { id: uuid, primary, auto\n n: int\n s: string }\n"
LISTED = "endpoint GET /a { returns: paginated(Item)\n where: "


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            f"function put() {{ create Item {{ n: 1 }} }}\n{LISTED}n == put() }}",
            "the function put changes rows, and is called where nothing is",
        ),
        (
            f"function one(n) {{ return n }}\n{LISTED}one(n) == 1 }}",
            "Item: the function one() of a column cannot be done by the database",
        ),
        (
            LISTED + 'upper(s) == "A" }',
            "Item: the function upper() of a column cannot be done by the database",
        ),
        (
            LISTED + "[n, 2][0] == 1 }",
            "Item: [ ] of a column cannot be done by the database",
        ),
    ],
)
def test_what_no_condition_can_say_is_refused_before_anything_is_served(
    text: str, says: str
) -> None:
    program, found = check_text("app.cai", BASE + text)
    assert program is not None, found
    with pytest.raises(Fault) as refused:
        compile_endpoints(program)
    assert refused.value.entry.code in ("APP004", "APP005")
    assert says in refused.value.message


def test_an_action_that_no_transaction_can_do_is_refused_by_its_place() -> None:
    text = BASE + 'endpoint POST /a { do {\n  let n = 1\n  email("a@b.c")\n  return n } }'
    program, found = check_text("app.cai", text)
    assert program is not None, found
    (problem,) = problems(program)
    assert str(problem).startswith("app.cai:6:3: this action as a statement is not supported")


def test_json_of_a_moment_without_a_type_is_a_text() -> None:
    value = {"at": Timestamp(0), "for": [Duration(90)]}
    assert json.dumps(plain(value)) == '{"at": "1970-01-01T00:00:00.000000Z", "for": ["1m30s"]}'
