"""Text in, tokens out: one compiled expression, one pass, time linear in the length of the text.

Spaces are dropped, comments are kept beside the tokens, and a character that belongs nowhere
becomes a diagnostic and not a token, so the parser never trips over it a second time.
"""

import re
from collections.abc import Iterator
from typing import Literal

import msgspec

from backstay.core.duration import parse_duration
from backstay.lang import errors as e
from backstay.lang.diagnostics import Edit, Span
from backstay.lang.reports import Reports
from backstay.lang.syntax import Comment

Kind = Literal["ident", "int", "decimal", "duration", "string", "path", "raw", "op", "end"]

_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\r\f\v\u00a0\ufeff]+)
    | (?P<line>\n)
    | (?P<comment>\#[^\n]* | //[^\n]* | /\*[\s\S]*?\*/)
    | (?P<open_comment>/\*[\s\S]*)
    | (?P<ident>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<duration>(?:[0-9]+(?:\.[0-9]+)?(?:ns|us|µs|ms|s|m|h|d))+(?![A-Za-z0-9_.]))
    | (?P<number>[0-9]+(?:\.[0-9]*)?(?![A-Za-z0-9_.]))
    | (?P<bad_number>[0-9][A-Za-z0-9_.]*)
    | (?P<long>\"\"\"[^"\\]*(?:(?:\\[\s\S]|"(?!""))[^"\\]*)*\"\"\")
    | (?P<open_long>\"\"\"[\s\S]*)
    | (?P<string>"[^"\\\n]*(?:\\.[^"\\\n]*)*")
    | (?P<open_string>"[^\n]*?(?=[ \t]?\{[ \t\r]*(?:\n|\Z))|"[^\n]*)
    | (?P<single>'[^'\n]*')
    | (?P<op>==|!=|<=|>=|\?\?|&&|\|\||->|=>|[-+*/%<>=?:,.()\[\]{}@!])
    | (?P<bad>[\s\S])
    """,
    re.VERBOSE,
)
_COMMAND = re.compile(r"""[^{}"'\\]+|\\[\s\S]|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[\s\S]""")
PATH = re.compile(r"/(?:[^\s{},]|(?<=/)\{[^\s{}]*\}?)*")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|[\s\S])")
_PLAIN_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "/": "/", "{": "{"}
_PLAIN_ESCAPES |= {"}": "}", "'": "'"}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_INSTEAD = {"&&": "and", "||": "or", "!": "not"}


class Token(msgspec.Struct, frozen=True, gc=False):
    """`text` is as written, `value` decoded (strings, numbers, seconds). Columns count from 1;
    `start` and `end` are offsets into the text; `first` is true for the first of a line."""

    kind: Kind
    text: str
    value: str | int | float | None
    line: int
    column: int
    end_line: int
    end_column: int
    start: int
    end: int
    first: bool = False

    def span(self, file: str) -> Span:
        return Span(file, self.line, self.column, self.end_line, self.end_column)


class Lexed(msgspec.Struct, frozen=True):
    """`tokens` ends with one of kind `end`. `steps` counts matches: the work done."""

    tokens: list[Token]
    comments: tuple[Comment, ...]
    steps: int


class _Lexer:
    def __init__(self, text: str, reports: Reports) -> None:
        self.text = text
        self.reports = reports
        self.tokens: list[Token] = []
        self.comments: list[Comment] = []
        self.line = 1
        self.line_start = 0
        self.first = True
        self.bad_until = -1
        self.endless = False

    def run(self) -> Lexed:
        steps = position = 0
        while position < len(self.text):
            match = _TOKEN.match(self.text, position)
            if match is None:  # pragma: no cover - the last alternative takes any character
                break
            steps += 1
            group = match.lastgroup
            if match.group() == "/" and self._path_follows():
                position = self._path(position)
                continue
            if match.group() == "{" and self._command_follows():
                position = self._command(position)
                continue
            position = match.end()
            if group == "space":
                continue
            if group == "line":
                self._newlines(match.start(), "\n")
                continue
            self._take(group or "bad", match.group(), match.start())
        self._add("end", "", None, len(self.text))
        return Lexed(self.tokens, tuple(self.comments), steps)

    def _take(self, group: str, text: str, start: int) -> None:
        if group in ("ident", "op"):
            self._word_or_sign(group, text, start)
        elif group == "string":
            self._add("string", text, self._decode(text[1:-1], start + 1), start)
        elif group == "number":
            whole = text.isdigit()
            # A long run of digits would take quadratic time to become a number.
            value = int(text) if whole and len(text) < 20 else text.rstrip(".")
            self._add("int" if isinstance(value, int) else "decimal", text, value, start)
        elif group == "duration":
            self._add("duration", text, parse_duration(text), start)
        else:
            self._rare(group, text, start)

    def _path_follows(self) -> bool:
        """After `endpoint GET`, `call GET` and `path:` a slash begins a path, not a division."""
        if len(self.tokens) < 2:
            return False
        before, last = self.tokens[-2], self.tokens[-1]
        if last.text == ":":
            return before.text == "path"
        if before.text == "call":
            return last.text in METHODS
        return before.text == "endpoint" and last.kind == "ident"

    def _path(self, start: int) -> int:
        """Takes a path; returns where the next token begins. No path ends in a colon, but people
        write one before a block."""
        match = PATH.match(self.text, start)
        text = match.group().rstrip(":") if match else "/"
        self._add("path", text, None, start)
        return start + len(text)

    def _command_follows(self) -> bool:
        """Whether the brace opens the command of an `exec`. A step may have the name, too."""
        if not self.tokens or self.tokens[-1].text != "exec" or self.tokens[-1].kind != "ident":
            return False
        before = self.tokens[-2] if len(self.tokens) > 1 else None
        inside = before is not None and before.text in ("steps", "parallel", "operation")
        opened = before is not None and before.text == "{" and len(self.tokens) > 2
        return not inside and not (opened and self.tokens[-3].text in ("steps", "parallel"))

    def _command(self, start: int) -> int:
        """Takes a command up to its own closing brace; returns where the next token begins.

        Braces inside count, those in quotes do not. What never closes ends at its first brace.
        """
        depth, end = 0, -1
        position = start
        while not self.endless and position < len(self.text):
            match = _COMMAND.match(self.text, position)
            if match is None:  # pragma: no cover - the last alternative takes any character
                break
            position = match.end()
            if match.group() == "{":
                depth += 1
            elif match.group() == "}":
                depth -= 1
                if not depth:
                    end = position
                    break
        if end < 0:
            # Looking to the end of the text once is enough.
            self.endless = True
            end = self.text.find("}", start) + 1
        if end <= 0:
            self.reports.add(e.MISSING_CLOSE, self._span("{", start), what="exec", line=self.line)
            self.reports.cut = True
            end = len(self.text)
        text = self.text[start:end]
        self._add("raw", text, text[1:].removesuffix("}").strip(), start)
        self._newlines(start, text)
        return end

    def _word_or_sign(self, group: str, text: str, start: int) -> None:
        instead = _INSTEAD.get(text)
        if instead:
            span = self._span(text, start)
            edit = Edit(f"write '{instead}'", span, f"{instead} " if text == "!" else instead)
            self.reports.add(e.UNEXPECTED_CHARACTER, span, edit=edit, text=text)
            self._add("ident", instead, None, start, text)
            return
        self._add("ident" if group == "ident" else "op", text, None, start)

    def _rare(self, group: str, text: str, start: int) -> None:
        if group == "comment":
            self.comments.append(Comment(text, self.line, start - self.line_start + 1))
            self._newlines(start, text)
        elif group == "long":
            self._add("string", text, self._decode(text[3:-3], start + 3), start)
            self._newlines(start, text)
        elif group == "open_comment":
            self.reports.cut = True
            self.reports.add(e.OPEN_COMMENT, self._span("/*", start))
            self._newlines(start, text)
        elif group in ("open_long", "open_string"):
            self._open_string(text, start, '"""' if group == "open_long" else '"')
        elif group == "single":
            span = self._span(text, start)
            double = '"' + text[1:-1].replace('"', '\\"') + '"'
            edit = Edit("use double quotes", span, double)
            self.reports.add(e.UNEXPECTED_CHARACTER, span, edit=edit, text="'")
            self._add("string", double, text[1:-1], start, text)
        elif group == "bad_number":
            self.reports.add(e.BAD_NUMBER, self._span(text, start), text=text)
            self._add("int", text, 0, start)
        else:
            self._bad(text, start)

    def _open_string(self, text: str, start: int, quote: str) -> None:
        self.reports.cut |= quote != '"'
        span = self._span(text if quote == '"' else quote, start)
        end = Span(span.file, span.end_line, span.end_column, span.end_line, span.end_column)
        # A brace that ends the line opens a block; what else follows may as well be text.
        self.reports.add(e.OPEN_STRING, span, edit=Edit(f"close it with {quote}", end, quote))
        self._add("string", text, text[len(quote) :], start)
        self._newlines(start, text)

    def _bad(self, text: str, start: int) -> None:
        # A run of strange characters is one mistake.
        if start != self.bad_until:
            span = self._span(text, start)
            edit = Edit("remove it", span, "")
            self.reports.add(e.UNEXPECTED_CHARACTER, span, edit=edit, text=text)
        self.bad_until = start + len(text)

    def _add(
        self,
        kind: Kind,
        text: str,
        value: str | float | None,
        start: int,
        source: str | None = None,
    ) -> None:
        source = text if source is None else source
        span = self._span(source, start)
        end = start + len(source)
        self.tokens.append(
            Token(
                kind,
                text,
                value,
                span.line,
                span.column,
                span.end_line,
                span.end_column,
                start,
                end,
                self.first,
            )
        )
        self.first = False

    def _span(self, text: str, start: int) -> Span:
        column = start - self.line_start + 1
        newlines = text.count("\n")
        if not newlines:
            return Span(self.reports.file, self.line, column, self.line, column + len(text))
        tail = len(text) - text.rfind("\n")
        return Span(self.reports.file, self.line, column, self.line + newlines, tail)

    def _newlines(self, start: int, text: str) -> None:
        count = text.count("\n")
        if count:
            self.line += count
            self.line_start = start + text.rfind("\n") + 1
            self.first = True

    def _decode(self, body: str, start: int) -> str:
        """A text without its escapes; `start` is its offset. A long text may have many lines."""
        if "\\" not in body:
            return body
        line, line_start, seen = self.line, self.line_start, 0

        def decoded(found: re.Match[str]) -> str:
            nonlocal line, line_start, seen
            name = found.group(1)
            plain = _unicode(name) if len(name) == 5 else _PLAIN_ESCAPES.get(name)
            if plain is not None:
                return plain
            at = found.start()
            if "\n" in body[seen:at]:
                line += body.count("\n", seen, at)
                line_start = start + body.rfind("\n", seen, at) + 1
            seen = at
            self._bad_escape(name, line, start + at - line_start + 1)
            return name

        return _ESCAPE.sub(decoded, body)

    def _bad_escape(self, name: str, line: int, column: int) -> None:
        end = (line, column + 2) if name != "\n" else (line + 1, 1)
        span = Span(self.reports.file, line, column, *end)
        edit = Edit("write two backslashes", span, f"\\\\{name}")
        self.reports.add(e.BAD_ESCAPE, span, edit=edit, text=name)


def _unicode(name: str) -> str:
    code = int(name[1:], 16)
    # Half a surrogate pair is no character, and would fail later when the text is encoded.
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else chr(code)


def lex(text: str, reports: Reports) -> Lexed:
    """All tokens of a text; problems go to `reports`."""
    return _Lexer(text, reports).run()


class Piece(msgspec.Struct, frozen=True):
    """A part of a string token: plain text, or the inside of a hole with its offset in `text`."""

    text: str
    hole: bool
    offset: int


_PIECE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|[\s\S])|\{([^{}\n]*)\}|\{|[^\\{]+")


def pieces(token: Token) -> Iterator[Piece]:
    """The plain parts (decoded) and the holes of a string token."""
    width = 3 if token.text.startswith('"""') and len(token.text) >= 6 else 1
    closed = len(token.text) > width and token.text.endswith('"')
    body = token.text[width : -width if closed else None]
    for match in _PIECE.finditer(body):
        text = match.group()
        if match.group(1) is not None:
            yield Piece(match.group(1), True, width + match.start(1))
        elif text == "{":
            yield Piece("", True, width + match.start() + 1)
        elif text.startswith("\\") and len(text) > 1:
            name = text[1:]
            plain = _unicode(name) if len(name) == 5 else _PLAIN_ESCAPES.get(name, name)
            yield Piece(plain, False, width + match.start())
        else:
            yield Piece(text, False, width + match.start())
