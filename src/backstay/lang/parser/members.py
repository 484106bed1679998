"""Blocks, read by the grammar table: which member, how its value is read, what to do when the
word is not one of them."""

from collections.abc import Callable, Mapping

from backstay.lang import errors as e
from backstay.lang.diagnostics import Related
from backstay.lang.parser import grammar
from backstay.lang.parser.cursor import Cursor, Snag
from backstay.lang.parser.expressions import entries, expression, number, record, separate
from backstay.lang.parser.grammar import Slot
from backstay.lang.parser.statements import body
from backstay.lang.parser.types import field, fields, type_name
from backstay.lang.syntax import (
    Block,
    CallNode,
    FieldNode,
    Ident,
    Labelled,
    Literal_,
    Member,
    Names,
    Path,
    Range,
    RecordFields,
    RetryNode,
    TaskNode,
    TypeName,
    Value,
)

Reader = Callable[[Cursor, Slot], Value]


def block(c: Cursor, kind: str) -> Block:
    """`{ member … }` of the block `kind`. What cannot be read is left out and noted."""
    start = c.expect("{")
    c.enter()
    found: list[Member] = []
    seen: dict[str, Ident] = {}

    def read() -> None:
        found.append(_member(c, kind, seen))
        if c.last.text != "}":
            separate(c, "}")
        else:
            c.accept(",")

    broken = c.listed(read)
    # A brace that the repair of braces put in has no width; what stood before it may be lost.
    broken |= c.token.start == c.token.end
    c.expect("}")
    c.depth -= 1
    return Block(c.range(start), tuple(found), broken)


def _member(c: Cursor, kind: str, seen: dict[str, Ident]) -> Member:
    word = c.token
    known = grammar.BLOCKS[kind]
    if word.kind != "ident":
        what = f"a member of {grammar.title(kind)}"
        raise c.expected(what, words=tuple(known), starts=True)
    if kind == "steps":
        return _step(c)
    if kind == "entity" and _is_field(c):
        return _entity_field(c)
    slot = known.get(word.text)
    name = word.text
    if slot is None:
        name = _unknown(c, kind, known)
        slot = known[name]
    c.take()
    ident = Ident(c.range(word), name)
    if not slot.many:
        _once(c, ident, seen)
    label = c.name(f"a name for the {name}") if slot.labelled else None
    value = _READERS[slot.kind](c, slot)
    return Member(c.range(word), ident, value, label)


def _once(c: Cursor, name: Ident, seen: dict[str, Ident]) -> None:
    first = seen.setdefault(name.name, name)
    if first is not name:
        related = Related(c.reports.at(first.span), "first given here")
        span = c.reports.at(name.span)
        c.reports.add(e.DUPLICATE_MEMBER, span, related=(related,), name=name.name)


def _unknown(c: Cursor, kind: str, known: Mapping[str, Slot]) -> str:
    """Refuse the word; returns the member it was most likely meant to be, or raises Snag."""
    word = c.token
    instead = grammar.REFUSED.get(kind, {}).get(word.text)
    if instead is not None:
        raise c.snag(
            e.UNSUPPORTED,
            word.span(c.reports.file),
            what=f"'{word.text}' in {grammar.title(kind)}",
            instead=instead,
        )
    meant = c.unknown(e.UNKNOWN_MEMBER, word, tuple(known), grammar.title(kind))
    if meant is None:
        raise Snag
    return meant


# --- entities and steps, whose members have names of their own --------------------------------


def _is_field(c: Cursor) -> bool:
    """`name: type`. `description: "…"` and `index: […]` are members; so `description: text` and
    `index: int` stay possible names of fields."""
    if c.ahead().text == "{":
        return False
    if c.token.text in grammar.REFUSED["entity"]:
        return c.ahead(2).kind == "ident"
    after = c.ahead(2)
    if after.kind == "string":
        return False
    return after.text != "["


def _entity_field(c: Cursor) -> Member:
    start = c.token
    name = c.name("the name of a field")
    value: FieldNode = field(c, name)
    return Member(c.range(start), name, value)


