"""What is done: calls, tasks, actions, queries, and what answers them."""

import re

from backstay.lang.errors import UNEXPECTED_CHARACTER
from backstay.lang.parser.cursor import Cursor
from backstay.lang.parser.expressions import entries, expression, no_record, record
from backstay.lang.parser.grammar import BLOCKS
from backstay.lang.parser.literals import number
from backstay.lang.parser.settings import setting
from backstay.lang.parser.statements import body
from backstay.lang.syntax import (
    ActionNode,
    CallNode,
    ErrorNode,
    Ident,
    QueryNode,
    Range,
    RequestNode,
    ResponseNode,
    TaskNode,
    Value,
)


def call(c: Cursor) -> Value:
    start = c.token
    integration = c.name("the name of an integration")
    c.expect(".")
    operation = c.name("the name of an operation")
    args = entries(c) if c.at("{") else ()
    return CallNode(c.range(start), integration, operation, args)


def task(c: Cursor) -> Value:
    start = c.token
    if start.kind == "string":
        c.take()
        command = Ident(c.range(start), str(start.value))
    else:
        command = c.name("the name of a command")
    if start.kind == "string" and not c.at("{"):
        return TaskNode(c.range(start), command, no_record(c))
    payload = record(c)
    return TaskNode(c.range(start), command, payload)


def action(c: Cursor) -> Value:
    """`{ statements }`, or what is done by name: `rollback`, `emit(E)`, `email(to) { … }`."""
    if c.at("{"):
        return body(c)
    start = c.token
    what = expression(c)
    options = entries(c) if c.at("{") and not c.token.first else ()
    return ActionNode(c.range(start), what, options)


def compensate(c: Cursor) -> Value:
    c.note("compensate.action", c.token)
    return action(c)


def error(c: Cursor) -> Value:
    """`404: "no such order"`."""
    start = c.token
    status = number(c)
    c.expect(":")
    return ErrorNode(c.range(start), status, expression(c))


def request(c: Cursor) -> Value:
    start = c.token
    kind = c.name("the name of a type")
    c.expect("from")
    source = c.name("body, query, path or header")
    return RequestNode(c.range(start), kind, source)


def response(c: Cursor) -> Value:
    start = c.token
    kind = c.name("the name of a type")
    status = None
    if c.accept("status"):
        status = number(c)
    return ResponseNode(c.range(start), kind, status)


def query(c: Cursor) -> Value:
    """A query in quotes, or written out to the end of its lines; a record of an operation."""
    if c.at("{"):
        return setting(c)
    start = c.token
    if start.kind == "string" and start.text.startswith('"'):
        c.take()
        return QueryNode(c.range(start), str(start.value))
    depth = c.braces
    while c.token.kind != "end":
        token = c.token
        if c.braces <= depth and (c.at("}") or (c.position and token is not start and _ends(c))):
            break
        c.take()
    # A query has signs that the rest of the language does not know: 'text', $name, ~word.
    beyond = _signs(c)
    range_ = c.range(start)
    range_ = Range(range_.line, range_.column, range_.end_line, range_.end_column + beyond)
    c.reports.forgive(UNEXPECTED_CHARACTER, c.reports.at(range_))
    return QueryNode(range_, c.text[start.start : c.last.end + beyond].rstrip())


def _signs(c: Cursor) -> int:
    """How many characters stand behind the last token of a query that are no token."""
    end = c.token.start if c.token.kind != "end" else len(c.text)
    rest = _REST.match(c.text, c.last.end, end)
    return len(rest.group().rstrip()) if rest else 0


_REST = re.compile(r"(?:(?!//|#)[^\n])*")


def _ends(c: Cursor) -> bool:
    """A line that begins like a member ends a query that is written out, and so does the name of a
    member of a step with its colon."""
    after = c.ahead().text
    if c.token.kind != "ident" or after not in (":", "{"):
        return False
    return c.token.first or (after == ":" and c.token.text in BLOCKS["step"])
