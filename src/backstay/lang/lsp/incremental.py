"""A text that is being typed: only the declaration that changed is parsed again.

The text is cut before each line that begins a declaration, and every piece keeps its tree: lines
inside a declaration are relative, so a piece that moved is still right. A piece with a mistake of
form is read together with the next one, because how the parser recovers depends on what follows;
one that ends inside a comment or a block takes the rest of the file with it. What comes out is what
the whole file would have given; only braces that are missing in several declarations are mended in
each of them alone, which keeps a half-written one from spoiling the others.
"""

import re
from collections.abc import Iterable, Iterator

import msgspec

from backstay.lang.api import MAX_CHARACTERS, parse_text
from backstay.lang.parser import parse
from backstay.lang.parser.grammar import DECLARATIONS
from backstay.lang.reports import Reports
from backstay.lang.syntax import Declaration, File

_WORDS = "|".join(DECLARATIONS)
_HEAD = re.compile(
    rf"^(?:(?:{_WORDS})\b(?=[ \t]+[A-Za-z_/]|[ \t]*\{{)|test(?=[ \t]+\"))", re.MULTILINE
)


def start_of_declaration(text: str, offset: int) -> int:
    """Where the declaration around a place begins; 0 before the first one."""
    start = 0
    # From the cursor's line backwards: a declaration is seldom long.
    at = text.rfind("\n", 0, offset) + 1
    while True:
        if _HEAD.match(text, at) and at < offset:
            start = at
            break
        if at == 0:
            break
        at = text.rfind("\n", 0, at - 1) + 1
    return start


class Piece(msgspec.Struct, frozen=True):
    """A parsed stretch of text; its lines count from its own first one."""

    declarations: tuple[Declaration, ...]
    incomplete: bool
    reports: Reports
    lines: int


class Document:
    """One source. `parsed` counts the characters that the last change made the parser read."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = ""
        self.lines: list[str] = [""]
        self.parsed = 0
        self._known: dict[str, Piece] = {}
        self._now: dict[str, Piece] = {}
        self._pieces: list[Piece] = []
        self.change(text)

    def change(self, text: str) -> None:
        """The whole text as it is now."""
        self.text = text
        self.lines = text.split("\n")
        self.parsed = 0
        self._known, self._now = self._now, {}
        self._pieces = [] if self._refused() else list(self._read(text))
        self._known = {}

    def tree(self) -> tuple[File, Reports]:
        """The tree of the whole text and the mistakes of its form, to be judged further."""
        reports = Reports(self.name)
        if self._refused():
            file, found = parse_text(self.name, self.text)
            reports.found.extend(found)
            return file, reports
        declarations: list[Declaration] = []
        down = 0
        for piece in self._pieces:
            reports.adopt(piece.reports, down)
            declarations += [
                msgspec.structs.replace(each, line=each.line + down) for each in piece.declarations
            ]
            down += piece.lines
        lost = reports.cut or any(piece.incomplete for piece in self._pieces)
        return File(self.name, self.text, tuple(declarations), (), lost), reports

    def _refused(self) -> bool:
        return len(self.text) > MAX_CHARACTERS or "\0" in self.text

    def _read(self, text: str) -> Iterator[Piece]:
        starts = [0, *(match.start() for match in _HEAD.finditer(text) if match.start())]
        ends = [*starts[1:], len(text)]
        count = len(starts)
        place = 0
        while place < count:
            first = last = place
            piece = self._piece(text[starts[first] : ends[last]])
            while last + 1 < count and self._reaches_on(text[starts[last] : ends[last]]):
                last += 1
                piece = self._piece(text[starts[first] : ends[last]])
                if piece.reports.cut:
                    self._keep(text[starts[at] : ends[at]] for at in range(first + 1, count))
                    last = count - 1
                    piece = self._piece(text[starts[first] :])
            yield piece
            place = last + 1

    def _reaches_on(self, text: str) -> bool:
        """Whether this piece alone has a mistake of form."""
        return bool(self._piece(text).reports.found)

    def _keep(self, hidden: Iterable[str]) -> None:
        """Pieces behind an open comment or text are not read now, and right again once it ends."""
        self._now.update((text, self._known[text]) for text in hidden if text in self._known)

    def _piece(self, text: str) -> Piece:
        piece = self._now.get(text) or self._known.get(text)
        if piece is None:
            reports = Reports(self.name)
            file = parse(text, reports)
            self.parsed += len(text)
            piece = Piece(file.declarations, file.incomplete, reports, text.count("\n"))
        self._now[text] = piece
        return piece
