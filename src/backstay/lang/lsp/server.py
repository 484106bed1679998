"""`codeai lsp`: the protocol around `Project`. Places become the editor's units here and nowhere
else: it counts from 0 and, unless it says otherwise, in UTF-16."""

from pathlib import Path

from lsprotocol import types as t
from pygls import uris
from pygls.lsp.server import LanguageServer

from backstay import __version__
from backstay.lang import syntax as s
from backstay.lang.api import decode
from backstay.lang.diagnostics import Diagnostic, Span
from backstay.lang.format import format_text
from backstay.lang.lsp import completion, hover, rename, signature
from backstay.lang.lsp.index import Place
from backstay.lang.lsp.project import Project

SUFFIX = ".cai"
_SYMBOLS = {
    "entity": t.SymbolKind.Class,
    "endpoint": t.SymbolKind.Interface,
    "workflow": t.SymbolKind.Function,
    "job": t.SymbolKind.Event,
    "integration": t.SymbolKind.Module,
    "field": t.SymbolKind.Field,
    "step": t.SymbolKind.Method,
    "operation": t.SymbolKind.Method,
}
_CHOICES = {
    "keyword": t.CompletionItemKind.Keyword,
    "type": t.CompletionItemKind.TypeParameter,
    "function": t.CompletionItemKind.Function,
    "entity": t.CompletionItemKind.Class,
    "field": t.CompletionItemKind.Field,
    "variable": t.CompletionItemKind.Variable,
    "step": t.CompletionItemKind.Method,
    "operation": t.CompletionItemKind.Method,
    "integration": t.CompletionItemKind.Module,
    "workflow": t.CompletionItemKind.Function,
    "value": t.CompletionItemKind.Value,
    "event": t.CompletionItemKind.Event,
    "role": t.CompletionItemKind.Constant,
    "middleware": t.CompletionItemKind.Module,
}


Cursor = (
    t.HoverParams | t.DefinitionParams | t.ReferenceParams | t.RenameParams | t.PrepareRenameParams
)


