"""What an editor may ask of the server: each request of the protocol with the method behind it."""

from collections.abc import Iterable

from lsprotocol import types as t
from pygls.exceptions import JsonRpcException

from backstay.core.errors import Fault
from backstay.lang.lsp.index import Place
from backstay.lang.lsp.project import Project
from backstay.lang.lsp.server import SUFFIX, Server

_REFUSED = -32803
"""The protocol's code for a request that was understood and cannot be done."""


def locations(server: Server, project: Project, places: Iterable[Place]) -> list[t.Location]:
    """Places for the editor."""
    return [server.location(project, place.span) for place in places]


def make() -> Server:
    """A server with everything it answers."""
    server = Server()
    _follow(server)
    _navigate(server)
    _help(server)
    return server


def _follow(server: Server) -> None:
    @server.feature(t.TEXT_DOCUMENT_DID_OPEN)
    def opened(params: t.DidOpenTextDocumentParams) -> None:
        server.changed(params.text_document.uri)

    @server.feature(t.TEXT_DOCUMENT_DID_CHANGE)
    def changed(params: t.DidChangeTextDocumentParams) -> None:
        server.changed(params.text_document.uri)

    @server.feature(t.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: t.DidCloseTextDocumentParams) -> None:
        server.closed(params.text_document.uri)

    @server.feature(t.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def watched(params: t.DidChangeWatchedFilesParams) -> None:
        for change in params.changes:
            if change.uri.endswith(SUFFIX):
                server.reread(change.uri)


def _navigate(server: Server) -> None:
    @server.feature(t.TEXT_DOCUMENT_DEFINITION)
    def definition(params: t.DefinitionParams) -> list[t.Location]:
        project, place = server.place(params)
        if place is None:
            return []
        found = project.analysis.index.of(place.symbol)
        return locations(server, project, (each for each in found if each.defines))

    @server.feature(t.TEXT_DOCUMENT_REFERENCES)
    def references(params: t.ReferenceParams) -> list[t.Location]:
        project, place = server.place(params)
        if place is None:
            return []
        found = project.analysis.index.of(place.symbol)
        wanted = params.context.include_declaration
        return locations(server, project, (each for each in found if wanted or not each.defines))

    @server.feature(t.TEXT_DOCUMENT_RENAME, t.RenameOptions(prepare_provider=True))
    def renames(params: t.RenameParams) -> t.WorkspaceEdit | None:
        try:
            return server.renamed(params)
        except Fault as refused:
            raise JsonRpcException(f"{refused.message}; {refused.fix}", _REFUSED) from refused

    @server.feature(t.TEXT_DOCUMENT_PREPARE_RENAME)
    def prepare(params: t.PrepareRenameParams) -> t.Range | None:
        project, place = server.place(params)
        return server.range(project, place.span) if place else None

    @server.feature(t.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    def symbols(params: t.DocumentSymbolParams) -> list[t.DocumentSymbol]:
        return server.outline(params.text_document.uri)


def _help(server: Server) -> None:
    @server.feature(t.TEXT_DOCUMENT_FORMATTING)
    def formatting(params: t.DocumentFormattingParams) -> list[t.TextEdit]:
        return server.formatted(params.text_document.uri)

    options = t.CompletionOptions(trigger_characters=[".", ":", "("])

    @server.feature(t.TEXT_DOCUMENT_COMPLETION, options)
    def complete(params: t.CompletionParams) -> list[t.CompletionItem]:
        return server.choices(params)

    signed = t.SignatureHelpOptions(trigger_characters=["(", ","])

    @server.feature(t.TEXT_DOCUMENT_SIGNATURE_HELP, signed)
    def signatures(params: t.SignatureHelpParams) -> t.SignatureHelp | None:
        return server.signatures(params)

    @server.feature(t.TEXT_DOCUMENT_HOVER)
    def hover(params: t.HoverParams) -> t.Hover | None:
        said = server.word(params)
        return t.Hover(t.MarkupContent(t.MarkupKind.Markdown, said)) if said else None

    kinds = t.CodeActionOptions(code_action_kinds=[t.CodeActionKind.QuickFix])

    @server.feature(t.TEXT_DOCUMENT_CODE_ACTION, kinds)
    def fixes(params: t.CodeActionParams) -> list[t.CodeAction]:
        return server.fixes(params)
