"""The editor on scripts and tests: outline, hover, names of lambdas and of rows in tests."""

import asyncio
from pathlib import Path

from lsprotocol import types as t
from tests.lang.lsp.test_server import Editor, at, editor, uri_of, where  # noqa: F401 - a fixture

from backstay.lang.lsp.incremental import Document

EXAMPLES = Path(__file__).parents[3] / "examples" / "language"


async def test_tests_stand_in_the_outline(editor: Editor, tmp_path: Path) -> None:  # noqa: F811
    uri = uri_of(tmp_path)
    assert await editor.open(uri, (EXAMPLES / "tests.cai").read_text()) == []
    params = t.DocumentSymbolParams(t.TextDocumentIdentifier(uri))
    found = await editor.text_document_document_symbol_async(params) or []
    tests = [each for each in found if isinstance(each, t.DocumentSymbol) and each.detail == "test"]
    assert tests[0].name == "a bill is charged and paid"
    assert len(tests) == 3


async def test_hover_tells_of_a_function_of_the_library(
    editor: Editor,  # noqa: F811
    tmp_path: Path,
) -> None:
    text = 'print(round(1.55, 1))\ntest "a" { assert true }\n'
    uri = uri_of(tmp_path)
    await editor.open(uri, text)
    for word, says in (("round", "round(value: N, places: int) -> N"), ("test", "")):
        params = t.HoverParams(**at(uri, where(text, word, into=1)))
        hover = await asyncio.wait_for(editor.text_document_hover_async(params), 30)
        if says:
            assert hover
            assert isinstance(hover.contents, t.MarkupContent)
            assert says in hover.contents.value
            assert "halves go away from zero" in hover.contents.value


async def test_rows_of_a_test_lead_to_their_entity(editor: Editor, tmp_path: Path) -> None:  # noqa: F811
    text = (EXAMPLES / "tests.cai").read_text()
    uri = uri_of(tmp_path)
    await editor.open(uri, text)
    for word, after in (("Bill {", "let bill = given"), ("status", "expect Bill where id")):
        params = t.DefinitionParams(**at(uri, where(text, word, into=1, after=after)))
        found = await editor.text_document_definition_async(params)
        assert isinstance(found, list)
        assert len(found) == 1
    operation = t.DefinitionParams(**at(uri, where(text, "charge fails", into=1)))
    assert await editor.text_document_definition_async(operation)


def test_a_key_in_a_test_reads_that_test_alone() -> None:
    text = (EXAMPLES / "tests.cai").read_text()
    document = Document("a.cai", text)
    document.change(text.replace("answer.status == 201", "answer.status == 20"))
    assert 0 < document.parsed < len(text) // 4
