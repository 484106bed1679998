"""`codeai lsp` as an editor meets it: a process, asked over its standard input and output."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from lsprotocol import types as t
from pygls.lsp.client import LanguageClient

SECONDS = 30.0


class Editor(LanguageClient):
    """A client that keeps what it was told of each source."""

    def __init__(self) -> None:
        super().__init__("test", "1")
        self.told: asyncio.Queue[t.PublishDiagnosticsParams] = asyncio.Queue()
        self.versions: dict[str, int] = {}

        @self.feature(t.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def told(params: t.PublishDiagnosticsParams) -> None:
            self.told.put_nowait(params)

    async def open(self, uri: str, text: str) -> list[t.Diagnostic]:
        self.versions[uri] = 1
        item = t.TextDocumentItem(uri, "cai", 1, text)
        self.text_document_did_open(t.DidOpenTextDocumentParams(item))
        return await self.diagnostics(uri)

    async def type(self, uri: str, at: t.Range, text: str) -> list[t.Diagnostic]:
        self.versions[uri] += 1
        change = t.TextDocumentContentChangePartial(at, text)
        document = t.VersionedTextDocumentIdentifier(self.versions[uri], uri)
        self.text_document_did_change(t.DidChangeTextDocumentParams(document, [change]))
        return await self.diagnostics(uri)

    async def diagnostics(self, uri: str) -> list[t.Diagnostic]:
        """Those of the version that was sent last."""
        while True:
            told = await asyncio.wait_for(self.told.get(), SECONDS)
            if told.uri == uri and told.version == self.versions.get(uri):
                return list(told.diagnostics)

    async def codes(self, uri: str, wanted: list[str]) -> None:
        """Until a source has exactly these diagnostics."""
        while True:
            told = await asyncio.wait_for(self.told.get(), SECONDS)
            if told.uri == uri and [each.code for each in told.diagnostics] == wanted:
                return


@pytest.fixture
async def editor() -> AsyncIterator[Editor]:
    client = Editor()
    await client.start_io(sys.executable, "-m", "backstay.cli.codeai", "lsp")
    params = t.InitializeParams(capabilities=t.ClientCapabilities())
    await asyncio.wait_for(client.initialize_async(params), SECONDS)
    client.initialized(t.InitializedParams())
    yield client
    await asyncio.wait_for(client.shutdown_async(None), SECONDS)
    client.exit(None)
    await client.stop()


def uri_of(folder: Path, name: str = "app.cai") -> str:
    return (folder / name).as_uri()


def where(text: str, word: str, *, into: int = 0, after: str = "") -> t.Position:
    """The editor's position of the first `word` behind `after`."""
    at = text.index(word, text.index(after) if after else 0) + into
    before = text[:at]
    column = before[before.rfind("\n") + 1 :]
    return t.Position(before.count("\n"), len(column.encode("utf-16-le")) // 2)


def over(text: str, word: str) -> t.Range:
    return t.Range(where(text, word), where(text, word, into=len(word)))


def at(uri: str, position: t.Position) -> dict[str, object]:
    return {"text_document": t.TextDocumentIdentifier(uri), "position": position}


def covered(text: str, place: t.Range) -> str:
    line = text.split("\n")[place.start.line]
    return line[place.start.character : place.end.character]


async def test_a_key_that_breaks_the_program_is_told_and_so_is_the_one_that_mends_it(
    editor: Editor, tmp_path: Path, source: str
) -> None:
    uri = uri_of(tmp_path)
    assert await editor.open(uri, source) == []
    [wrong] = await editor.type(uri, over(source, "int, required"), "itn, required")
    assert (wrong.code, wrong.source) == ("LANG039", "codeai")
    assert wrong.range == over(source, "int")
    assert wrong.message.startswith("TypeError: unknown type 'itn'")
    assert await editor.type(uri, wrong.range, "int") == []


async def test_the_quick_fix_mends_the_text(editor: Editor, tmp_path: Path, source: str) -> None:
    uri = uri_of(tmp_path)
    [wrong] = await editor.open(uri, source.replace("stock: int", "stock: itn", 1))
    context = t.CodeActionContext([wrong])
    document = t.TextDocumentIdentifier(uri)
    [fix] = (
        await editor.text_document_code_action_async(
            t.CodeActionParams(document, wrong.range, context)
        )
    ) or []
    assert isinstance(fix, t.CodeAction)
    assert fix.edit
    assert fix.edit.changes
    [edit] = fix.edit.changes[uri]
    assert (edit.new_text, edit.range) == ("int", wrong.range)
    assert await editor.type(uri, edit.range, edit.new_text) == []


async def test_places_are_counted_in_the_units_of_the_editor(
    editor: Editor, tmp_path: Path
) -> None:
    text = 'entity A { /* 🦊🦊 */ id: uuid, primary, auto\n  name: string }\njob j { description: "🦊" schedul: "1 * * * *" do { } }'
    found = await editor.open(uri_of(tmp_path), text)
    assert found[0].range.start == where(text, "schedul")


@pytest.mark.parametrize(
    ("word", "after", "declared"),
    [
        ("Customer)", "entity Order {", "Customer {"),
        ("fulfil_order {", "start ", "fulfil_order {"),
        ("charge {", "call: Payments", "charge {"),
        ("Payments", "call: ", "Payments {"),
        ("pack.parcel", "parcel: steps", "pack {"),
        ("customer: body", "create Order", "customer: ref"),
        ("order.id }", "start fulfil_order", "order = create"),
        ("stock >=", "update Product", "stock: int"),
        ("lines:", "sum(line in body", "lines: list({"),
    ],
)
async def test_definition_of_each_kind_of_name(
    editor: Editor, tmp_path: Path, source: str, word: str, after: str, declared: str
) -> None:
    uri = uri_of(tmp_path)
    await editor.open(uri, source)
    params = t.DefinitionParams(**at(uri, where(source, word, into=1, after=after)))
    found = await editor.text_document_definition_async(params)
    assert isinstance(found, list)
    [place] = found
    assert isinstance(place, t.Location)
    line = source.split("\n")[place.range.start.line]
    assert line[place.range.start.character :].startswith(declared)


async def test_references_of_an_entity(editor: Editor, tmp_path: Path, source: str) -> None:
    uri = uri_of(tmp_path)
    await editor.open(uri, source)
    params = t.ReferenceParams(
        t.ReferenceContext(include_declaration=True),
        **at(uri, where(source, "Product {", into=2)),
    )
    found = await editor.text_document_references_async(params) or []
    assert {covered(source, place.range) for place in found} == {"Product"}
    lines = {place.range.start.line for place in found}
    assert lines == {
        number
        for number, line in enumerate(source.split("\n"))
        if "Product" in line and "POST" not in line
    }


async def test_hover_shows_what_a_name_is(editor: Editor, tmp_path: Path, source: str) -> None:
    uri = uri_of(tmp_path)
    await editor.open(uri, source)
    said = []
    for word, after in (("Product)", "entity OrderLine"), ("stock >=", ""), ("workflow", "\n\n")):
        params = t.HoverParams(**at(uri, where(source, word, into=1, after=after)))
        hover = await editor.text_document_hover_async(params)
        assert hover
        assert isinstance(hover.contents, t.MarkupContent)
        said.append(hover.contents.value)
    assert "  sku: string, required, unique\n" in said[0]
    assert "Product.stock: int, required, min(…)" in said[1]
    assert said[2].startswith("`workflow` may hold: description, ")


@pytest.mark.parametrize(
    ("after", "typed", "wanted", "unwanted"),
    [
        ("entity DailySales {", "\n  ", {"description", "index", "access"}, {"steps", "let"}),
        ("entity DailySales {", "\n  o: ref(", {"Product", "Order"}, {"string", "pack"}),
        ("entity DailySales {", "\n  o: ", {"uuid", "decimal(10, 2)"}, {"Payments"}),
        ("entity DailySales {", "\n  o: int, ", {"required", "unique"}, {"uuid"}),
        ("  steps {", "\n    x {\n", {"do", "call", "task", "compensate"}, {"steps"}),
        ("  steps {", "\n    x { call: ", {"Payments"}, {"Order"}),
        ("  steps {", "\n    x { call: Payments.", {"charge", "refund"}, {"Order"}),
        ("  steps {", "\n    x { do {\n", {"let", "create", "for"}, {"retry"}),
        ("  steps {", "\n    x { do { start ", {"fulfil_order"}, {"Order"}),
        ("  steps {", "\n    x { do { let p = steps.", {"pack", "notify"}, {"Order"}),
        ("  steps {", "\n    x { do { for l in Product.", {"sku", "stock"}, {"quantity"}),
        ("# A small shop", "\n", {"entity", "workflow"}, {"do"}),
    ],
)
async def test_completion_offers_what_fits(
    editor: Editor,
    tmp_path: Path,
    source: str,
    after: str,
    typed: str,
    wanted: set[str],
    unwanted: set[str],
) -> None:
    uri = uri_of(tmp_path)
    await editor.open(uri, source)
    place = where(source, after, into=len(after))
    await editor.type(uri, t.Range(place, place), typed)
    lines = typed.split("\n")
    cursor = t.Position(place.line + len(lines) - 1, len(lines[-1]))
    found = await editor.text_document_completion_async(t.CompletionParams(**at(uri, cursor)))
    assert isinstance(found, list)
    offered = {each.label for each in found}
    assert wanted <= offered
    assert not unwanted & offered


async def test_the_outline_has_declarations_and_what_is_in_them(
    editor: Editor, tmp_path: Path, source: str
) -> None:
    uri = uri_of(tmp_path)
    await editor.open(uri, source)
    params = t.DocumentSymbolParams(t.TextDocumentIdentifier(uri))
    found = await editor.text_document_document_symbol_async(params) or []
    by_name = {each.name: each for each in found if isinstance(each, t.DocumentSymbol)}
    assert "POST /orders/{id}/refund" in by_name
    steps = [each.name for each in by_name["fulfil_order"].children or []]
    assert steps == ["reserve", "charge", "paid", "pack", "notify"]
    assert "sku" in [each.name for each in by_name["Product"].children or []]


async def test_a_folder_is_one_program_and_closing_goes_back_to_the_disk(
    editor: Editor, tmp_path: Path
) -> None:
    (tmp_path / "b.cai").write_text("entity B {\n  id: uuid, primary, auto\n}\n")
    a, b = uri_of(tmp_path, "a.cai"), uri_of(tmp_path, "b.cai")
    text = "entity A {\n  id: uuid, primary, auto\n  b: ref(B)\n}\n"
    assert await editor.open(a, text) == []
    document = t.TextDocumentItem(b, "cai", 1, "")
    editor.text_document_did_open(t.DidOpenTextDocumentParams(document))
    await editor.codes(a, ["LANG032"])
    editor.text_document_did_close(t.DidCloseTextDocumentParams(t.TextDocumentIdentifier(b)))
    await editor.codes(a, [])
    (tmp_path / "b.cai").unlink()
    gone = t.FileEvent(b, t.FileChangeType.Deleted)
    editor.workspace_did_change_watched_files(t.DidChangeWatchedFilesParams([gone]))
    await editor.codes(a, ["LANG032"])


async def test_requests_about_an_unknown_or_broken_source_are_answered(
    editor: Editor, tmp_path: Path
) -> None:
    uri = uri_of(tmp_path)
    start = t.Position(0, 0)
    assert not await editor.text_document_hover_async(t.HoverParams(**at(uri, start)))
    [wrong] = await editor.open(uri, "entity A {\0")
    assert wrong.code == "LANG005"
    far = t.Position(900, 900)
    assert await editor.text_document_definition_async(t.DefinitionParams(**at(uri, far))) == []
    await editor.text_document_completion_async(t.CompletionParams(**at(uri, far)))
