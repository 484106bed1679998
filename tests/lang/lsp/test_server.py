"""`codeai lsp` as an editor meets it: a process, asked over its standard input and output."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from lsprotocol import types as t
from pygls.exceptions import JsonRpcException
from pygls.lsp.client import LanguageClient

from backstay.lang.format import format_text

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
        ("  steps {", "\n    x { do { create Product {\n", {"sku", "stock"}, {"quantity"}),
        ("# A small shop", "\n", {"entity", "workflow"}, {"do"}),
        ("# A small shop", "\nendpoint ", {"GET", "PATCH"}, {"entity"}),
        ("# A small shop", "\nendpoint GET /x {\n  auth: ", {"required", "public"}, {"len"}),
        ("# A small shop", "\nendpoint GET /x {\n  returns: ", {"Order", "paginated(…)"}, {"len"}),
        ("# A small shop", "\nendpoint GET /x {\n  timeout: ", {"30s"}, {"Order"}),
        ("# A small shop", "\njob j {\n  schedule: ", {"every 1h"}, {"Order"}),
        (
            "# A small shop",
            "\nworkflow w {\n  steps {\n    a {\n  retry: ",
            {"3 times with exponential_backoff(1s, 60s)"},
            {"Order"},
        ),
        (
            "# A small shop",
            "\nworkflow w {\n  steps {\n    a {\n  on_fail: ",
            {"rollback", "fulfil_order"},
            {"required"},
        ),
        (
            "# A small shop",
            "\nworkflow w {\n  steps {\n    a {\n  query: select ",
            {"Order", "from", "where"},
            {"rollback"},
        ),
        (
            "# A small shop",
            "\nworkflow w {\n  steps {\n    a { query: select from Order where ",
            {"status", "and"},
            {"rollback"},
        ),
        (
            "# A small shop",
            "\nworkflow w {\n  input { o: ref(Order) }\n  steps {\n    a { when: o.customer.",
            {"email", "name"},
            {"status"},
        ),
        ("# A small shop", "\nintegration X {\n  operation y {\n    method: ", {"POST"}, {"Order"}),
        (
            "# A small shop",
            "\nevent Done { payload { n: int } }\nworkflow w {\n  trigger: ",
            {"Done"},
            {"Order"},
        ),
        (
            "# A small shop",
            "\nevent Done { payload { n: int } }\nworkflow w { steps { a { do { emit ",
            {"Done"},
            {"Order"},
        ),
        (
            "# A small shop",
            '\nrole boss { permissions: ["a:b"] }\nendpoint GET /x {\n  roles: [',
            {"boss"},
            {"Order"},
        ),
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


async def signature(editor: Editor, uri: str, cursor: t.Position) -> tuple[str, str] | None:
    """The label of the way that is chosen, and the parameter that is being written."""
    params = t.SignatureHelpParams(**at(uri, cursor))
    found = await editor.text_document_signature_help_async(params)
    if found is None or found.active_signature is None:
        return None
    chosen = found.signatures[found.active_signature]
    at_ = found.active_parameter or 0
    names = [str(each.label) for each in chosen.parameters or []]
    return chosen.label, names[at_] if at_ < len(names) else ""


@pytest.mark.parametrize(
    ("typed", "label", "parameter"),
    [
        ("var x = round(", "round(value: N", "value: N"),
        ("var x = round(1.5, ", "round(value: N, places: int)", "places: int"),
        (
            "function f(a: int, b: string) -> int { return a }\nvar x = f(len([1, 2]), ",
            "f(a: int, b: string) -> int",
            "b: string",
        ),
        ("entity E { n: int, min(", "min(bound)", "bound"),
        ("entity E { n: int, min(1), ", "", ""),
    ],
)
async def test_signature_help_says_how_to_call(
    editor: Editor, tmp_path: Path, typed: str, label: str, parameter: str
) -> None:
    uri = uri_of(tmp_path)
    await editor.open(uri, typed)
    lines = typed.split("\n")
    found = await signature(editor, uri, t.Position(len(lines) - 1, len(lines[-1])))
    if not label:
        assert found is None
        return
    assert found is not None
    assert found[0].startswith(label)
    assert found[1] == parameter


async def test_a_name_is_changed_everywhere_at_once(
    editor: Editor, tmp_path: Path, source: str
) -> None:
    uri = uri_of(tmp_path)
    await editor.open(uri, source)
    here = where(source, "Product", into=1, after="entity Product")
    prepared = await editor.text_document_prepare_rename_async(
        t.PrepareRenameParams(**at(uri, here))
    )
    assert isinstance(prepared, t.Range)
    assert covered(source, prepared) == "Product"
    asked = t.RenameParams(**at(uri, here), new_name="Article")
    edit = await editor.text_document_rename_async(asked)
    assert edit
    assert edit.changes
    lines = source.split("\n")
    for each in sorted(
        edit.changes[uri], key=lambda each: each.range.start.character, reverse=True
    ):
        row, first, last = (
            each.range.start.line,
            each.range.start.character,
            each.range.end.character,
        )
        lines[row] = lines[row][:first] + each.new_text + lines[row][last:]
    whole = t.Range(t.Position(0, 0), t.Position(len(lines), 0))
    assert await editor.type(uri, whole, "\n".join(lines)) == []


async def test_a_name_that_would_break_the_program_is_refused(
    editor: Editor, tmp_path: Path, source: str
) -> None:
    uri = uri_of(tmp_path)
    await editor.open(uri, source)
    here = where(source, "Product", into=1, after="entity Product")
    for name, says in (("Order", "duplicate declaration 'Order'"), ("1x", "is not a name")):
        with pytest.raises(JsonRpcException, match=says):
            await editor.text_document_rename_async(t.RenameParams(**at(uri, here), new_name=name))


@pytest.mark.parametrize(
    ("text", "word", "becomes"),
    [
        (
            "entity A { id: uuid, primary, auto }\njob j { schedule: every 1h, do { let x = 1 } }",
            "x",
            "_x",
        ),
        (
            "entity Order { id: uuid, primary, auto }\njob j { schedule: every 1h, steps { a { query: select from Ordr\n } } }",
            "Ordr",
            "Order",
        ),
        ("function f() { return 1 }\nprint(1)", "f", ""),
    ],
)
async def test_the_new_warnings_have_a_quick_fix(
    editor: Editor, tmp_path: Path, text: str, word: str, becomes: str
) -> None:
    uri = uri_of(tmp_path)
    found = await editor.open(uri, text)
    wrong = next(each for each in found if covered(text, each.range) == word)
    params = t.CodeActionParams(
        t.TextDocumentIdentifier(uri), wrong.range, t.CodeActionContext([wrong])
    )
    actions = await editor.text_document_code_action_async(params) or []
    changes = [
        each.edit.changes[uri]
        for each in actions
        if isinstance(each, t.CodeAction) and each.edit and each.edit.changes
    ]
    assert becomes in [edit.new_text for edits in changes for edit in edits]


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


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("stock: int, required", "stock:int,required"),
        ("entity Order {\n  id", "entity Order {\n      id"),
        ("\n}\n\nentity Product", "\n}\n\n\n\n\nentity Product"),
        ("# A small", "   # A small"),
        ("None", "None"),
    ],
)
async def test_formatting_gives_what_the_command_writes(
    editor: Editor, tmp_path: Path, source: str, old: str, new: str
) -> None:
    uri = uri_of(tmp_path)
    text = source.replace(old, new, 1)
    await editor.open(uri, text)
    params = t.DocumentFormattingParams(
        t.TextDocumentIdentifier(uri), t.FormattingOptions(tab_size=2, insert_spaces=True)
    )
    edits = await editor.text_document_formatting_async(params) or []
    assert len(edits) == (text != format_text(text))
    for edit in edits:
        text = applied(text, edit)
    assert text == format_text(source)


def applied(text: str, edit: t.TextEdit) -> str:
    lines = text.split("\n")
    places = [
        sum(len(line) + 1 for line in lines[: at.line]) + at.character
        for at in (edit.range.start, edit.range.end)
    ]
    return text[: places[0]] + edit.new_text + text[places[1] :]


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
    options = t.FormattingOptions(tab_size=2, insert_spaces=True)
    formatting = t.DocumentFormattingParams(t.TextDocumentIdentifier(uri), options)
    assert not await editor.text_document_formatting_async(formatting)
    await editor.text_document_completion_async(t.CompletionParams(**at(uri, far)))
