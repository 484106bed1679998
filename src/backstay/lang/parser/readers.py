"""How the value of a member is read, by the kind that the grammar table gives it.

A reader stands behind the colon (or where the old dialects left the colon out).
"""

from collections.abc import Callable, Mapping

from backstay.lang.parser.cursor import Cursor
from backstay.lang.parser.expressions import expression, record
from backstay.lang.parser.paths import path
from backstay.lang.parser.rules import check, checks, rate, retry, schedule, text, trigger
from backstay.lang.parser.settings import setting
from backstay.lang.parser.statements import body, emit
from backstay.lang.parser.types import field, fields, type_name
from backstay.lang.parser.work import (
    action,
    call,
    compensate,
    error,
    query,
    request,
    response,
    task,
)
from backstay.lang.syntax import FieldNode, Ident, Literal_, Names, RecordFields, TypeName, Value

Reader = Callable[[Cursor], Value]


def _expr(c: Cursor) -> Value:
    return expression(c)


def _version(c: Cursor) -> Value:
    """`"1.2.0"`; files of the first version also have `1.2`."""
    token = c.token
    if token.kind not in ("int", "decimal"):
        return text(c)
    c.take()
    return Literal_(c.range(token), "string", token.text)


def _word(c: Cursor) -> Value:
    """A word; the old dialects put some into quotes."""
    token = c.token
    if token.kind == "string":
        c.take()
        return Ident(c.range(token), str(token.value))
    return c.name("a word")


def _flag(c: Cursor) -> Value:
    """`soft_delete` alone, or with `: true`."""
    start = c.last
    if c.accept(":"):
        return expression(c)
    return Literal_(c.range(start), "bool", True)


def _names(c: Cursor) -> Value:
    start = c.expect("[")
    found: list[Ident] = []
    while not c.at("]"):
        found.append(_listed(c))
        if not c.accept(","):
            break
    c.expect("]")
    return Names(c.range(start), tuple(found))


def _listed(c: Cursor) -> Ident:
    """A name, also in quotes: `roles: ["staff"]`."""
    token = c.token
    if token.kind == "string":
        c.take()
        return Ident(c.range(token), str(token.value))
    if token.first and c.ahead().text in (":", "{"):
        raise c.expected("']'", insert="]")
    return c.name("a name")


def _used(c: Cursor) -> Value:
    """`middleware auth`, `middleware: [a, b]`."""
    if c.at("["):
        return _names(c)
    start = c.token
    name = c.name("the name of a middleware")
    return Names(c.range(start), (name,))


def _index(c: Cursor) -> Value:
    start = c.token
    names = _names(c)
    unique, kind = False, ""
    while c.token.kind == "ident" and not c.token.first and c.ahead().text != ":":
        if c.at("unique"):
            unique = True
        elif c.at("text", "geospatial"):
            kind = c.token.text
        else:
            break
        c.take()
    found = names.names if isinstance(names, Names) else ()
    return Names(c.range(start), found, unique, kind)


def _fields(c: Cursor) -> Value:
    inside: RecordFields = fields(c)
    return inside


def _schema(c: Cursor) -> Value:
    """`{ name type }` of an event; the colon and the comma are optional here."""
    start = c.expect("{")
    c.enter()
    found: list[FieldNode] = []

    def read() -> None:
        name = c.name("the name of a field", starts=True)
        if c.at(":"):
            found.append(field(c, name))
        else:
            kind = type_name(c)
            found.append(FieldNode(c.range_from(name.span), name, kind))
        c.accept(",")

    broken = c.listed(read)
    c.expect("}")
    c.depth -= 1
    return RecordFields(c.range(start), tuple(found), broken)


def _type(c: Cursor) -> Value:
    value: TypeName | RecordFields = type_name(c)
    return value


def _body(c: Cursor) -> Value:
    return body(c)


def _record(c: Cursor) -> Value:
    """`{ name: value }`; the names may stand in quotes, and commas may be missing."""
    return record(c, loose=True)


def _path(c: Cursor) -> Value:
    return path(c)


def _emit(c: Cursor) -> Value:
    return emit(c)


READERS: Mapping[str, Reader] = {
    "expr": _expr,
    "text": text,
    "version": _version,
    "word": _word,
    "flag": _flag,
    "names": _names,
    "used": _used,
    "index": _index,
    "fields": _fields,
    "schema": _schema,
    "type": _type,
    "body": _body,
    "record": _record,
    "setting": setting,
    "path": _path,
    "retry": retry,
    "rate": rate,
    "call": call,
    "task": task,
    "action": action,
    "compensate": compensate,
    "emit": _emit,
    "trigger": trigger,
    "schedule": schedule,
    "check": check,
    "checks": checks,
    "error": error,
    "request": request,
    "response": response,
    "query": query,
}
