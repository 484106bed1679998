"""The same rows and the same request give the same bytes on both databases: nulls, letters that are
not ASCII, parts of texts, decimals, times and cursors."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.app import programs as p
from tests.app.conftest import Urls
from tests.app.support import NOW, Place, PostgresPlace, SqlitePlace

from backstay.app.plan.asked import operators_of
from backstay.app.plan.lists import ListPlan
from backstay.app.plan.reads import Reader
from backstay.app.plan.tables import table
from backstay.app.plan.writes import Writer
from backstay.core.errors import Fault
from backstay.lang.program import ListOf

NOTE = p.RecordType((p.Field("line", p.STRING), p.Field("price", p.MONEY)))
OWNER = p.Entity(
    "Owner",
    "owners",
    (
        p.key(),
        p.Field("name", p.STRING, required=True),
        p.Field("things", p.ManyType("Thing", via="owner")),
    ),
)
THING = p.Entity(
    "Thing",
    "things",
    (
        p.key(),
        p.Field("name", p.STRING, required=True, searchable=True),
        p.Field("text", p.TEXT, searchable=True),
        p.Field("size", p.INT),
        p.Field("rate", p.FLOAT),
        p.Field("done", p.BOOL),
        p.Field("price", p.DecimalType(12, 4)),
        p.Field("colour", p.EnumType(("red", "green", "Äther"))),
        p.Field("mark", p.UUID),
        p.Field("at", p.STAMP),
        p.Field("day", p.DATE),
        p.Field("opens", p.ScalarType("time")),
        p.Field("lasts", p.DURATION),
        p.Field("free", p.JSON),
        p.Field("tags", p.ListType(p.STRING)),
        p.Field("note", NOTE),
        p.Field("owner", p.RefType("Owner")),
    ),
    soft_delete=True,
)
PROGRAM = p.program(OWNER, THING)
FIELDS = tuple(field.name for field in THING.fields)
SORTED = tuple(name for name in FIELDS if name not in ("free", "tags", "note"))
OWNERS = tuple(f"00000000-0000-7000-8000-00000000000{n}" for n in (1, 2, 3))
LETTERS = ["", "a", "A", "b", "ab", "Z", "z", "é", "e\u0301", "ß", "SS", "ä", "Ä", "_", "%", "a%b"]
WORDS = st.sampled_from(
    [*LETTERS, "日本", "😀", "a b", "'", '"', "\\", "?", "$1", "\u00a0", "\uffff"]
)
STAMPS = st.sampled_from(
    [NOW, 0, -1, 1, 999_999, -62_135_596_800_000_000, 253_402_300_799_999_999, 1_500_000]
)
PRICES = st.decimals(
    Decimal("-99999999.9999"), Decimal("99999999.9999"), places=4
) | st.sampled_from([Decimal(0), Decimal("-0.0001"), Decimal("0.1"), Decimal(10), Decimal("1E+2")])
ROW = st.fixed_dictionaries(
    {
        "name": WORDS,
        "text": st.none() | WORDS,
        "size": st.none() | st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63)]) | st.integers(-9, 9),
        "rate": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "done": st.none() | st.booleans(),
        "price": st.none() | PRICES,
        "colour": st.none() | st.sampled_from(["red", "green", "Äther"]),
        "mark": st.none() | st.uuids().map(str),
        "at": st.none() | STAMPS,
        "day": st.none() | st.dates().map(str),
        "opens": st.none() | st.times().map(str) | st.sampled_from(["09:30", "00:00:00.5"]),
        "lasts": st.none() | st.sampled_from([0.0, 1.5, 0.000001, 86400.0, 1e9]),
        "free": st.none() | st.sampled_from([[], {}, {"b": 1, "a": [None, "é"]}, "x", 1.5, True]),
        "tags": st.none() | st.lists(WORDS, max_size=3),
        "note": st.none() | st.just({"line": "l", "price": Decimal("1.50")}),
        "owner": st.none() | st.sampled_from(OWNERS),
    }
)


class Both:
    """The same tables in both databases; ids are given, so that they are the same."""

    def __init__(self, sqlite: Place, postgres: Place) -> None:
        self.places = (sqlite, postgres)
        spec = ListOf("Thing", FIELDS, SORTED, page_size=4, page_limit=50, include=("owner",))
        self.plans = [ListPlan(place.program, spec, ()) for place in self.places]
        self._inserts = [Writer(place.program, "Thing").insert() for place in self.places]
        self._readers = [Reader(place.program, "Thing", ("owner",)) for place in self.places]
        owners = ListOf("Owner", (), ("name",), include=("things",))
        self._owners = [ListPlan(place.program, owners, ()) for place in self.places]
        fifth = p.eq(p.Column("id", p.UUID), p.Name("key", p.UUID))
        self._deletes = {
            place.dialect.name: Writer(place.program, "Thing").delete(fifth)
            for place in self.places
        }
        for place in self.places:
            owner = Writer(place.program, "Owner").insert()
            with place.unit() as unit:
                for key in OWNERS:
                    owner(unit, {"id": key, "name": f"owner {key[-1]}"})

    def fill(self, rows: list[dict[str, Any]]) -> None:
        for place, insert in zip(self.places, self._inserts, strict=True):
            with place.unit() as unit:
                unit.conn.execute("DELETE FROM things")
                for number, row in enumerate(rows):
                    insert(unit, {**row, "id": key(number)})
                self._deletes[place.dialect.name](unit, {"key": key(4)})

    def listed(self, asked: dict[str, list[str]]) -> list[bytes]:
        """Both answers as they would go out, refusals included."""
        answers = []
        for place, plan in zip(self.places, self.plans, strict=True):
            with place.unit() as unit:
                try:
                    page, values = plan.asked.parse(asked)
                    body: object = plan.run(unit, page, {"query": values})
                except Fault as refused:
                    body = refused.message
                answers.append(msgspec.json.encode(body))
        return answers

    def owned(self) -> list[bytes]:
        """Everybody with what is theirs."""
        answers = []
        for place, plan in zip(self.places, self._owners, strict=True):
            page, _ = plan.asked.parse({"sort": ["-name"]})
            with place.unit() as unit:
                answers.append(msgspec.json.encode(plan.run(unit, page, {})))
        return answers

    def one(self, number: int) -> list[bytes]:
        answers = []
        for place, reader in zip(self.places, self._readers, strict=True):
            with place.unit() as unit:
                answers.append(msgspec.json.encode(reader.find(unit, key(number))))
        return answers


def key(number: int) -> str:
    # Not in the order of their creation, so that ties in a sort are really broken by key.
    return f"{(number * 7919) % 65536:08x}-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
def both(urls: Urls, tmp_path_factory: pytest.TempPathFactory) -> Any:
    url = urls.take()
    sqlite = SqlitePlace(tmp_path_factory.mktemp("both") / "app.db", PROGRAM)
    postgres = PostgresPlace(url, PROGRAM)
    yield Both(sqlite, postgres)
    sqlite.close()
    postgres.close()
    urls.give(url)


@st.composite
def queries(draw: st.DrawFn, rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Filters by values that occur (and some that do not), sorts, and a page."""
    asked: dict[str, list[str]] = {}
    things = table(PROGRAM, "Thing")
    for name in draw(st.lists(st.sampled_from(FIELDS), max_size=2, unique=True)):
        column = things.column(name)
        op = draw(st.sampled_from(operators_of(column.field)))
        held = [row[name] for row in [*rows, draw(ROW)] if row.get(name) is not None]
        if not held:
            continue
        count = 2 if op == "in" else 1
        shaped = [column.codec.shape(draw(st.sampled_from(held))) for _ in range(count)]
        asked[f"{name}[{op}]"] = [",".join(spelled(value) for value in shaped)]
    sorts = draw(st.lists(st.sampled_from(SORTED), max_size=2, unique=True))
    if sorts:
        asked["sort"] = [",".join(draw(st.sampled_from(["", "-"])) + name for name in sorts)]
    asked["limit"] = [str(draw(st.integers(1, 5)))]
    if draw(st.booleans()):
        asked["total"] = ["true"]
    if draw(st.integers(0, 3)) == 0:
        asked["search"] = [draw(WORDS | st.sampled_from(["AB", "é", "x" * 101, "\0"]))]
    return asked


