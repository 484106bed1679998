"""How the value of a member is read, by the kind that the grammar table gives it.

A reader stands behind the colon (or where the old dialects left the colon out).
"""

from collections.abc import Callable, Mapping

from backstay.lang import errors as e
from backstay.lang.parser.cursor import Cursor
from backstay.lang.parser.expressions import (
    entries,
    expression,
    no_record,
    number,
    record,
    separate,
)
from backstay.lang.parser.statements import body, dotted, emit
from backstay.lang.parser.types import field, fields, type_name
from backstay.lang.syntax import (
    ActionNode,
    Block,
    CallNode,
    CheckNode,
    ChecksNode,
    ErrorNode,
    EveryNode,
    FieldNode,
    Ident,
    Labelled,
    Literal_,
    Member,
    Names,
    Path,
    QueryNode,
    Range,
    RateNode,
    RecordFields,
    RequestNode,
    ResponseNode,
    RetryNode,
    TaskNode,
    TriggerNode,
    TypeName,
    Value,
)

Reader = Callable[[Cursor], Value]


def _expr(c: Cursor) -> Value:
    return expression(c)


def _text(c: Cursor) -> Value:
    token = c.token
    if token.kind != "string":
        raise c.expected("a text in double quotes")
    c.take()
    return Literal_(c.range(token), "string", token.value)


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
        if end < 0 or not name.isidentifier() or not text[position - 1 : position] == "/":
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
            if not part[1:].isidentifier():
                raise c.snag(e.BAD_PATH, c.reports.at(at), path=text)
            holes.append(Ident(at, part[1:]))
            parts.append(f"{{{part[1:]}}}")
        else:
            parts.append(part)
        position += len(part) + 1
    if not text.startswith("/") or "//" in text:
        raise c.snag(e.BAD_PATH, c.reports.at(span), path=text)
    return Path(span, "/".join(parts), tuple(holes), colons=True)


def _retry(c: Cursor) -> Value:
    start = c.token
    times = number(c)
    if not c.at("times") and (c.token.first or c.token.kind in ("end", "op") or _old_retry(c)):
        return RetryNode(c.range(start), times)
    c.expect("times")
    if not c.accept("with"):
        return RetryNode(c.range(start), times)
    backoff = c.name("exponential_backoff, linear_backoff or fixed_delay")
    args = []
    if c.accept("("):
        while not c.at(")"):
            args.append(expression(c))
            if not c.accept(","):
                break
        c.expect(")")
    return RetryNode(c.range(start), times, backoff, tuple(args))


def _old_retry(c: Cursor) -> bool:
    """`retry 3 initial_interval "1s"` on one line."""
    return c.at("initial_interval", "backoff")


def _rate(c: Cursor) -> Value:
    """`5`, `5 failures in 1m`, `100 per 1m`, `100/1m`."""
    if c.at("{"):
        return setting(c)
    if c.token.kind != "int" or c.ahead().text not in ("failures", "per", "/", "requests"):
        return expression(c)
    start = c.token
    c.note("rate", start)
    count = number(c)
    c.take()
    if c.at("in", "per"):
        c.take()
    return RateNode(c.range(start), count, _duration(c, "1m"))


def _call(c: Cursor) -> Value:
    start = c.token
    integration = c.name("the name of an integration")
    c.expect(".")
    operation = c.name("the name of an operation")
    args = entries(c) if c.at("{") else ()
    return CallNode(c.range(start), integration, operation, args)


def _task(c: Cursor) -> Value:
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


def setting(c: Cursor) -> Value:
    """What stands behind a name with settings: `{ … }`, `postgres { … }`, `bearer(x)`, `5m`."""
    c.accept(":")
    if c.at_member() and not c.at("{"):
        raise c.expected("a value")
    start = c.token
    if c.at("{"):
        return _settings(c)
    if start.kind == "ident" and c.ahead().text == "{":
        label = c.name("a word")
        return Labelled(c.range(start), label, _settings(c))
    value = expression(c)
    if c.at("{") and not c.token.first:
        return ActionNode(c.range(start), value, entries(c))
    return value


def _settings(c: Cursor) -> Block:
    """`{ name: value }` with names that only the one who reads them knows."""
    start = c.expect("{")
    c.enter()
    found: list[Member] = []

    def read() -> None:
        word = c.token
        if word.kind not in ("ident", "string"):
            raise c.expected("the name of a setting", starts=True)
        c.take()
        name = Ident(c.range(word), str(word.value) if word.kind == "string" else word.text)
        if c.at("="):
            c.expect(":")
        elif not c.at(":", "{"):
            raise c.expected("':'", insert=":")
        found.append(Member(c.range_from(name.span), name, setting(c)))
        c.accept(",")

    broken = c.listed(read)
    c.expect("}")
    c.depth -= 1
    return Block(c.range(start), tuple(found), broken)


