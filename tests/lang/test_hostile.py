"""Whatever comes in, the language answers: no traceback, no hang, work in proportion to length."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backstay.lang.api import MAX_CHARACTERS, check_files, check_text, decode, parse_text
from backstay.lang.brackets import balance
from backstay.lang.diagnostics import Diagnostic
from backstay.lang.lexer import lex
from backstay.lang.parser.cursor import Cursor
from backstay.lang.render import render
from backstay.lang.reports import MOST, Reports
from backstay.lang.tree import plain

WORDS = [*(Path(__file__).parent / "mistakes" / "words.txt").read_text().split(), "\n"]

ROOT = Path(__file__).parents[2]
SOURCES = [
    ROOT / "examples" / "orders" / "app.cai",
    ROOT / "tests" / "lang" / "programs" / "business.cai",
    ROOT / "tests" / "lang" / "programs" / "original.cai",
]


@pytest.fixture(scope="session", params=SOURCES, ids=lambda path: path.stem)
def source(request: pytest.FixtureRequest) -> str:
    """Programs in each spelling of the language."""
    file: Path = request.param
    return file.read_text()


def judged(text: str) -> list[Diagnostic]:
    """Everything that a file goes through; what is found has a place inside the file."""
    program, found = check_text("a.cai", text)
    assert (program is None) == any(each.severity == "error" for each in found)
    lines = text.count("\n") + 2
    for each in found:
        assert 1 <= each.span.line <= lines
        assert each.span.column >= 1
        assert (each.span.end_line, each.span.end_column) >= (each.span.line, each.span.column)
    render(found, {"a.cai": text})
    return found


@settings(max_examples=300, deadline=None)
@given(st.text())
@example("")
@example("\ufeff")
@example("entity")
@example('"')
@example('"""')
@example("/*")
@example("\ud800")
def test_any_text_is_answered(text: str) -> None:
    judged(text)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_answered(data: bytes) -> None:
    text, found = decode("a.cai", data)
    assert found or judged(text) is not None


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=60))
def test_any_soup_of_tokens_is_answered(words: list[str]) -> None:
    judged(" ".join(words))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_part_of_a_real_program_is_answered(source: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(source)))
    end = data.draw(st.integers(start, len(source)))
    judged(source[start:end])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_program_with_parts_taken_out_is_answered(source: str, data: st.DataObject) -> None:
    text = source
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        size = data.draw(st.integers(0, 200))
        text = text[:start] + text[start + size :]
    judged(text)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_program_with_words_put_in_is_answered(source: str, data: st.DataObject) -> None:
    text = source
    for word in data.draw(st.lists(st.sampled_from(WORDS), max_size=5)):
        at = data.draw(st.integers(0, len(text)))
        text = f"{text[:at]} {word} {text[at:]}"
    judged(text)
    file, _ = parse_text("a.cai", text)
    assert plain(file)["version"] == 1


@pytest.mark.parametrize(
    "line", ["id: uuid\n  : ,", "id uuid default (", "id (", "id varchar(", "a references", ", : ,"]
)
def test_a_table_whose_lines_hold_no_words_is_refused_like_any_other(line: str) -> None:
    program, found = check_text("a.cai", f"database postgres {{ users {{ {line}\n }} }}")
    assert program is None
    assert found


def test_half_a_file_is_one_mistake() -> None:
    source = SOURCES[0].read_text()
    half = source[: source.index("reserve {") + len("reserve {")]
    found = judged(half)
    assert [each.code for each in found] == ["LANG011"]


def test_ten_thousand_brackets_are_one_mistake() -> None:
    for sign, close in ("()", "[]", "{}"):
        text = "job a { do { let x = " + sign * 10_000 + close * 10_000 + " } }"
        assert len(judged(text)) <= 3
        assert judged("job a { do { let x = " + sign * 10_000)
        assert judged(sign * 10_000)
        assert judged(close * 10_000)


def test_deep_types_blocks_and_chains_end_in_a_diagnostic() -> None:
    deep = "list(" * 5000 + "int" + ")" * 5000
    assert "LANG013" in {each.code for each in judged("entity A { a: " + deep + " }")}
    nested = "job a { do { " + "if true { " * 2000 + "} " * 2000 + "} }"
    assert "LANG013" in {each.code for each in judged(nested)}
    chain = "job a { do { let x = " + " + ".join(["1"] * 5000) + " } }"
    assert "LANG013" in {each.code for each in judged(chain)}
    dots = "job a { do { let x = a" + ".b" * 5000 + " } }"
    assert "LANG013" in {each.code for each in judged(dots)}
    assert judged("job a { do { let x = " + "not " * 5000 + "true } }")
    assert judged("job a { do { let x = " + "- " * 5000 + "1 } }")
    assert judged("job a { do { " + "if true { } else " * 5000 + "{ } } }")


