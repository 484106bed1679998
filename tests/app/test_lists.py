"""Lists against a model in Python: filters, sorts, pages and cursors of random rows."""

import json
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.app import programs as p
from tests.app.serving import BUYER, STAFF, Served, served
from tests.app.support import NewDatabase, NewPlace, Place

from backstay.app.plan.lists import ListPlan
from backstay.app.plan.tables import table
from backstay.app.plan.unit import Row
from backstay.app.plan.writes import Insert, Writer
from backstay.app.store.aim import aim
from backstay.app.store.dialect import Dialect
from backstay.core.context import Principal
from backstay.core.errors import Fault
from backstay.lang.program import ListOf

COLOUR = p.EnumType(("red", "green"))
ITEM = p.Entity(
    "Item",
    "items",
    (
        p.key(),
        p.Field("count", p.INT),
        p.Field("total", p.MONEY),
        p.Field("name", p.STRING, required=True),
        p.Field("colour", COLOUR, required=True),
        p.Field("at", p.STAMP),
        p.Field("done", p.BOOL),
    ),
)
PROGRAM = p.program(ITEM)
FIELDS = ("count", "total", "name", "colour", "at", "done")
ITEMS = table(PROGRAM, "Item")
STAMPS = [0, 1_500_000, 1_750_000_000_000_000]

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "count": st.none() | st.integers(-2, 2),
            "total": st.none()
            | st.sampled_from([Decimal("-0.50"), Decimal("1.00"), Decimal("10.00")]),
            "name": st.sampled_from(["a", "b", "ab", "é", "B"]),
            "colour": st.sampled_from(COLOUR.members),
            "at": st.none() | st.sampled_from(STAMPS),
            "done": st.none() | st.booleans(),
        }
    ),
    max_size=14,
)
TEXTS: dict[str, list[str]] = {
    "count": ["-1", "0", "2"],
    "total": ["-0.50", "1", "10.00"],
    "name": ["a", "b", "é"],
    "colour": ["red", "green"],
    "at": ["1970-01-01T00:00:00Z", "1970-01-01T01:00:01.5+01:00"],
    "done": ["true", "false"],
}
OPS: dict[str, tuple[str, ...]] = {
    "count": ("eq", "ne", "gt", "gte", "lt", "lte", "in"),
    "total": ("eq", "ne", "gt", "gte", "lt", "lte", "in"),
    "name": ("eq", "ne", "gt", "lte", "contains", "in"),
    "colour": ("eq", "ne", "in"),
    "at": ("eq", "ne", "gt", "gte", "lt", "lte"),
    "done": ("eq", "ne"),
}


@st.composite
def filters(draw: st.DrawFn) -> list[tuple[str, str, list[str]]]:
    chosen: list[tuple[str, str, list[str]]] = []
    for field in draw(st.lists(st.sampled_from(FIELDS), max_size=2, unique=True)):
        op = draw(st.sampled_from(OPS[field]))
        count = 2 if op == "in" else 1
        texts = draw(st.lists(st.sampled_from(TEXTS[field]), min_size=count, max_size=count))
        chosen.append((field, op, texts))
    return chosen


SORTS = st.lists(
    st.tuples(st.sampled_from(FIELDS), st.booleans()), max_size=3, unique_by=lambda s: s[0]
)


@cache
def plan(dialect: Dialect) -> ListPlan:
    spec = ListOf("Item", FIELDS, FIELDS, page_size=3, page_limit=5)
    return ListPlan(aim(PROGRAM, dialect), spec, ())


@cache
def insert(dialect: Dialect) -> Insert:
    return Writer(aim(PROGRAM, dialect), "Item").insert()


@pytest.fixture(scope="module")
def place(new_module_place: NewPlace) -> Place:
    return new_module_place(PROGRAM)


def fill(place: Place, rows: list[Row]) -> list[Row]:
    with place.unit() as unit:
        unit.conn.execute("DELETE FROM items")
        return [insert(place.dialect)(unit, row) for row in rows]


def holds(row: Row, field: str, op: str, texts: list[str]) -> bool:
    value = row[field]
    wanted = [ITEMS.column(field).codec.read(text) for text in texts]
    if op == "eq":
        return value == wanted[0]
    if op == "ne":
        return value != wanted[0]
    if value is None:
        return False
    if op == "in":
        return value in wanted
    if op == "contains":
        return str(wanted[0]) in str(value)
    compare = {"gt": "__gt__", "gte": "__ge__", "lt": "__lt__", "lte": "__le__"}[op]
    return bool(getattr(value, compare)(wanted[0]))


def ordered(rows: list[Row], sorts: list[tuple[str, bool]]) -> list[Row]:
    rows = sorted(rows, key=lambda row: str(row["id"]))
    for field, descending in reversed(sorts):
        rows.sort(
            key=lambda row: (row[field] is not None, row[field] if row[field] is not None else 0),
            reverse=descending,
        )
    return rows


def query(
    chosen: list[tuple[str, str, list[str]]], sorts: list[tuple[str, bool]]
) -> dict[str, list[str]]:
    asked = {f"{field}[{op}]": [",".join(texts)] for field, op, texts in chosen}
    if sorts:
        asked["sort"] = [
            ",".join(("-" if descending else "") + field for field, descending in sorts)
        ]
    return asked


