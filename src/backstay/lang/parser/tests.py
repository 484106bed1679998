"""`test "name" { … }`: the usual statements, and those that only a test has."""

import re
from collections.abc import Callable, Mapping

from backstay.lang.lexer import METHODS
from backstay.lang.parser.cursor import Cursor
from backstay.lang.parser.expressions import entries, expression, record
from backstay.lang.parser.literals import hole, number, text
from backstay.lang.parser.statements import body
from backstay.lang.syntax import (
    AdvanceNode,
    AssertNode,
    ExpectNode,
    Expr,
    GivenNode,
    Literal_,
    RecordExpr,
    RunNode,
    StatementNode,
    StubNode,
    TestNode,
    Text,
    VisitNode,
)

_HOLES = re.compile(r"\{([^{}]*)\}")


def test(c: Cursor) -> TestNode:
    """The word is taken. Leaves `c.extra` set, also when it fails."""
    start, token = c.last, c.token
    if token.kind != "string":
        raise c.expected("the name of the test in quotes")
    c.take()
    name = Literal_(c.range(token), "string", token.value)
    c.extra = STATEMENTS
    inside = body(c)
    return TestNode(c.range(start), name, inside)


def _assert(c: Cursor) -> AssertNode:
    start = c.last
    condition = expression(c)
    message = None
    if c.at("else") and not c.token.first:
        c.take()
        message = expression(c)
    return AssertNode(c.range(start), condition, message)


def _given(c: Cursor) -> GivenNode:
    start = c.last
    entity = c.name("the name of an entity")
    values = entries(c)
    return GivenNode(c.range(start), entity, values)


def _stub(c: Cursor) -> StubNode:
    start = c.last
    integration = c.name("Integration.operation")
    c.expect(".")
    operation = c.name("the name of an operation")
    if c.at("fails"):
        c.take()
        status = number(c)
        return StubNode(c.range(start), integration, operation, fails=status)
    c.expect("returns")
    value = expression(c)
    return StubNode(c.range(start), integration, operation, value)


def _visit(c: Cursor) -> VisitNode:
    start = c.last
    method = c.name("GET, POST, PUT, PATCH or DELETE", METHODS)
    path = _path(c)
    inside: RecordExpr | None = None
    if c.at("{") and not c.token.first:
        inside = record(c)
    user: RecordExpr | None = None
    if c.at("as") and not c.token.first:
        c.take()
        user = record(c)
    return VisitNode(c.range(start), method, path, inside, user)


def _path(c: Cursor) -> Expr:
    """`/orders/{order.id}`, in quotes or not."""
    token = c.token
    if token.kind not in ("path", "string"):
        raise c.expected("a path such as /orders/{order.id}")
    c.take()
    if token.kind == "string":
        return text(c, token)
    parts: list[str | Expr] = []
    end = 0
    for found in _HOLES.finditer(token.text):
        parts.append(token.text[end : found.start()])
        parts.append(hole(c, token, found.group(1), found.start(1)))
        end = found.end()
    if not parts:
        return Literal_(c.range(token), "string", token.text)
    if token.text[end:]:
        parts.append(token.text[end:])
    c.grow(len(parts))
    return Text(c.range(token), tuple(parts))


def _run(c: Cursor) -> RunNode:
    start = c.last
    workflow = c.name("the name of a workflow")
    values = entries(c)
    return RunNode(c.range(start), workflow, values)


def _advance(c: Cursor) -> AdvanceNode:
    start = c.last
    period = expression(c)
    return AdvanceNode(c.range(start), period)


def _expect(c: Cursor) -> ExpectNode:
    start = c.last
    entity = c.name("the name of an entity")
    c.expect("where")
    where = expression(c)
    values = entries(c)
    return ExpectNode(c.range(start), entity, where, values)


STATEMENTS: Mapping[str, Callable[[Cursor], StatementNode]] = {
    "assert": _assert,
    "given": _given,
    "stub": _stub,
    "call": _visit,
    "run": _run,
    "advance": _advance,
    "expect": _expect,
}
"""What a test has beside the usual statements."""
