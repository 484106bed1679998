"""Statements that give names and change rows."""

from backstay.core.nearest import nearest
from backstay.lang import errors as e
from backstay.lang.diagnostics import Edit
from backstay.lang.parser.cursor import Cursor
from backstay.lang.parser.expressions import entries, expression
from backstay.lang.parser.literals import number
from backstay.lang.syntax import (
    CreateNode,
    DeleteNode,
    Expr,
    FailNode,
    GivenNode,
    LetNode,
    QueryNode,
    RestoreNode,
    RunNode,
    StartNode,
    UpdateNode,
    VisitNode,
)


def not_a_statement(c: Cursor, meant: str | None, words: tuple[str, ...]) -> None:
    """Reports the word that stands here; `meant` is what it was most likely to be."""
    span = c.token.span(c.reports.file)
    edit = Edit(f"did you mean '{meant}'?", span, meant) if meant else None
    got = c.got(starts=True)
    c.reports.add(e.EXPECTED, span, expected=words, edit=edit, wanted="a statement", got=got)


def let(c: Cursor) -> LetNode:
    """`NAME = EXPR`, or what a write gives; the word is taken, as in all of them."""
    first = c.last
    name = c.declared("a name for the value")
    c.expect("=")
    value: Expr | CreateNode | StartNode | QueryNode | GivenNode | RunNode | VisitNode
    if c.token.text in c.extra and c.ahead().kind == "ident" and not c.ahead().first:
        value = _extra_value(c)
    elif c.at("create") and c.ahead().kind == "ident":
        c.take()
        value = create(c)
    elif c.at("start") and c.ahead().kind == "ident":
        c.take()
        value = start(c)
    elif c.at("query") and c.ahead().kind == "string":
        value = _query(c)
    elif _is_misspelt_write(c):
        word = c.token
        meant = nearest(word.text, ("create", "start"))
        not_a_statement(c, meant, ("create", "start"))
        c.take()
        value = create(c) if meant == "create" else start(c)
    else:
        value = expression(c)
    return LetNode(c.range(first), name, value)


def _query(c: Cursor) -> QueryNode:
    """`query "…"`: what a query reads."""
    c.note("statement.query", c.token)
    c.take()
    token = c.take()
    return QueryNode(c.range(token), str(token.value))


def _extra_value(c: Cursor) -> GivenNode | RunNode | VisitNode:
    """What a test may give a name: a row, an answer, an execution."""
    word = c.token
    c.take()
    made = c.extra[word.text](c)
    if not isinstance(made, GivenNode | RunNode | VisitNode):
        what, instead = f"let with {word.text}", f"write {word.text} as a statement"
        raise c.snag(e.UNSUPPORTED, word.span(c.reports.file), what=what, instead=instead)
    return made


def _is_misspelt_write(c: Cursor) -> bool:
    """`let a = crete Order {`: two words and a brace are no expression."""
    name, brace = c.ahead(1), c.ahead(2)
    shape = c.token.kind == "ident" and name.kind == "ident" and brace.text == "{"
    return shape and not name.first and nearest(c.token.text, ("create", "start")) is not None


def create(c: Cursor) -> CreateNode:
    """`ENTITY { field: EXPR }`."""
    first = c.last
    entity = c.name("the name of an entity")
    values = entries(c)
    return CreateNode(c.range(first), entity, values)


def start(c: Cursor) -> StartNode:
    """`WORKFLOW { input: EXPR }`."""
    first = c.last
    workflow = c.name("the name of a workflow")
    values = entries(c)
    return StartNode(c.range(first), workflow, values)


def update(c: Cursor) -> UpdateNode:
    """`ENTITY where COND { field: EXPR } [else fail …]`."""
    first = c.last
    entity = c.name("the name of an entity")
    c.expect("where")
    where = expression(c)
    values = entries(c)
    otherwise = None
    if c.accept("else"):
        c.expect("fail")
        otherwise = fail(c)
    return UpdateNode(c.range(first), entity, where, values, otherwise)


def delete(c: Cursor) -> DeleteNode:
    """`ENTITY where COND`."""
    first = c.last
    entity = c.name("the name of an entity")
    c.expect("where")
    where = expression(c)
    return DeleteNode(c.range(first), entity, where)


def restore(c: Cursor) -> RestoreNode:
    """`ENTITY where COND`."""
    first = c.last
    entity = c.name("the name of an entity")
    c.expect("where")
    where = expression(c)
    return RestoreNode(c.range(first), entity, where)


def fail(c: Cursor) -> FailNode:
    """`[STATUS] "text"`."""
    first = c.last
    status = number(c) if c.token.kind == "int" else None
    if c.token.kind != "string":
        raise c.expected("a text that says what failed")
    message = expression(c)
    return FailNode(c.range(first), status, message)
