"""Types and fields: `lines: list({ … }), required, min(1)`."""

from backstay.lang.parser.cursor import Cursor
from backstay.lang.parser.expressions import expression, separate
from backstay.lang.parser.literals import number
from backstay.lang.syntax import FieldNode, Ident, Literal_, Modifier, RecordFields, TypeName


def type_name(c: Cursor) -> TypeName | RecordFields:
    """A type. A new line before it means that it is missing."""
    if c.at_member() and not c.at("{"):
        raise c.expected("a type")
    if c.at("{"):
        return fields(c)
    c.enter()
    start = c.token
    name = c.name("a type")
    args: list[TypeName | RecordFields | Literal_] = []
    if start.text == "embedded" and c.at("{"):
        args.append(fields(c, loose=True))
    elif c.at("(") and not c.token.first:
        c.take()
        while not c.at(")"):
            args.append(_type_argument(c))
            if not c.accept(","):
                break
        c.expect(")")
    c.depth -= 1
    return TypeName(c.range(start), name, tuple(args))


def _type_argument(c: Cursor) -> TypeName | RecordFields | Literal_:
    token = c.token
    if token.kind == "string":
        c.take()
        return Literal_(c.range(token), "string", token.value)
    if token.kind in ("int", "decimal"):
        return number(c)
    return type_name(c)


def fields(c: Cursor, *, loose: bool = False) -> RecordFields:
    """`{ field … }`; a field that cannot be read is left out, the next is read. `loose` does
    without commas between fields of one line."""
    start = c.expect("{")
    c.enter()
    found: list[FieldNode] = []

    def read() -> None:
        found.append(field(c, c.name("the name of a field", starts=True)))
        if not loose or c.token.kind != "ident":
            separate(c, "}")
        elif c.at(","):
            c.take()

    broken = c.listed(read)
    c.expect("}")
    c.depth -= 1
    return RecordFields(c.range(start), tuple(found), broken)


def field(c: Cursor, name: Ident) -> FieldNode:
    """What follows the name: `: type, modifier, …`."""
    c.expect(":")
    kind = type_name(c)
    modifiers: list[Modifier] = []
    while c.at(",") and _modifier_follows(c):
        c.take()
        modifiers.append(_modifier(c))
    if c.token.kind == "ident" and not c.token.first and c.ahead().text != ":":
        # `id: uuid primary`: the comma is missing, and nothing else is meant.
        raise c.expected("','", insert=",")
    return FieldNode(c.range_from(name.span), name, kind, tuple(modifiers))


def _modifier_follows(c: Cursor) -> bool:
    """After the comma: a word that is not the name of the next field."""
    word, after = c.ahead(1), c.ahead(2)
    # After `auto` a line may begin with a colon or a brace: then the name of that line is missing.
    member = after.text in (":", "{", "[") and not after.first
    return word.kind == "ident" and not member


def _modifier(c: Cursor) -> Modifier:
    start = c.token
    name = c.name("a modifier")
    if not c.at("(") or c.token.first:
        return Modifier(c.range(start), name)
    c.take()
    # No modifier takes two: a comma here is the one after a parenthesis that was forgotten.
    args = () if c.at(")") else (expression(c),)
    c.expect(")")
    return Modifier(c.range(start), name, args)
