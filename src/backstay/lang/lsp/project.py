"""The programs that are open: a folder is one, what an editor holds comes before the disk."""

from collections.abc import Iterable, Mapping
from functools import cached_property

from backstay.lang.check import check
from backstay.lang.diagnostics import Diagnostic
from backstay.lang.lsp.incremental import Document
from backstay.lang.lsp.index import Index
from backstay.lang.program import Program
from backstay.lang.syntax import File


class Analysis:
    """All sources of a program, looked at once. `program` is there also when mistakes were found;
    it then lacks what could not be read."""

    def __init__(self, documents: Iterable[Document]) -> None:
        judged = [document.tree() for document in documents]
        self.files: tuple[File, ...] = tuple(file for file, _ in judged)
        self.program: Program = check(judged, (), "")
        self.found: dict[str, list[Diagnostic]] = {
            reports.file: sorted(reports.found, key=lambda each: (each.span, each.code))
            for _, reports in judged
        }

    @cached_property
    def index(self) -> Index:
        """Which name means what, worked out when somebody asks."""
        return Index(self.files)


class Project:
    """The sources of one program by name, and the analysis of their present state."""

    def __init__(self) -> None:
        self._documents: dict[str, Document] = {}
        self._analysis: Analysis | None = None

    def put(self, name: str, text: str) -> None:
        """Add a source, or say how it reads now."""
        document = self._documents.get(name)
        if document is None:
            self._documents[name] = Document(name, text)
        elif document.text != text:
            document.change(text)
        else:
            return
        self._analysis = None

    def drop(self, name: str) -> None:
        """Forget a source."""
        if self._documents.pop(name, None) is not None:
            self._analysis = None

    def document(self, name: str) -> Document:
        """The source of this name; it must have been put."""
        return self._documents[name]

    @property
    def documents(self) -> Mapping[str, Document]:
        """All sources by name."""
        return self._documents

    def __contains__(self, name: str) -> bool:
        return name in self._documents

    @property
    def analysis(self) -> Analysis:
        """What is known of the present state; worked out once for each change."""
        if self._analysis is None:
            ordered = sorted(self._documents)
            self._analysis = Analysis(self._documents[name] for name in ordered)
        return self._analysis
