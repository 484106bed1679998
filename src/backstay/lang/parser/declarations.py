"""The top level: one declaration after the other, each able to fail alone."""

from backstay.lang import errors as e
from backstay.lang.brackets import balance
from backstay.lang.lexer import lex
from backstay.lang.parser import grammar
from backstay.lang.parser.cursor import Cursor, Snag
from backstay.lang.parser.members import block, path
from backstay.lang.reports import Reports
from backstay.lang.syntax import Declaration, File, Ident


def parse(text: str, reports: Reports) -> File:
    """The tree of a source. Mistakes go to `reports`; what could be read is in the tree."""
    lexed = lex(text, reports)
    cursor = Cursor(balance(lexed.tokens, reports), reports)
    found, incomplete = declarations(cursor)
    return File(reports.file, text, found, lexed.comments, incomplete or reports.cut)


def declarations(cursor: Cursor) -> tuple[tuple[Declaration, ...], bool]:
    """All declarations to the end of the tokens, and whether one was lost."""
    found: list[Declaration] = []
    incomplete = False
    while cursor.token.kind != "end":
        before = cursor.position
        cursor.depth = cursor.braces = 0
        cursor.reports.base = cursor.token.line
        try:
            found.append(_declaration(cursor))
        except Snag:
            incomplete = True
            if cursor.position == before:
                cursor.take()
            cursor.skip_declaration()
    return tuple(found), incomplete


def _declaration(c: Cursor) -> Declaration:
    word = c.token
    kind = word.text
    if word.kind != "ident":
        if word.text == "@":
            span = word.span(c.reports.file)
            raise c.snag(e.UNSUPPORTED, span, what="an annotation", instead="leave it out")
        raise c.expected("a declaration", words=grammar.DECLARATIONS, starts=True)
    if kind not in grammar.DECLARATIONS:
        kind = _other(c)
    c.take()
    keyword = Ident(c.range(word), kind)
    name = method = where = None
    if kind == "endpoint":
        method = c.name("GET, POST, PUT, PATCH or DELETE", METHODS)
        where = path(c)
    elif kind != "config":
        name = c.name(f"a name for the {kind}")
    inside = block(c, kind)
    return Declaration(c.range(word), word.line, keyword, name, inside, method, where)


METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def _other(c: Cursor) -> str:
    """Refuse the word; returns the declaration it was most likely meant to be, or raises."""
    word = c.token
    instead = grammar.REFUSED_DECLARATIONS.get(word.text)
    if instead is None and c.ahead().text == "=":
        instead = "use let inside do"
    if instead is not None:
        what = f"'{word.text}' at the top level"
        raise c.snag(e.UNSUPPORTED, word.span(c.reports.file), what=what, instead=instead)
    meant = c.unknown(e.UNKNOWN_DECLARATION, word, grammar.DECLARATIONS)
    if meant is None:
        raise Snag
    return meant
