"""The standard library: what each function gives, what the checker says of a wrong call, the page."""

import re
from pathlib import Path

import pytest
from tests.lang.script.test_script import printed, refused

from backstay.lang.api import check_text
from backstay.lang.library import LIBRARY, SECTIONS
from backstay.lang.script import Outside, functions

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "reference" / "language-library.md"
MARK = "<!-- from here on written by tests/lang/script/test_library.py -->\n"
EXPECTED = [
    ('len("añb")', "3"),
    ("length([1, 2])", "2"),
    ("len({ a: 1 })", "1"),
    ('lower("AÉ")', "aé"),
    ('upper("straße")', "STRASSE"),
    ('trim("  a b ")', "a b"),
    ('split("a,b,,c", ",")', '["a", "b", "", "c"]'),
    ('join([1, "x", null, 2.50], "-")', "1-x--2.50"),
    ('replace("banana", "an", "AN")', "bANANa"),
    ('contains("abc", "bc")', "true"),
    ("contains([1, 2.0], 2)", "true"),
    ('starts_with("abc", "ab")', "true"),
    ('ends_with("abc", "ab")', "false"),
    ('slice("abcdef", 1, 3)', "bc"),
    ('slice("abc", 2, 99)', "c"),
    ('pad(text(7), 3, "0")', "007"),
    ("text(1.50)", "1.50"),
    ("abs(-2.5)", "2.5"),
    ("round(2.5)", "3"),
    ("round(-2.345, 2)", "-2.35"),
    ("floor(-1.5)", "-2"),
    ("ceil(1.2)", "2"),
    ("min(3, 1.5, 2)", "1.5"),
    ("max([1, null, 3])", "3"),
    ("max([])", "null"),
    ('min("b", "a")', "a"),
    ("sum([1, 2.50])", "3.50"),
    ("sum([])", "0"),
    ("avg([1, 2])", "1.5"),
    ("avg([1.00, 2.00])", "1.50"),
    ("avg([])", "null"),
    ("int(2.9)", "2"),
    ('int(" -12 ")', "-12"),
    ('decimal("12.30")', "12.30"),
    ('float("1e3")', "1000.0"),
    ("first([3, 4])", "3"),
    ("last([])", "null"),
    ("count([1, 2, 3], x => x > 1)", "2"),
    ("map([1, 2], x => x * x)", "[1, 4]"),
    ('filter(["a", "bb"], w => len(w) > 1)', '["bb"]'),
    ("find([1, 2, 3], x => x > 1)", "2"),
    ("any([1], x => x > 1)", "false"),
    ("all([], x => x)", "true"),
    ("sort([3, null, 1.5])", "[null, 1.5, 3]"),
    ('sort(["b", "B", "a"])', '["B", "a", "b"]'),
    ('map(sort_by([{ n: "b", v: 1 }, { n: "a", v: 1 }], r => r.v), r => r.n)', '["b", "a"]'),
    ("reverse([1, 2])", "[2, 1]"),
    ("unique([1, 1.0, true, [1], [1], null])", "[1, true, [1], null]"),
    ("flatten([[1], [2, 3]])", "[1, 2, 3]"),
    ("range(2, 5)", "[2, 3, 4]"),
    ("range(5, 2)", "[]"),
    ("keys({ a: 1, b: 2 })", '["a", "b"]'),
    ("values({ a: 1, b: 2 })", "[1, 2]"),
    ('has({ a: null }, "a")', "true"),
    ('get({ a: 1 }, "b", 5)', "5"),
    ("merge({ a: 1, b: 2 }, { b: 3 })", "{ a: 1, b: 3 }"),
    ("now()", "2026-01-01T00:00:00.000000Z"),
    ("today()", "2026-01-01"),
    ('format_date(now(), "DD.MM.YYYY HH:mm:ss")', "01.01.2026 00:00:00"),
    ('parse_date("2026-02-28")', "2026-02-28"),
    ('add_days(parse_date("2024-02-28"), 1)', "2024-02-29"),
    ('parse_timestamp("2026-03-01T12:00:00+02:00")', "2026-03-01T10:00:00.000000Z"),
    ("add_days(now(), -1)", "2025-12-31T00:00:00.000000Z"),
    ("add_hours(now(), 1.5)", "2026-01-01T01:30:00.000000Z"),
    ("diff_days(add_hours(now(), 47), now())", "1"),
    ("year(now())", "2026"),
    ("month(now())", "1"),
    ("day(today())", "1"),
    ("hour(now() + 90m)", "1"),
    ("minute(now() + 90m)", "30"),
    ("weekday(now())", "4"),
    ('duration("1h30m") + 30m', "2h0m0s"),
    ("seconds(90m)", "5400.0"),
    ('parse_json("[1, \\{\\}, null]")', "[1, { }, null]"),
    ('to_json({ a: 1.50, b: [now(), 2h, null, "é"] })', None),
    ('hash("")', "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("uuid()", "id-1"),
    ("random()", "0.25"),
]
JSON = '{"a":"1.50","b":["2026-01-01T00:00:00.000000Z","2h0m0s",null,"é"]}'


def world() -> Outside:
    return Outside(functions=functions(lambda: 1_767_225_600.0, lambda: "id-1", lambda *_: 0.25))


@pytest.mark.parametrize(("expression", "output"), EXPECTED, ids=[each for each, _ in EXPECTED])
def test_what_each_function_gives(expression: str, output: str | None) -> None:
    assert printed(f"print({expression})", world()) == f"{output or JSON}\n"


def test_each_function_stands_in_the_table_above() -> None:
    called = {word for expression, _ in EXPECTED for word in re.findall(r"(\w+)\(", expression)}
    assert set(LIBRARY) - called == set()


_ARGUMENTS = {"T => bool": "x => true", "T => U": "x => x", "T => N": "x => 1", "T => O": "x => 1"}


@pytest.mark.parametrize("name", sorted(LIBRARY))
def test_null_in_null_out_or_nothing_in_the_list(name: str) -> None:
    """No function fails on null: a field of a row may hold it."""
    known = LIBRARY[name]
    for form in known.forms:
        args = [_ARGUMENTS.get(each.kind, "nothing") for each in form]
        output = printed(f"var nothing = null\nprint({name}({', '.join(args)}))", world())
        given = ("null", "[]", "0", "false", "true", "", "[null]", "{ }")
        assert known.world or output.strip() in given


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("round()", "wrong number of arguments for 'round': expected 1, got 0"),
        ("round(1, 2, 3)", "wrong number of arguments for 'round': expected 2, got 3"),
        ('round("x")', "'round': expected a number, got string"),
        ("len(5)", "'len': expected list or string or a record, got int"),
        ("sort([true])", "'sort': expected a list of values with an order, got list(bool)"),
        ('sum(["a"])', "'sum': expected a list of numbers, got list(string)"),
        ("flatten([1])", "'flatten': expected a list of lists, got list(int)"),
        ('min("a", 1)', "'min': expected a value with an order, got int"),
        ("contains([1], true)", "'contains': expected any value, got bool"),
        ("year(5)", "'year': expected timestamp or date, got int"),
        ("diff_days(now(), today())", "'diff_days': expected timestamp or date, got date"),
        ("keys([1])", "'keys': expected a record, got list(int)"),
        ("map([1], 5)", "'map': expected a lambda such as x => …, got int"),
        ("map([1], twice)", "'map': expected a lambda such as x => …, got a function"),
        ("map(5, x => x)", "'map': expected list, got int"),
        ("filter([1], x => x + 1)", "'filter': expected bool, got int"),
        ("sum([1], x => text(x))", "'sum': expected a number, got string"),
        ("sort_by([1], x => true)", "'sort_by': expected a value with an order, got bool"),
        ("map([{ a: 1 }], r => r.b)", "unknown field 'b' on the record"),
        ("map([1], x => y)", "undefined variable 'y'"),
        ("upper(x => x)", "a lambda at this place is not supported"),
        ("1 + (x => x)", "a lambda at this place is not supported"),
        ("lenght([1])", "undefined function 'lenght'"),
        ("upper(first([1]))", "'upper': expected string, got int"),
        ("map([1], x => x)[0] + 1m", "'+' does not work between int and duration"),
    ],
)
def test_what_the_checker_says_of_a_wrong_call(expression: str, wanted: str) -> None:
    text = f"function twice(x: int) -> int {{ return x * 2 }}\nvar a = twice({expression})"
    program, found = check_text("s.cai", f"{text}\nvar b = twice(1)")
    assert program is None
    assert any(wanted in each.message for each in found), [each.message for each in found]


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ('int("x")', '"x" is no whole number'),
        ('decimal("1e9")', '"1e9" is no decimal number'),
        ('float("nan")', '"nan" is no number'),
        ('float("1e999")', "the number is too large"),
        ('parse_date("2026-02-30")', "'2026-02-30' is no date such as 2026-03-01"),
        ('parse_timestamp("2026-01-01")', "is no time such as"),
        ('duration("soon")', "'soon' is no duration such as 1h30m"),
        ('parse_json("[")', "the text is no JSON"),
        ('split("a", "")', "split needs something to split at"),
        ('replace("a", "", "b")', "replace needs something to replace"),
        ('slice("abc", -1, 2)', "slice counts from 0"),
        ("round(1.5, 99)", "round takes 0 to 18 places"),
        ('pad("a", 3, "xy")', "pad fills with one character"),
        ('sort([1, "a"])', "sort: int and string have no order"),
        ('filter(parse_json("[1]"), x => x)', "a condition is true or false, not int"),
        ("add_days(now(), 99999999)", "outside of the years 1 to 9999"),
        ('add_days(parse_date("9999-12-31"), 1)', "outside of the years 1 to 9999"),
        ("now() + 99999999h", "outside of the years 1 to 9999"),
        ('map(parse_json("5"), x => x)', "cannot iterate over non-array type 'int'"),
    ],
)
def test_what_a_function_refuses_with_place_and_sentence(expression: str, says: str) -> None:
    message = refused(f"var x = {expression}", world())
    assert message.startswith("LANG133: s.cai:1:")
    assert says in message


def test_a_function_of_the_program_comes_before_the_library() -> None:
    """A file that had a function of such a name keeps its meaning when the library grows."""
    assert printed("function sort(x) { return 7 }\nprint(sort([2, 1]))") == "7\n"
    assert printed("var count = 3\nvar sort = 4\nprint(count + sort)") == "7\n"


# --- the page ------------------------------------------------------------------------------------


def page() -> str:
    parts = []
    for title, section in SECTIONS.items():
        parts.append(f"\n## {title}\n\n| call | gives | |\n|---|---|---|\n")
        for function in section:
            for place, signature in enumerate(function.signatures()):
                call, _, gives = signature.rpartition(" -> ")
                says = function.says if not place else ""
                parts.append(f"| `{call}` | `{gives}` | {says} |\n")
    return "".join(parts)


def test_the_page_lists_the_library() -> None:
    _, _, written = PAGE.read_text().partition(MARK)
    assert written == page(), "write it anew: python tests/lang/script/test_library.py"


if __name__ == "__main__":
    head, _, _ = PAGE.read_text().partition(MARK)
    PAGE.write_text(head + MARK + page())