def _step(c: Cursor) -> Member:
    start = c.token
    instead = grammar.REFUSED_STEPS.get(start.text)
    if instead is not None:
        raise c.snag(
            e.UNSUPPORTED, start.span(c.reports.file), what=f"'{start.text}'", instead=instead
        )
    name = c.name("the name of a step")
    inside = block(c, "step")
    return Member(c.range(start), name, inside)


# --- readers -----------------------------------------------------------------------------------


def _colon(c: Cursor) -> None:
    c.expect(":")
    if c.at_member() and not c.at("{"):
        raise c.expected("a value")


def _expr(c: Cursor, _slot: Slot) -> Value:
    _colon(c)
    return expression(c)


def _text(c: Cursor, _slot: Slot) -> Value:
    _colon(c)
    token = c.token
    if token.kind != "string":
        if token.text == "every" and c.ahead().kind == "duration":
            raise c.snag(
                e.UNSUPPORTED,
                token.span(c.reports.file),
                what="'every' as a schedule",
                instead='write five fields, such as schedule: "0 * * * *"',
            )
        raise c.expected("a text in double quotes")
    c.take()
    return Literal_(c.range(token), "string", token.value)


def _word(c: Cursor, _slot: Slot) -> Value:
    _colon(c)
    return c.name("a word")


def _names(c: Cursor, _slot: Slot) -> Value:
    _colon(c)
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


def _index(c: Cursor, slot: Slot) -> Value:
    start = c.ahead()
    names = _names(c, slot)
    unique = c.at("unique") and not c.token.first
    if unique:
        c.take()
    return Names(c.range(start), names.names if isinstance(names, Names) else (), unique)


def _fields(c: Cursor, _slot: Slot) -> Value:
    c.accept(":")
    inside: RecordFields = fields(c)
    return inside


def _type(c: Cursor, _slot: Slot) -> Value:
    _colon(c)
    value: TypeName | RecordFields = type_name(c)
    return value


def _body(c: Cursor, _slot: Slot) -> Value:
    return body(c)


def _block(c: Cursor, slot: Slot) -> Value:
    return block(c, slot.block)


def _labelled(c: Cursor, slot: Slot) -> Value:
    _colon(c)
    start = c.token
    label = c.name("jwt")
    if label.name != "jwt":
        raise c.snag(
            e.UNSUPPORTED,
            start.span(c.reports.file),
            what=f"auth by '{label.name}'",
            instead='write auth: jwt { secret: env("JWT_SECRET") }',
        )
    inside = block(c, slot.block)
    return Labelled(c.range(start), label, inside)


def _path(c: Cursor, _slot: Slot) -> Value:
    _colon(c)
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


def _retry(c: Cursor, _slot: Slot) -> Value:
    if c.at("{"):
        raise c.snag(
            e.UNSUPPORTED,
            c.token.span(c.reports.file),
            what="retry as a block",
            instead="write retry: 4 times with exponential_backoff(200ms, 2s)",
        )
    _colon(c)
    start = c.token
    times = number(c)
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


def _call(c: Cursor, _slot: Slot) -> Value:
    _colon(c)
    start = c.token
    integration = c.name("the name of an integration")
    c.expect(".")
    operation = c.name("the name of an operation")
    args = entries(c) if c.at("{") else ()
    return CallNode(c.range(start), integration, operation, args)


def _task(c: Cursor, _slot: Slot) -> Value:
    _colon(c)
    start = c.token
    if start.kind == "string":
        c.take()
        command = Ident(c.range(start), str(start.value))
    else:
        command = c.name("the name of a command")
    payload = record(c)
    return TaskNode(c.range(start), command, payload)


_READERS: Mapping[str, Reader] = {
    "expr": _expr,
    "text": _text,
    "word": _word,
    "names": _names,
    "index": _index,
    "fields": _fields,
    "type": _type,
    "body": _body,
    "block": _block,
    "labelled": _labelled,
    "path": _path,
    "retry": _retry,
    "call": _call,
    "task": _task,
}
