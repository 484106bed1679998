"""The top level: one declaration after the other, each able to fail alone."""

from backstay.lang import errors as e
from backstay.lang.brackets import balance
from backstay.lang.lexer import METHODS, Token, lex
from backstay.lang.parser import grammar
from backstay.lang.parser.cursor import Cursor, Snag
from backstay.lang.parser.literals import number
from backstay.lang.parser.members import block
from backstay.lang.parser.paths import path
from backstay.lang.parser.statements import dotted, is_script, script, statement
from backstay.lang.parser.tables import refuse_tables
from backstay.lang.parser.tests import test
from backstay.lang.reports import Reports
from backstay.lang.syntax import (
    Annotation,
    Block,
    Declaration,
    File,
    FunctionNode,
    HandlerNode,
    Ident,
    Literal_,
    Range,
    StatementNode,
    TestNode,
    VarNode,
)


def parse(text: str, reports: Reports) -> File:
    """The tree of a source. Mistakes go to `reports`; what could be read is in the tree."""
    lexed = lex(text, reports)
    cursor = Cursor(balance(lexed.tokens, reports), reports, text)
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
    cursor.reports.settle()
    return tuple(found), incomplete


def _declaration(c: Cursor) -> Declaration:
    start = c.token
    annotations = _annotations(c)
    word = c.token
    kind = word.text
    if word.kind != "ident":
        raise c.expected("a declaration", words=grammar.DECLARATIONS, starts=True)
    if is_script(c):
        made = script(c)
        return _without_block(c, word, "script", made)
    if kind not in grammar.DECLARATIONS:
        kind = _other(c)
    c.note(f"declaration.{kind}", word)
    if kind in _STATEMENTS:
        found = statement(c)
        name = found.name if isinstance(found, FunctionNode | VarNode) else None
        return _without_block(c, word, kind, found, name)
    c.take()
    if kind == "test":
        return _test(c, word)
    keyword = Ident(c.range(word), kind)
    if kind == "on":
        handler = _handler(c)
        return _without_block(c, word, "on", handler)
    name = method = where = None
    if kind == "endpoint":
        method = c.name("GET, POST, PUT, PATCH or DELETE", METHODS)
        where = path(c)
    elif kind == "event":
        name = dotted(c, "a name for the event")
    elif kind != "config":
        name = _name(c, kind, word)
    inside = block(c, grammar.DECLARED_AS.get(kind, kind))
    line = start.line
    span = c.range(start)
    return Declaration(span, line, keyword, name, inside, method, where, annotations)


def _name(c: Cursor, kind: str, word: Token) -> Ident:
    name = c.name(_NAMED.get(kind, f"a name for the {kind}"))
    if kind == "database":
        refuse_tables(c, word)
    return name


_STATEMENTS = frozenset({"var", "if", "for", "exec", "function"})
_NAMED = {"database": "postgres or mongodb"}


def _without_block(
    c: Cursor,
    word: Token,
    kind: str,
    made: StatementNode | HandlerNode | TestNode,
    name: Ident | None = None,
) -> Declaration:
    """A statement at the top level, as a declaration whose block is empty."""
    span = c.range(word)
    start = Range(span.line, span.column, span.line, span.column)
    keyword = Ident(Range(0, word.column, 0, word.column + len(word.text)), kind)
    nothing = Block(start, ())
    return Declaration(span, word.line, keyword, name, nothing, statement=made)


def _test(c: Cursor, word: Token) -> Declaration:
    """`"name" { … }`."""
    try:
        made = test(c)
    finally:
        c.extra = {}
    name = Ident(made.name.span, str(made.name.value))
    return _without_block(c, word, "test", made, name)


def _annotations(c: Cursor) -> tuple[Annotation, ...]:
    found: list[Annotation] = []
    while c.at("@"):
        start = c.take()
        name = c.name("the name of an annotation")
        value = None
        if c.at("(") and not c.token.first:
            c.take()
            token = c.token
            if token.kind == "string":
                c.take()
                value = Literal_(c.range(token), "string", token.value)
            elif not c.at(")"):
                value = number(c)
            c.expect(")")
        found.append(Annotation(c.range(start), name, value))
    if found and not c.at("endpoint"):
        raise c.expected("an endpoint after its annotations", words=("endpoint",), starts=True)
    return tuple(found)


def _handler(c: Cursor) -> HandlerNode:
    """`"event" do ACTION "target" [async]`."""
    start = c.last
    event = _quoted(c, "the name of an event in quotes")
    c.expect("do")
    action = c.name("workflow, integration, emit or webhook")
    target = _quoted(c, "the name of the target in quotes")
    later = c.at("async") and not c.token.first
    if later:
        c.take()
    return HandlerNode(c.range(start), event, action, target, later)


def _quoted(c: Cursor, what: str) -> Literal_:
    token = c.token
    if token.kind != "string":
        name = dotted(c, what)
        return Literal_(name.span, "string", name.name)
    c.take()
    return Literal_(c.range(token), "string", token.value)


def _other(c: Cursor) -> str:
    """Refuse the word; returns the declaration it was most likely meant to be, or raises."""
    word = c.token
    instead = grammar.REFUSED_DECLARATIONS.get(word.text)
    if instead is not None:
        what = f"'{word.text}' at the top level"
        raise c.snag(e.UNSUPPORTED, word.span(c.reports.file), what=what, instead=instead)
    meant = c.unknown(e.UNKNOWN_DECLARATION, word, grammar.DECLARATIONS)
    if meant is None:
        raise Snag
    return meant
