"""Lines of tokens, indented and spaced.

The layout works on tokens, not on the tree: whatever the parser learns to read, it can lay out,
and it keeps every line break, because a new line ends a member. What it decides is indentation,
the spaces inside a line, blank lines and the end of the file. Linear.
"""

from collections.abc import Iterator, Sequence

import msgspec

from backstay.core.errors import Fault
from backstay.lang import syntax
from backstay.lang.errors import FORMAT_CHANGES
from backstay.lang.format.meaning import nodes
from backstay.lang.format.spacing import Spacing, continues
from backstay.lang.format.spelling import respelled
from backstay.lang.lexer import Token, lex
from backstay.lang.parser import parse
from backstay.lang.reports import Reports
from backstay.lang.syntax import Comment

_INDENT = "  "
_OPEN, _CLOSE = frozenset("{[("), frozenset("}])")


class Piece(msgspec.Struct, frozen=True, gc=False):
    """A token or a comment as it stands in the source. `kind` is the token's, or `comment`."""

    kind: str
    text: str
    line: int
    column: int
    end_line: int
    end_column: int

    @property
    def opens(self) -> bool:
        return self.kind == "op" and self.text in _OPEN

    @property
    def closes(self) -> bool:
        return self.kind == "op" and self.text in _CLOSE


def format_text(text: str) -> str:
    """The canonical spelling and layout of a source without mistakes of form.

    Raises LANG123 rather than give back another program.
    """
    text = respelled(text)
    before = lex(text, Reports(""))
    kept = list(_verbatim(text))
    made = _Layout(_pieces(text, before.tokens, before.comments, kept)).run()
    after = lex(made, Reports(""))
    if _words(text, before.tokens) != _words(made, after.tokens) or (
        _said(before.comments) != _said(after.comments)
    ):
        raise Fault(FORMAT_CHANGES)
    return made


def _words(text: str, tokens: Sequence[Token]) -> list[tuple[str, str, bool]]:
    # The end of a file may stand on a line of its own or not.
    return [(each.kind, text[each.start : each.end], each.first) for each in tokens[:-1]]


def _said(comments: Sequence[Comment]) -> list[list[str]]:
    return [[line.strip() for line in each.text.split("\n")] for each in comments]


def _verbatim(text: str) -> Iterator[syntax.Range]:
    """Where queries stand that are written out: another language, with spaces of its own."""
    for declaration in parse(text, Reports("")).declarations:
        for node in nodes(declaration):
            if isinstance(node, syntax.QueryNode):
                base, span = declaration.line, node.span
                yield syntax.Range(
                    base + span.line, span.column, base + span.end_line, span.end_column
                )


def _pieces(
    text: str,
    tokens: Sequence[Token],
    comments: Sequence[Comment],
    kept: Sequence[syntax.Range],
) -> list[Piece]:
    """Tokens, comments and what is kept as it is, in source order."""
    found = _words_and_comments(text, tokens, comments)
    if not kept:
        return found
    lines = text.split("\n")
    whole = [_kept(lines, each) for each in sorted(kept, key=lambda each: (each.line, each.column))]
    made: list[Piece] = []
    for piece in found:
        while whole and (whole[0].end_line, whole[0].end_column) <= (piece.line, piece.column):
            made.append(whole.pop(0))
        if not whole or (piece.line, piece.column) < (whole[0].line, whole[0].column):
            made.append(piece)
    return made + whole


def _kept(lines: Sequence[str], at: syntax.Range) -> Piece:
    said = list(lines[at.line - 1 : at.end_line])
    said[-1] = said[-1][: at.end_column - 1]
    said[0] = said[0][at.column - 1 :]
    return Piece("string", "\n".join(said), at.line, at.column, at.end_line, at.end_column)


def _words_and_comments(
    text: str, tokens: Sequence[Token], comments: Sequence[Comment]
) -> list[Piece]:
    found = [
        Piece(
            each.kind,
            text[each.start : each.end],
            each.line,
            each.column,
            each.end_line,
            each.end_column,
        )
        for each in tokens[:-1]
    ]
    found += [_comment(each) for each in comments]
    found.sort(key=lambda piece: (piece.line, piece.column))
    return found


def _comment(comment: Comment) -> Piece:
    lines = comment.text.split("\n")
    end = len(lines[-1]) + (comment.column if len(lines) == 1 else 1)
    text = "\n".join(line.rstrip() for line in lines)
    last = comment.line + len(lines) - 1
    return Piece("comment", text, comment.line, comment.column, last, end)


def _lines(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    line: list[Piece] = []
    for piece in pieces:
        if line and piece.line > line[-1].end_line:
            yield line
            line = []
        line.append(piece)
    if line:
        yield line


class _Layout:
    """`open` holds, for each open bracket, the indentation of the line it stands on."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = pieces
        self.open: list[int] = []
        self.out: list[str] = []
        self.spacing = Spacing()

    def run(self) -> str:
        last: list[Piece] = []
        code: Piece | None = None
        for line in _lines(self.pieces):
            if last and self._blank_between(last, line):
                self.out.append("")
            indent = self._indent(line[0], code)
            self.out.append(_INDENT * indent + self._line(line, indent))
            last = line
            code = next((each for each in reversed(line) if each.kind != "comment"), code)
        return "\n".join(self.out) + "\n" if self.out else ""

    def _blank_between(self, last: Sequence[Piece], line: Sequence[Piece]) -> bool:
        if not self.open and last[0].closes and line[0].text != "else":
            return True
        if line[0].closes or _opening(last):
            return False
        return line[0].line - last[-1].end_line > 1

    def _indent(self, first: Piece, code: Piece | None) -> int:
        if first.closes:
            return self.open[-1] if self.open else 0
        inner = self.open[-1] + 1 if self.open else 0
        if first.kind == "comment" or code is None:
            return inner
        return inner + continues(code, first)

    def _line(self, line: Sequence[Piece], indent: int) -> str:
        said: list[str] = []
        before: Piece | None = None
        for piece in line:
            if before is not None:
                said.append(self.spacing.between(before, piece))
            said.append(piece.text)
            if piece.opens:
                self.open.append(indent)
            elif piece.closes and self.open:
                self.open.pop()
            self.spacing.take(piece)
            before = piece
        return "".join(said).rstrip()


def _opening(line: Sequence[Piece]) -> bool:
    code = [each for each in line if each.kind != "comment"]
    return bool(code) and code[-1].opens