class Server(LanguageServer):
    """One editor's session: a project for each folder, named by address."""

    def __init__(self) -> None:
        super().__init__("codeai", f"v{__version__}")
        self._projects: dict[str, Project] = {}
        self._open: set[str] = set()
        self._told: dict[str, list[Diagnostic]] = {}

    # --- sources ---

    def project(self, uri: str) -> Project:
        """The program that a source belongs to; its folder is read when it is first asked for."""
        folder = uri.rpartition("/")[0]
        found = self._projects.get(folder)
        if found is None:
            found = self._projects[folder] = Project()
            path = uris.to_fs_path(folder) if folder.startswith("file:") else None
            if path is not None and Path(path).is_dir():
                for each in sorted(Path(path).glob(f"*{SUFFIX}")):
                    self._from_disk(found, uris.from_fs_path(str(each)) or "", each)
        return found

    def _from_disk(self, project: Project, uri: str, path: Path) -> None:
        try:
            text, _ = decode(uri, path.read_bytes())
        except OSError:
            # It went away, or may not be read: the program is then the rest of the folder.
            project.drop(uri)
            return
        project.put(uri, text)

    def changed(self, uri: str) -> None:
        """Take the editor's text and tell all diagnostics that are new."""
        self._open.add(uri)
        project = self.project(uri)
        project.put(uri, self.workspace.get_text_document(uri).source or "")
        self._told.pop(uri, None)
        self.tell(project)

    def closed(self, uri: str) -> None:
        """From now on the disk says what the source holds."""
        self._open.discard(uri)
        self.reread(uri)

    def reread(self, uri: str) -> None:
        """A file changed on disk; what the editor holds open stays."""
        if uri in self._open:
            return
        project = self.project(uri)
        path = uris.to_fs_path(uri) if uri.startswith("file:") else None
        self._from_disk(project, uri, Path(path or ""))
        self.tell(project)
        if uri not in project and self._told.pop(uri, []):
            self.text_document_publish_diagnostics(t.PublishDiagnosticsParams(uri, []))

    def tell(self, project: Project) -> None:
        """Publish the diagnostics of every source for which they changed."""
        for uri, found in project.analysis.found.items():
            if self._told.get(uri) == found:
                continue
            self._told[uri] = found
            shown = [self._diagnostic(project, each) for each in found]
            version = self.workspace.get_text_document(uri).version if uri in self._open else None
            self.text_document_publish_diagnostics(t.PublishDiagnosticsParams(uri, shown, version))

    # --- places ---

    def position(self, project: Project, file: str, line: int, column: int) -> t.Position:
        lines = project.document(file).lines
        before = lines[line - 1][: column - 1] if line <= len(lines) else ""
        return t.Position(line - 1, self.workspace.position_codec.client_num_units(before))

    def range(self, project: Project, span: Span) -> t.Range:
        return t.Range(
            self.position(project, span.file, span.line, span.column),
            self.position(project, span.file, span.end_line, span.end_column),
        )

    def column(self, project: Project, uri: str, at: t.Position) -> tuple[int, int]:
        """Line and column, from 1 and in characters, of the editor's position."""
        lines = project.document(uri).lines
        place = self.workspace.position_codec.position_from_client_units(lines, at)
        return place.line + 1, place.character + 1

    def location(self, project: Project, span: Span) -> t.Location:
        return t.Location(span.file, self.range(project, span))

    def place(self, params: Cursor) -> tuple[Project, Place | None]:
        """The name under the cursor."""
        uri = params.text_document.uri
        project = self.project(uri)
        if uri not in project:
            return project, None
        line, column = self.column(project, uri, params.position)
        return project, project.analysis.index.at(uri, line, column)

    def _diagnostic(self, project: Project, found: Diagnostic) -> t.Diagnostic:
        warning = found.severity == "warning"
        hint = f"\n{found.hint}" if found.hint else ""
        return t.Diagnostic(
            range=self.range(project, found.span),
            message=f"{found.kind}: {found.message}{hint}",
            severity=t.DiagnosticSeverity.Warning if warning else t.DiagnosticSeverity.Error,
            code=found.code,
            source="codeai",
            related_information=[
                t.DiagnosticRelatedInformation(self.location(project, each.span), each.says)
                for each in found.related
            ],
        )

    # --- answers ---

    def fixes(self, params: t.CodeActionParams) -> list[t.CodeAction]:
        """The suggested edits of the diagnostics that touch the range."""
        uri = params.text_document.uri
        project = self.project(uri)
        first, last = params.range.start.line + 1, params.range.end.line + 1
        return [
            t.CodeAction(
                title=each.edit.title,
                kind=t.CodeActionKind.QuickFix,
                diagnostics=[self._diagnostic(project, each)],
                is_preferred=True,
                edit=t.WorkspaceEdit(
                    changes={
                        each.edit.span.file: [
                            t.TextEdit(self.range(project, each.edit.span), each.edit.text)
                        ]
                    }
                ),
            )
            for each in project.analysis.found.get(uri, [])
            if each.edit and each.span.line <= last and each.span.end_line >= first
        ]

    def formatted(self, uri: str) -> list[t.TextEdit]:
        """One edit from the first to the last line that `codeai fmt` would write otherwise."""
        project = self.project(uri)
        # What cannot be read is left as it is: its author is in the middle of something.
        if uri not in project or project.document(uri).tree()[1].found:
            return []
        before = project.document(uri).lines
        after = format_text(project.document(uri).text).split("\n")
        if before == after:
            return []
        first = last = 0
        shorter = min(len(before), len(after))
        while first < shorter - 1 and before[first] == after[first]:
            first += 1
        while last < shorter - first - 1 and before[-1 - last] == after[-1 - last]:
            last += 1
        end = len(before) - last
        span = Span(uri, first + 1, 1, end, len(before[end - 1]) + 1)
        text = "\n".join(after[first : len(after) - last])
        return [t.TextEdit(self.range(project, span), text)]

    def outline(self, uri: str) -> list[t.DocumentSymbol]:
        """The declarations of a source, with fields, steps and operations below them."""
        project = self.project(uri)
        found: list[t.DocumentSymbol] = []
        for file in project.analysis.files:
            if file.name == uri:
                found += [self._symbol(project, uri, each) for each in file.declarations]
        return found

    def _symbol(self, project: Project, uri: str, node: s.Declaration) -> t.DocumentSymbol:
        keyword = node.keyword.name
        name = node.name.name if node.name else keyword
        if node.method and node.path:
            name = f"{node.method.name} {node.path.text}"
        kind = _SYMBOLS.get(keyword, t.SymbolKind.Namespace)
        return t.DocumentSymbol(
            name=name,
            kind=kind,
            detail=keyword,
            range=self._inner(project, uri, node.line, node.span),
            selection_range=self._inner(project, uri, node.line, (node.name or node.keyword).span),
            children=[
                t.DocumentSymbol(title, _SYMBOLS[kind_], place, place)
                for title, kind_, span in hover.children(node)
                for place in [self._inner(project, uri, node.line, span)]
            ],
        )

    def _inner(self, project: Project, uri: str, base: int, span: s.Range) -> t.Range:
        start, end = base + span.line, base + span.end_line
        return self.range(project, Span(uri, start, span.column, end, span.end_column))

    def choices(self, params: t.CompletionParams) -> list[t.CompletionItem]:
        """What may be typed at the cursor."""
        uri = params.text_document.uri
        project = self.project(uri)
        if uri not in project:
            return []
        document = project.document(uri)
        offset = self.offset(project, uri, params.position)
        analysis = project.analysis
        return [
            t.CompletionItem(label=each.name, kind=_CHOICES[each.kind], detail=each.detail or None)
            for each in completion.complete(
                analysis.index, analysis.program, uri, document.text, offset
            )
        ]

    def signatures(self, params: t.SignatureHelpParams) -> t.SignatureHelp | None:
        """How the function at the cursor is called."""
        uri = params.text_document.uri
        project = self.project(uri)
        if uri not in project:
            return None
        text, offset = project.document(uri).text, self.offset(project, uri, params.position)
        found, at = signature.signatures(project.analysis.program, text, offset)
        if not found:
            return None
        fitting = [place for place, each in enumerate(found) if len(each.parameters) > at]
        shown = [
            t.SignatureInformation(
                each.label,
                t.MarkupContent(t.MarkupKind.Markdown, each.says),
                [t.ParameterInformation(name) for name in each.parameters],
            )
            for each in found
        ]
        return t.SignatureHelp(shown, fitting[0] if fitting else 0, at)

    def renamed(self, params: t.RenameParams) -> t.WorkspaceEdit | None:
        """All places of a name with another one. Raises Fault where that would break something."""
        project, place = self.place(params)
        if place is None:
            return None
        spans = rename.edits(project.analysis.index, place, params.new_name)
        rename.verify(project.documents, spans, params.new_name)
        changes: dict[str, list[t.TextEdit]] = {}
        for span in spans:
            edit = t.TextEdit(self.range(project, span), params.new_name)
            changes.setdefault(span.file, []).append(edit)
        return t.WorkspaceEdit(changes=changes)

    def offset(self, project: Project, uri: str, position: t.Position) -> int:
        """Characters before the editor's position."""
        line, column = self.column(project, uri, position)
        lines = project.document(uri).lines
        return sum(len(each) + 1 for each in lines[: line - 1]) + column - 1

    def word(self, params: t.HoverParams) -> str:
        """What hovering over a place shows, in Markdown."""
        project, place = self.place(params)
        if place is not None:
            return hover.explain(project.analysis.index, place)
        uri = params.text_document.uri
        if uri not in project:
            return ""
        line, column = self.column(project, uri, params.position)
        return hover.explain_word(hover.word_at(project.document(uri).lines, line, column))