def ask(place: Place, asked: dict[str, list[str]]) -> dict[str, object]:
    with place.unit() as unit:
        page, values = plan(place.dialect).asked.parse(asked)
        return plan(place.dialect).run(unit, page, {"query": values})


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=ROWS, chosen=filters(), sorts=SORTS, limit=st.integers(1, 5))
def test_pages_and_cursors_walk_exactly_the_rows_of_the_model(
    place: Place,
    rows: list[Row],
    chosen: list[tuple[str, str, list[str]]],
    sorts: list[tuple[str, bool]],
    limit: int,
) -> None:
    held = fill(place, rows)
    model = [row for row in ordered(held, sorts) if all(holds(row, *each) for each in chosen)]
    wanted = [row["id"] for row in model]
    asked = {**query(chosen, sorts), "limit": [str(limit)]}

    by_page: list[object] = []
    for number in range(1, 20):
        answer = ask(place, {**asked, "page": [str(number)], "total": ["true"]})
        by_page += [row["id"] for row in answer["data"]]  # type: ignore[attr-defined]
        assert answer["pagination"]["total"] == len(wanted)  # type: ignore[index]
        if not answer["pagination"]["has_next"]:  # type: ignore[index]
            break
    assert by_page == wanted

    by_cursor: list[object] = []
    more: dict[str, list[str]] = {}
    for _ in range(20):
        answer = ask(place, {**asked, **more})
        by_cursor += [row["id"] for row in answer["data"]]  # type: ignore[attr-defined]
        cursor = answer["pagination"]["next_cursor"]  # type: ignore[index]
        if cursor is None:
            break
        more = {"cursor": [str(cursor)]}
    assert by_cursor == wanted


def test_a_cursor_of_another_sort_is_refused(place: Place) -> None:
    fill(place, [{"name": "a", "colour": "red"}, {"name": "b", "colour": "red"}])
    cursor = ask(place, {"limit": ["1"], "sort": ["name"]})["pagination"]["next_cursor"]  # type: ignore[index]
    with pytest.raises(Fault, match="cursor"):
        plan(place.dialect).asked.parse({"cursor": [str(cursor)], "sort": ["-name"]})
    with pytest.raises(Fault, match="together with cursor"):
        plan(place.dialect).asked.parse({"cursor": [str(cursor)], "sort": ["name"], "page": ["2"]})


def test_true_total_and_a_filter_on_a_field_named_total_live_together(place: Place) -> None:
    fill(place, [{"name": "a", "colour": "red", "total": Decimal(total)} for total in ("1", "10")])
    assert ask(place, {"total": ["true"]})["pagination"]["total"] == 2  # type: ignore[index]
    found = ask(place, {"total": ["10"]})["data"]
    assert [row["total"] for row in found] == ["10.00"]  # type: ignore[attr-defined]


@pytest.fixture
async def notes(tmp_path: Path, new_database: NewDatabase):
    mine = p.eq(p.Column("owner", p.STRING), p.Get(p.Name("user", p.USER), "id", p.STRING))
    note = p.Entity(
        "Note",
        "notes",
        (p.key(), p.Field("owner", p.STRING, required=True), p.Field("text", p.STRING)),
        access=p.Access(read=p.binary("or", mine, p.has("staff")), create=mine),
    )
    body = p.RecordType((p.Field("owner", p.STRING, required=True),))
    create = p.Create("Note", (("owner", p.Get(p.Name("body", body), "owner", p.STRING)),), "note")
    endpoints = (
        p.Endpoint("GET", "/notes", "public", ListOf("Note")),
        p.Endpoint(
            "GET",
            "/notes/{id}",
            "public",
            p.OneOf("Note", p.Get(p.Name("path", body), "id", p.UUID)),
            path_fields=(p.Field("id", p.UUID, required=True),),
        ),
        p.Endpoint(
            "POST",
            "/notes",
            "public",
            p.Action((create,), p.Name("note", p.RowType("Note"))),
            body=body,
            status=201,
        ),
    )
    program = p.program(note, endpoints=endpoints, auth=True)
    async with served(program, tmp_path, database=new_database()) as app:
        yield app


async def test_rows_of_others_are_neither_listed_nor_found_nor_made(notes: Served) -> None:
    other = Principal("user", sub="eve")
    made = await notes.ask("POST", "/notes", {"owner": "bob"}, who=BUYER)
    assert made.status == 201
    await notes.ask("POST", "/notes", {"owner": "eve"}, who=other)
    refused = await notes.ask("POST", "/notes", {"owner": "bob"}, who=other)
    assert (refused.status, refused["code"]) == (403, "APP014")

    async def owners(who: Principal) -> list[str]:
        found = json.loads((await notes.ask("GET", "/notes", who=who)).body)
        return [note["owner"] for note in found["data"]]

    assert await owners(BUYER) == ["bob"]
    assert await owners(STAFF) == ["bob", "eve"]
    assert (await notes.ask("GET", f"/notes/{made['id']}", who=other)).status == 404
    assert (await notes.ask("GET", f"/notes/{made['id']}", who=BUYER)).status == 200
