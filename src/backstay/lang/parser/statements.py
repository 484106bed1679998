"""Statements of `do { … }`: writes, decisions, loops, `let`, `start`, `return`."""

from collections.abc import Callable

from backstay.core.nearest import nearest
from backstay.lang import errors as e
from backstay.lang.diagnostics import Edit
from backstay.lang.parser.cursor import Cursor, Snag
from backstay.lang.parser.expressions import entries, expression, number
from backstay.lang.syntax import (
    Body,
    CreateNode,
    DeleteNode,
    Expr,
    FailNode,
    ForNode,
    IfNode,
    LetNode,
    ReturnNode,
    StartNode,
    StatementNode,
    UpdateNode,
)

UNSUPPORTED = {
    "var": ("variables that change", "use let"),
    "while": ("while", "walk a list with for"),
    "call": ("call inside do", "make the call a step of a workflow and start it here"),
    "task": ("task inside do", "make the task a step of a workflow and start it here"),
    "emit": ("emit", "write a row, or start a workflow"),
    "send": ("send", "call an integration from a workflow"),
    "exec": ("exec", "use a task for an outside worker"),
    "query": ("query", "use for over a list, or count and sum"),
    "parallel": ("parallel", "write the steps one after the other"),
}


def body(c: Cursor) -> Body:
    """`{ statement … }`. A statement that cannot be read is left out, the next is read."""
    start = c.expect("{")
    c.enter()
    found: list[StatementNode] = []
    broken = c.listed(lambda: found.append(statement(c)))
    c.expect("}")
    c.depth -= 1
    return Body(c.range(start), tuple(found), broken)


def statement(c: Cursor) -> StatementNode:
    word = c.token
    if word.kind != "ident":
        raise c.expected("a statement", words=tuple(_STATEMENTS), starts=True)
    parse = _STATEMENTS.get(word.text)
    if parse is None:
        parse = _other(c)
    c.take()
    return parse(c)


def _other(c: Cursor) -> "Callable[[Cursor], StatementNode]":
    """The word is no statement: refuse it, or read it as the one it was meant to be."""
    word, span = c.token, c.token.span(c.reports.file)
    unsupported = UNSUPPORTED.get(word.text)
    if unsupported:
        what, instead = unsupported
        raise c.snag(e.UNSUPPORTED, span, what=what, instead=instead)
    if c.ahead().text in ("=", "("):
        what = "assignment" if c.ahead().text == "=" else "a call as a statement"
        raise c.snag(e.UNSUPPORTED, span, what=what, instead="give a value a name with let")
    meant = nearest(word.text, _STATEMENTS)
    _not_a_statement(c, meant, tuple(_STATEMENTS))
    if meant is None:
        raise Snag
    return _STATEMENTS[meant]


def _not_a_statement(c: Cursor, meant: str | None, words: tuple[str, ...]) -> None:
    span = c.token.span(c.reports.file)
    edit = Edit(f"did you mean '{meant}'?", span, meant) if meant else None
    got = c.got(starts=True)
    c.reports.add(e.EXPECTED, span, expected=words, edit=edit, wanted="a statement", got=got)


def _let(c: Cursor) -> LetNode:
    start = c.last
    name = c.name("a name for the value")
    c.expect("=")
    value: Expr | CreateNode | StartNode
    if c.at("create") and c.ahead().kind == "ident":
        c.take()
        value = _create(c)
    elif c.at("start") and c.ahead().kind == "ident":
        c.take()
        value = _start(c)
    elif _is_misspelt_write(c):
        word = c.token
        meant = nearest(word.text, ("create", "start"))
        _not_a_statement(c, meant, ("create", "start"))
        c.take()
        value = _create(c) if meant == "create" else _start(c)
    else:
        value = expression(c)
    return LetNode(c.range(start), name, value)


def _is_misspelt_write(c: Cursor) -> bool:
    """`let a = crete Order {`: two words and a brace are no expression."""
    name, brace = c.ahead(1), c.ahead(2)
    shape = c.token.kind == "ident" and name.kind == "ident" and brace.text == "{"
    return shape and not name.first and nearest(c.token.text, ("create", "start")) is not None


def _create(c: Cursor) -> CreateNode:
    start = c.last
    entity = c.name("the name of an entity")
    values = entries(c)
    return CreateNode(c.range(start), entity, values)


def _start(c: Cursor) -> StartNode:
    start = c.last
    workflow = c.name("the name of a workflow")
    values = entries(c)
    return StartNode(c.range(start), workflow, values)


def _update(c: Cursor) -> UpdateNode:
    start = c.last
    entity = c.name("the name of an entity")
    c.expect("where")
    where = expression(c)
    values = entries(c)
    otherwise = None
    if c.accept("else"):
        c.expect("fail")
        otherwise = _fail(c)
    return UpdateNode(c.range(start), entity, where, values, otherwise)


def _delete(c: Cursor) -> DeleteNode:
    start = c.last
    entity = c.name("the name of an entity")
    c.expect("where")
    where = expression(c)
    return DeleteNode(c.range(start), entity, where)


def _fail(c: Cursor) -> FailNode:
    start = c.last
    status = number(c) if c.token.kind == "int" else None
    if c.token.kind != "string":
        raise c.expected("a text that says what failed")
    message = expression(c)
    return FailNode(c.range(start), status, message)


def _for(c: Cursor) -> ForNode:
    start = c.last
    variable = c.name("a variable")
    c.expect("in")
    items = expression(c)
    inside = body(c)
    return ForNode(c.range(start), variable, items, inside)


def _if(c: Cursor) -> IfNode:
    start = c.last
    condition = expression(c)
    then = body(c)
    otherwise: Body | None = None
    if c.accept("else"):
        if c.at("if"):
            c.enter()
            word = c.take()
            nested = _if(c)
            otherwise = Body(c.range(word), (nested,))
            c.depth -= 1
        else:
            otherwise = body(c)
    return IfNode(c.range(start), condition, then, otherwise)


def _return(c: Cursor) -> ReturnNode:
    start = c.last
    if c.token.first:
        raise c.expected("a value")
    value = expression(c)
    return ReturnNode(c.range(start), value)


_STATEMENTS: dict[str, Callable[[Cursor], StatementNode]] = {
    "let": _let,
    "create": _create,
    "update": _update,
    "delete": _delete,
    "for": _for,
    "if": _if,
    "fail": _fail,
    "start": _start,
    "return": _return,
}
