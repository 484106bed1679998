"""Another name for a symbol, everywhere at once."""

import re
from collections.abc import Mapping, Sequence

from backstay.core.errors import Fault
from backstay.lang.check import check
from backstay.lang.diagnostics import Span
from backstay.lang.errors.commands import NOT_A_NAME, WOULD_BREAK
from backstay.lang.lsp.incremental import Document
from backstay.lang.lsp.index import Index, Place

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def edits(index: Index, place: Place, name: str) -> list[Span]:
    """Every place that has to be written anew. Raises LANG164."""
    if not _NAME.fullmatch(name):
        raise Fault(NOT_A_NAME, name=name)
    return [each.span for each in index.of(place.symbol)]


def verify(documents: Mapping[str, Document], spans: Sequence[Span], name: str) -> None:
    """The program with the new name has no more mistakes than before. Raises LANG165."""
    before = _mistakes(documents)
    after = _mistakes(
        {
            file: Document(file, written(document.text, spans, file, name))
            for file, document in documents.items()
        }
    )
    new = [each for each in after if each not in before]
    if len(after) > len(before):
        raise Fault(WOULD_BREAK, name=name, first=(new or after)[0])


def written(text: str, spans: Sequence[Span], file: str, name: str) -> str:
    """The text of a source with the new name in its places."""
    lines = text.split("\n")
    for span in sorted((each for each in spans if each.file == file), reverse=True):
        line = lines[span.line - 1]
        lines[span.line - 1] = line[: span.column - 1] + name + line[span.end_column - 1 :]
    return "\n".join(lines)


def _mistakes(documents: Mapping[str, Document]) -> list[str]:
    judged = [documents[file].tree() for file in sorted(documents)]
    check(judged, (), "")
    return [
        each.message for _, reports in judged for each in reports.found if each.severity == "error"
    ]
