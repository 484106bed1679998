"""Paths of endpoints and operations."""

from backstay.lang import errors as e
from backstay.lang.parser.cursor import Cursor
from backstay.lang.syntax import Ident, Path, Range


def path(c: Cursor) -> Path:
    """`/a/{b}`, in quotes or not. Reports holes that are not closed or not named."""
    token = c.token
    if token.kind not in ("path", "string"):
        raise c.expected("a path such as /orders/{id}")
    c.take()
    quoted = token.kind == "string"
    text = str(token.value) if quoted else token.text
    column = token.column + quoted
    span = c.range(token)
    if quoted and "/:" in text and "{" not in text:
        return _with_colons(c, text, span, column)
    holes = []
    position = text.find("{")
    while position >= 0:
        end = text.find("}", position)
        name = text[position + 1 : end if end >= 0 else len(text)].split("/")[0]
        at = Range(span.line, column + position + 1, span.line, column + position + 1 + len(name))
        if end < 0 or not _is_name(name) or not text[position - 1 : position] == "/":
            raise c.snag(e.BAD_PATH, c.reports.at(at), path=text)
        holes.append(Ident(at, name))
        position = text.find("{", end)
    if not text.startswith("/") or "/:" in text or "//" in text:
        raise c.snag(e.BAD_PATH, c.reports.at(span), path=text)
    return Path(span, text, tuple(holes))


def _with_colons(c: Cursor, text: str, span: Range, column: int) -> Path:
    """`"/users/:id"`, as the oldest endpoints say it."""
    holes: list[Ident] = []
    parts: list[str] = []
    position = 0
    for part in text.split("/"):
        if part.startswith(":"):
            at = Range(span.line, column + position + 1, span.line, column + position + len(part))
            if not _is_name(part[1:]):
                raise c.snag(e.BAD_PATH, c.reports.at(at), path=text)
            holes.append(Ident(at, part[1:]))
            parts.append(f"{{{part[1:]}}}")
        else:
            parts.append(part)
        position += len(part) + 1
    if not text.startswith("/") or "//" in text:
        raise c.snag(e.BAD_PATH, c.reports.at(span), path=text)
    return Path(span, "/".join(parts), tuple(holes), colons=True)


def _is_name(text: str) -> bool:
    """Whether the lexer takes it for one word, so that `path { }` can say its type."""
    return text.isascii() and text.isidentifier()
