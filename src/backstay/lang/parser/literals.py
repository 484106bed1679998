"""Numbers, durations, and texts with holes."""

import re

from backstay.lang import errors as e
from backstay.lang.lexer import Token, pieces
from backstay.lang.parser.cursor import Cursor
from backstay.lang.syntax import Dot, Expr, Ident, Literal_, NameExpr, Range, Text

_HOLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")


def number(c: Cursor) -> Literal_:
    """A number or a duration."""
    token = c.token
    if token.kind == "int" or token.kind == "decimal" or token.kind == "duration":
        c.take()
        return Literal_(c.range(token), token.kind, token.value)
    raise c.expected("a number")


def text(c: Cursor, token: Token) -> Expr:
    """A string token as a literal, or as a text with holes."""
    span = c.range(token)
    if "{" not in token.text:
        return Literal_(span, "string", token.value)
    parts: list[str | Expr] = []
    for piece in pieces(token):
        if piece.hole:
            parts.append(hole(c, token, piece.text, piece.offset))
        elif parts and isinstance(parts[-1], str):
            parts[-1] += piece.text
        else:
            parts.append(piece.text)
    c.grow(len(parts))
    if all(isinstance(part, str) for part in parts):
        return Literal_(span, "string", token.value)
    return Text(span, tuple(parts))


def hole(c: Cursor, token: Token, inside: str, offset: int) -> Expr:
    """The path inside the braces of a token's text, which begins at `offset` of it."""
    match = _HOLE.fullmatch(inside.strip())
    if match is None:
        line, column = _within(token, offset)
        end = column + len(inside)
        line -= c.reports.base
        place = c.reports.at(Range(line, column - 1, line, end))
        raise c.snag(e.BAD_HOLE, place, text=inside)
    position = offset + len(inside) - len(inside.lstrip())
    expr: Expr | None = None
    for name in match.group().split("."):
        line, column = _within(token, position)
        line -= c.reports.base
        span = Range(line, column, line, column + len(name))
        if expr is None:
            expr = NameExpr(span, name)
        else:
            whole = Range(line, expr.span.column, line, span.end_column)
            expr = Dot(whole, expr, Ident(span, name))
        position += len(name) + 1
    assert expr is not None  # noqa: S101 - the pattern has at least one name
    return expr


def _within(token: Token, offset: int) -> tuple[int, int]:
    """Line and column of an offset inside a token's text."""
    newlines = token.text.count("\n", 0, offset)
    if not newlines:
        return token.line, token.column + offset
    return token.line + newlines, offset - token.text.rfind("\n", 0, offset)
