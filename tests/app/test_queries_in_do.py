"""`let rows = query "…"` in `do`: a real server, on each database."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.app.serving import ANONYMOUS, BUYER, STAFF, served

from backstay.app.plan.endpoints import compile_endpoints
from backstay.app.store.session import Database
from backstay.app.unsupported import problems
from backstay.core.context import Principal
from backstay.lang.api import check_text
from backstay.lang.program import Program
from backstay.lang.query.errors import QueryError

NewDatabase = Callable[[], Database]
SOURCE = """
config { name: "shop", auth: jwt { secret: env("JWT_SECRET", "") } }

entity Owner {
  id: uuid, primary, auto
  name: string, required
  secret: string
  orders: list(Order)
  access { read: user.has("staff") or name == "open", write: user.has("staff") }
}
entity Order {
  id: uuid, primary, auto
  owner: ref(Owner), required
  buyer: string, required
  total: decimal(10, 2), required
  at: timestamp, required
  wait: duration
  soft_delete
  access { read: buyer == user.id or user.has("staff"), write: user.has("staff") }
}

endpoint POST /report {
  auth: public
  body { least: decimal(10, 2), required, since: timestamp, required, names: list(string), required }
  do {
    let rows = query "select id, buyer, total, at, wait, owner.name from Order where total >= @body.least and at > @body.since order by total"
    let many = query "count(Order) where buyer = @user.id"
    let named = query "select name from Owner where name in @body.names order by name"
    let empty = query "select from Owner where orders.total > 1000 order by name"
    var sum = 0.00
    for row in rows { sum = sum + row.total }
    return {
      buyers: map(rows, row => row.buyer),
      owners: map(rows, row => row.owner.name),
      sum: sum,
      late: map(rows, row => row.at + 1h),
      waits: map(rows, row => row.wait),
      many: many,
      named: map(named, row => row.name),
      rich: map(empty, row => row.name),
    }
  }
}
"""
WHO = {"staff": STAFF, "bob": BUYER, "eve": Principal("user", sub="eve"), "none": ANONYMOUS}
OPEN, SHUT = "00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000002"


def order(number: int, owner: str, buyer: str, total: str) -> tuple[str, dict[str, object]]:
    values = {"owner": owner, "buyer": buyer, "total": total, "wait": "90s"}
    return "Order", {**values, "at": f"2026-01-0{number}T00:00:00Z"}


ROWS = [
    ("Owner", {"id": OPEN, "name": "open"}),
    ("Owner", {"id": SHUT, "name": "shut", "secret": "x"}),
    order(1, OPEN, "bob", "1.00"),
    order(2, OPEN, "bob", "20.10"),
    order(3, SHUT, "bob", "30.20"),
    order(4, SHUT, "eve", "2000.00"),
]
ASKED = {"least": "2", "since": "2026-01-01T12:00:00Z", "names": ["open", "shut", "zoo"]}


def checked(text: str = SOURCE) -> Program:
    program, found = check_text("app.cai", text)
    assert program is not None, found
    assert [str(each) for each in problems(program)] == []
    return program


@pytest.mark.parametrize(
    ("who", "buyers", "owners", "total", "many", "named", "rich"),
    [
        (
            "staff",
            ["bob", "bob", "eve"],
            ["open", "shut", "shut"],
            "2050.30",
            0,
            ["open", "shut"],
            ["shut"],
        ),
        # An owner who may not be read is nothing behind the reference, as everywhere.
        ("bob", ["bob", "bob"], ["open", None], "50.30", 3, ["open"], []),
        ("eve", ["eve"], [None], "2000.00", 1, ["open"], []),
        ("none", [], [], "0.00", 0, ["open"], []),
    ],
)
async def test_a_query_shows_what_its_asker_may_see(
    who: str,
    buyers: list[str],
    owners: list[str | None],
    total: str,
    many: int,
    named: list[str],
    rich: list[str],
    tmp_path: Path,
    new_database: NewDatabase,
) -> None:
    async with served(checked(), tmp_path, database=new_database(), env={}) as app:
        seeded = await app.seed(*ROWS)
        assert seeded.status == 200, seeded.body
        answer = await app.ask("POST", "/report", ASKED, who=WHO[who])
        assert answer.status == 200, answer.body
        days = {"staff": (2, 3, 4), "bob": (2, 3), "eve": (4,), "none": ()}[who]
        assert answer.json == {
            "buyers": buyers,
            "owners": owners,
            "sum": total,
            "late": [f"2026-01-0{day}T01:00:00.000000Z" for day in days],
            "waits": ["1m30s" for _ in days],
            "many": many,
            "named": named,
            "rich": rich,
        }


BASE = "entity Item { id: uuid, primary, auto\n n: int }\n"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("select from Itm", "unknown entity 'Itm'"),
        ("update Item set n = 1", "a query in do only reads"),
        ("select m from Item", "unknown field 'm' on entity 'Item'"),
    ],
)
def test_a_query_with_a_mistake_keeps_the_program_from_being_served(query: str, says: str) -> None:
    text = f'{BASE}endpoint POST /a {{ do {{\n let rows = query "{query}"\n return rows }} }}'
    with pytest.raises(QueryError) as refused:
        compile_endpoints(checked(text))
    assert says in refused.value.message


def test_values_are_always_bound() -> None:
    text = (
        f"{BASE}endpoint POST /a {{ body {{ n: int }} do {{\n"
        ' let rows = query "select from Item where n = @body.n"\n return rows } }'
    )
    program = checked(text)
    does = program.endpoints[0].does
    (ask,) = does.body  # type: ignore[union-attr]
    assert [name for name, _ in ask.parameters] == ["body.n"]  # type: ignore[union-attr]