def spelled(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, list[str]]]]:
    rows = draw(st.lists(ROW, max_size=10))
    return rows, draw(st.lists(queries(rows), min_size=1, max_size=4))


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(story=stories())
@example(story=([], [{"name[contains]": [""]}]))
@example(story=([], [{"search": ["\0"]}]))
def test_lists_are_the_same_bytes_page_by_page(
    both: Both, story: tuple[list[dict[str, Any]], list[dict[str, list[str]]]]
) -> None:
    rows, asked = story
    both.fill(rows)
    for query in asked:
        page: dict[str, list[str]] = dict(query)
        for _ in range(12):
            sqlite, postgres = both.listed(page)
            assert sqlite == postgres, page
            body = msgspec.json.decode(sqlite)
            cursor = body["pagination"]["next_cursor"] if isinstance(body, dict) else None
            if cursor is None:
                break
            page = {**query, "cursor": [cursor]}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(ROW, min_size=1, max_size=4))
@example(rows=[{"name": "", "rate": -0.0, "lasts": -0.0}])
def test_rows_with_what_is_related_to_them_are_the_same_bytes(
    both: Both, rows: list[dict[str, Any]]
) -> None:
    both.fill(rows)
    for number in range(len(rows)):
        sqlite, postgres = both.one(number)
        assert sqlite == postgres
    sqlite, postgres = both.owned()
    assert sqlite == postgres
