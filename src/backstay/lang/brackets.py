"""Braces made to balance before the parser sees them.

When the braces of a file balance they are believed, however the file is laid out. When they do
not, the layout tells where one is missing: a block ends where its own indentation comes back.
A brace that is missing is put in, one too many is taken out, with one diagnostic for each, so the
parser and everything after it see the program that was most likely meant.
"""

from backstay.lang import errors as e
from backstay.lang.diagnostics import Edit, Related, Span
from backstay.lang.lexer import Token
from backstay.lang.reports import Reports

_MOST_REPAIRS = 50
"""Putting a brace in moves what follows; a file that needs more repairs than this is no program."""


def balance(tokens: list[Token], reports: Reports) -> list[Token]:
    """The same tokens, or a list with as many `{` as `}`, rightly nested. Linear."""
    return tokens if _balanced(tokens) else _Repair(tokens, reports).run()


def _balanced(tokens: list[Token]) -> bool:
    depth = 0
    for token in tokens:
        if token.kind == "op":
            if token.text == "{":
                depth += 1
            elif token.text == "}":
                depth -= 1
                if depth < 0:
                    return False
    return depth == 0


class _Open:
    """An open brace: its token, the indentation of its line, the word before it."""

    __slots__ = ("indent", "last_at", "token", "word")

    def __init__(self, token: Token, indent: int, word: str) -> None:
        self.token = token
        self.indent = indent
        self.word = word
        # The last first-of-line token at each column, while this block was innermost.
        self.last_at: dict[int, tuple[Token, int]] = {}


class _Repair:
    def __init__(self, tokens: list[Token], reports: Reports) -> None:
        self.tokens = tokens
        self.reports = reports
        self.out: list[Token] = []
        self.stack: list[_Open] = []
        self.root = _Open(tokens[-1], 0, "")
        self.repairs = 0
        self.indent = 1
        self.words: list[str] = []

    def run(self) -> list[Token]:
        for token in self.tokens[:-1]:
            if token.first:
                self._line_starts(token)
            if token.kind == "op" and token.text == "{":
                (self.stack[-1] if self.stack else self.root).last_at.pop(self.indent, None)
                self.stack.append(_Open(token, self.indent, " ".join(self.words[-2:]) or "{"))
                self.out.append(token)
            elif token.kind == "op" and token.text == "}":
                self._close(token)
            else:
                if token.kind == "ident":
                    self.words.append(token.text)
                self.out.append(token)
        self._at_end(self.tokens[-1])
        self.out.append(self.tokens[-1])
        return self.out

    def _line_starts(self, token: Token) -> None:
        closing = token.text == "}" and token.kind == "op"
        while self.stack and self._must_be_closed(self.stack[-1], token, closing=closing):
            self._insert_close(self.stack.pop())
        self.indent = token.column
        self.words = []
        if not closing:
            within = self.stack[-1] if self.stack else self.root
            within.last_at[token.column] = (token, len(self.out))

    @staticmethod
    def _must_be_closed(block: _Open, token: Token, *, closing: bool) -> bool:
        if token.line == block.token.line:
            return False
        return block.indent > token.column if closing else block.indent >= token.column

    def _close(self, token: Token) -> None:
        if not self.stack:
            self._opened_nowhere(self.root, token)
            return
        top = self.stack[-1]
        if token.first and token.column > top.indent and token.line != top.token.line:
            self._opened_nowhere(top, token)
            return
        if not token.first and token.line != top.token.line:
            # `path id: uuid }`: the block was most likely to be opened on this line, and the
            # parser will say so at the right word; only when it does not, the brace is too much.
            self._extra(token)
            return
        self.stack.pop()
        self.out.append(token)

    def _opened_nowhere(self, top: _Open, token: Token) -> None:
        found = top.last_at.get(token.column)
        self.repairs += 1
        if found is None or found[0].kind != "ident" or self.repairs > _MOST_REPAIRS:
            self._extra(token)
            return
        head, index = found
        end = index
        while end < len(self.out) and self.out[end].line == head.line:
            end += 1
        if end == len(self.out) or self.out[end].column <= head.column:
            self._extra(token)
            return
        last = self.out[end - 1]
        span = Span(
            self.reports.file, last.end_line, last.end_column, last.end_line, last.end_column
        )
        edit = Edit("insert '{'", span, " {")
        self.reports.add(e.MISSING_OPEN, span, expected=("{",), edit=edit, name=head.text)
        self.out.insert(end, _virtual("{", last))
        self.out.append(token)

    def _insert_close(self, block: _Open) -> None:
        last = self.out[-1]
        self._report_missing(block, last)
        self.out.append(_virtual("}", last))

    def _report_missing(self, block: _Open, last: Token) -> None:
        """The brace belongs on the line after the last thing in the block, where the block's own
        line begins; a block that was opened on that last line is closed on it."""
        file, line, column = self.reports.file, last.end_line, last.end_column
        after = Span(file, line, column, line, column)
        if block.token.line == line:
            span, text = after, " }"
        else:
            span = Span(file, line + 1, block.indent, line + 1, block.indent)
            text = "\n" + " " * (block.indent - 1) + "}"
        opened = Related(block.token.span(self.reports.file), "opened here")
        self.reports.add(
            e.MISSING_CLOSE,
            span,
            expected=("}",),
            related=(opened,),
            edit=Edit("insert '}'", after, text),
            what=f"'{block.word}'",
        )

    def _extra(self, token: Token) -> None:
        span = token.span(self.reports.file)
        self.reports.suspect(e.EXTRA_CLOSE, span, Edit("remove it", span, ""))

    def _at_end(self, end: Token) -> None:
        """A file that stops too early is one mistake, however many blocks it leaves open."""
        if self.stack:
            self.reports.cut = True
            self._report_missing(self.stack[-1], self.out[-1])
        while self.stack:
            self.stack.pop()
            self.out.append(_virtual("}", end))


def _virtual(text: str, after: Token) -> Token:
    return Token(
        "op",
        text,
        None,
        after.end_line,
        after.end_column,
        after.end_line,
        after.end_column,
        after.end,
        after.end,
    )