def _action(c: Cursor) -> Value:
    """`{ statements }`, or what is done by name: `rollback`, `emit(E)`, `email(to) { … }`."""
    if c.at("{"):
        return body(c)
    start = c.token
    what = expression(c)
    options = entries(c) if c.at("{") and not c.token.first else ()
    return ActionNode(c.range(start), what, options)


def _emit(c: Cursor) -> Value:
    return emit(c)


def _trigger(c: Cursor) -> Value:
    """`event "x"`, `schedule "…"`, `manual`, `when COND`, or the event alone."""
    start = c.token
    after = c.ahead()
    follows = not after.first and after.text not in ("}", ",")
    if c.at("when") and follows:
        c.take()
        return TriggerNode(c.range(start), "when", expression(c))
    if c.at("schedule") and follows:
        c.take()
        value = _schedule(c)
        return TriggerNode(c.range(start), "schedule", value)  # type: ignore[arg-type]
    if c.at("event") and follows:
        c.take()
    elif c.at("manual"):
        c.take()
        return TriggerNode(c.range(start), "manual")
    token = c.token
    if token.kind == "string":
        c.take()
        return TriggerNode(c.range(start), "event", Ident(c.range(token), str(token.value)))
    name = dotted(c, "the name of an event")
    return TriggerNode(c.range(start), "event", name)


def _schedule(c: Cursor) -> Value:
    """`"0 2 * * *"` or `every 1h`."""
    start = c.token
    if c.at("every"):
        c.note("schedule.every", start)
        c.take()
        period = _duration(c, "1h")
        return EveryNode(c.range(start), period)
    return _text(c)


def _duration(c: Cursor, such_as: str) -> Literal_:
    if c.token.kind != "duration":
        raise c.expected(f"a duration such as {such_as}")
    return number(c)


def _compensate(c: Cursor) -> Value:
    c.note("compensate.action", c.token)
    return _action(c)


def _check(c: Cursor) -> Value:
    start = c.token
    condition = expression(c)
    message = None
    if c.at("else") and not c.token.first:
        c.take()
        message = expression(c)
    return CheckNode(c.range(start), condition, message)


def _checks(c: Cursor) -> Value:
    """`validate { COND else "message" … }`."""
    start = c.expect("{")
    c.enter()
    found: list[CheckNode] = []

    def read() -> None:
        made = _check(c)
        if isinstance(made, CheckNode):
            found.append(made)
        separate(c, "}")

    broken = c.listed(read)
    c.expect("}")
    c.depth -= 1
    return ChecksNode(c.range(start), tuple(found), broken)


def _error(c: Cursor) -> Value:
    """`404: "no such order"`."""
    start = c.token
    status = number(c)
    c.expect(":")
    return ErrorNode(c.range(start), status, expression(c))


def _request(c: Cursor) -> Value:
    start = c.token
    kind = c.name("the name of a type")
    c.expect("from")
    source = c.name("body, query, path or header")
    return RequestNode(c.range(start), kind, source)


def _response(c: Cursor) -> Value:
    start = c.token
    kind = c.name("the name of a type")
    status = None
    if c.accept("status"):
        status = number(c)
    return ResponseNode(c.range(start), kind, status)


def _query(c: Cursor) -> Value:
    """A query in quotes, or written out to the end of its lines; a record of an operation."""
    if c.at("{"):
        return setting(c)
    start = c.token
    if start.kind == "string":
        c.take()
        return QueryNode(c.range(start), str(start.value))
    depth = c.braces
    while c.token.kind != "end":
        token = c.token
        if c.braces <= depth and (c.at("}") or (c.position and token is not start and _ends(c))):
            break
        c.take()
    return QueryNode(c.range(start), c.text[start.start : c.last.end])


def _ends(c: Cursor) -> bool:
    """A line that begins like a member ends a query that is written out."""
    return c.token.first and c.token.kind == "ident" and c.ahead().text in (":", "{")


READERS: Mapping[str, Reader] = {
    "expr": _expr,
    "text": _text,
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
    "retry": _retry,
    "rate": _rate,
    "call": _call,
    "task": _task,
    "action": _action,
    "compensate": _compensate,
    "emit": _emit,
    "trigger": _trigger,
    "schedule": _schedule,
    "check": _check,
    "checks": _checks,
    "error": _error,
    "request": _request,
    "response": _response,
    "query": _query,
}
