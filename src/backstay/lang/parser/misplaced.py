"""Declarations where only statements may stand."""

from backstay.lang import errors as e
from backstay.lang.parser import grammar
from backstay.lang.parser.cursor import Cursor, Snag

_DECLARED = frozenset(grammar.DECLARATIONS) - {"function", "var", "if", "for", "exec"}


def is_declaration(c: Cursor) -> bool:
    """`role NAME {`, `config {`, `on "event" do …`, `@name`: what belongs to the top
    level."""
    if c.at("@"):
        return True
    after = c.ahead()
    named = after.kind in ("ident", "string") or after.text == "{"
    return c.token.text in _DECLARED and named and not after.first


def misplaced(c: Cursor) -> Snag:
    """Reports the declaration and passes over it. What it would have declared is missing now, so
    nothing is said of names that nobody has."""
    start, braces, opened = c.token, c.braces, False
    while c.token.kind != "end" and not (c.at("}") and c.braces == braces):
        token = c.take()
        opened |= c.braces > braces
        done = c.braces == braces if opened else start.text == "on" and c.token.first
        if done and token.text != "@":
            break
    c.reports.cut = True
    name = "endpoint" if start.text == "@" else start.text
    fix = "move it to the top level: it holds for the whole program, whatever a condition says"
    return c.snag(e.MISPLACED, start.span(c.reports.file), what=f"'{name}' inside a block", fix=fix)