def test_what_a_runtime_would_have_to_walk_is_bounded() -> None:
    holes = 'job a { schedule: "0 0 * * *"\n do { fail "' + "{now}" * 500 + '" } }'
    assert "LANG013" in {each.code for each in judged(holes)}
    many = "\n".join(f"f{number}: int" for number in range(5000))
    assert "LANG055" in {
        each.code for each in judged(f"entity A {{ id: uuid, primary, auto\n{many} }}")
    }
    values = ", ".join(f"m{number}" for number in range(5000))
    enum = f"entity A {{ id: uuid, primary, auto\n e: enum({values}) }}"
    assert [each.code for each in judged(enum)] == ["LANG055"]
    entries = ", ".join(f"f{number}: 1" for number in range(5000))
    job = f'job a {{ schedule: "0 0 * * *"\n do {{ let r = {{ {entries} }} }} }}'
    assert [each.code for each in judged(job)] == ["LANG055"]


def test_the_highest_expression_that_is_allowed_is_walked_by_all() -> None:
    chain = " + ".join(["1"] * 99)
    text = f'job a {{ schedule: "0 0 * * *"\n do {{ {"if true { " * 30} let _x = {chain} {"}" * 30} }} }}'
    assert judged(text) == []
    assert plain(parse_text("a.cai", text)[0])


def test_ten_megabytes_are_refused_unread() -> None:
    found = judged("x" * 10_000_000)
    assert [each.code for each in found] == ["LANG006"]
    halves = [
        ("a.cai", " " * (MAX_CHARACTERS // 2 + 1)),
        ("b.cai", " " * (MAX_CHARACTERS // 2 + 1)),
    ]
    assert [each.code for each in check_files(halves)[1]] == ["LANG006"]


def test_binary_and_wrong_encoding_name_the_place() -> None:
    assert [each.code for each in judged("entity A {\n\0")] == ["LANG005"]
    text, found = decode("a.cai", b"entity A {\n  n\xe9")
    assert text == ""
    assert [(each.code, each.span.line, each.span.column) for each in found] == [("LANG005", 2, 4)]
    assert decode("a.cai", "\ufeffentity".encode())[0] == "entity"


def test_a_flood_of_mistakes_is_bounded() -> None:
    found = judged("entity A {\n" + "  a: strng\n" * 5000 + "}")
    assert len(found) <= MOST


def work(text: str) -> int:
    """Steps of the lexer and tokens taken by the parser."""
    from backstay.lang.parser.declarations import declarations

    reports = Reports("a.cai")
    lexed = lex(text, reports)
    cursor = Cursor(balance(lexed.tokens, reports), reports)
    declarations(cursor)
    return lexed.steps + cursor.steps


@pytest.mark.parametrize(
    "part",
    [
        "exec { ",
        "exec { it's }\n",
        'exec { "',
        "a ? b : ",
        "@a ",
        "a.",
        "users { id uuid }\n",
        "query: a a a\n",
        "parallel { ",
        "a: embedded { ",
        "a: { ",
        "/:a",
    ],
)
def test_the_work_of_a_repeated_part_grows_with_its_length(part: str) -> None:
    head = "workflow w { steps { s { "
    once = work(head + part * 500)
    assert work(head + part * 4000) <= once * 8 * 1.05 + 100
    assert judged(head + part * 4000)
    assert judged("database mongodb { collection C { " + part * 4000)


def test_work_grows_in_proportion_to_length(source: str) -> None:
    once = work(source)
    for times in (2, 8, 32):
        assert work(source * times) <= once * times * 1.01
    broken = source.replace("returns:", "retuns").replace("}\n\nentity", "\n\nentity")
    assert work(broken * 32) <= work(broken) * 32 * 1.5


def test_every_token_is_taken_once(source: str) -> None:
    lexed = lex(source, Reports("a.cai"))
    cursor_steps = work(source) - lexed.steps
    assert cursor_steps <= len(lexed.tokens)


@pytest.mark.parametrize("text", ["𝟎m", "var x = ٣", "var x = 𝟏𝟐h", "job j { schedule: every 𝟎m }"])
def test_digits_of_other_scripts_are_no_numbers(text: str) -> None:
    assert "LANG001" in {each.code for each in judged(text)}
