"""The guides for validation and query errors, over real files."""

from pathlib import Path

import pytest

from backstay.app.guides.program import PROGRAM, PROGRAM_FILE, QUERY, QUERY_WORDS
from backstay.core.guide import Target
from backstay.doctor.judge import judge

JOB = 'job j {{ schedule: "0 0 * * *"\n  do {{\n    {}\n  }}\n}}\n'
ENTITY = "entity Order {\n  id: uuid, primary, auto\n}\n"


def target(folder: Path, text: str | None = None, said: str = "") -> Target:
    file = folder / "app.cai"
    if text is not None:
        file.write_text(text)
    return Target(
        data=folder,
        runtime=folder,
        base_url="",
        text=said,
        app_file=file if text is not None else None,
    )


@pytest.mark.parametrize(
    ("text", "cause", "says"),
    [
        (JOB.format("let a = missing"), "program-scope", "undefined variable 'missing'"),
        (JOB.format("for x in 5 { }"), "program-type", "cannot iterate over non-array type 'int'"),
        (JOB.format("let a = process(1)"), "program-function", "undefined function 'process'"),
        ("entity A { id uuid }", "program-form", "expected ':'"),
        ("entity A {\n  n: int\n}", "program-meaning", "exactly one primary field"),
        (
            f"{ENTITY}workflow w {{ steps {{ a {{ query: select from Ordr\n }} }} }}",
            "program-query",
            "unknown entity 'Ordr'",
        ),
    ],
)
async def test_a_mistake_is_named_with_its_place_and_a_way_on(
    tmp_path: Path, text: str, cause: str, says: str
) -> None:
    evidence = await PROGRAM_FILE.run(target(tmp_path, text))
    verdict = judge((PROGRAM,), [evidence])
    assert [each.cause for each in verdict.findings] == [cause]
    assert says in verdict.findings[0].says
    assert "app.cai:" in verdict.findings[0].says
    assert "{" not in verdict.findings[0].says


async def test_a_valid_program_and_none_are_no_cause(tmp_path: Path) -> None:
    for one in (target(tmp_path, ENTITY), target(tmp_path)):
        evidence = await PROGRAM_FILE.run(one)
        assert evidence.outcome in ("pass", "skip")
        assert judge((PROGRAM,), [evidence]).findings == ()


async def test_a_file_that_is_gone_is_said_so(tmp_path: Path) -> None:
    gone = target(tmp_path, ENTITY)
    (tmp_path / "app.cai").unlink()
    assert (await PROGRAM_FILE.run(gone)).reading == "unreadable"


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("LexerError: unexpected character '@'", "query-letters"),
        ("ParserError: expected identifier, got '123'", "query-grammar"),
        ("unexpected end of input", "query-grammar"),
        ("SemanticError: unknown entity 'Ordr'", "query-name"),
        ("unknown field 'email' on entity 'workflow'", "query-field"),
        ("CompilerError: unknown field 'ids' on entity 'Order'", "query-field"),
        ("type mismatch for field 'count': expected int, got string", "query-types"),
        ("ExecutionError: no such table: orders", "query-database"),
    ],
)
async def test_the_words_of_a_query_error_are_understood(
    tmp_path: Path, said: str, cause: str
) -> None:
    evidence = await QUERY_WORDS.run(target(tmp_path, ENTITY, said))
    verdict = judge((QUERY,), [evidence])
    assert [each.cause for each in verdict.findings] == [cause]
    assert ("there is Order" in verdict.findings[0].says) == (cause == "query-name")
    assert ("it has id" in verdict.findings[0].says) == ("'ids'" in said)
    assert verdict.findings[0].fixes
