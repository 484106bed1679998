"""Settings: names that only the one who reads them knows."""

from backstay.lang.parser.cursor import Cursor
from backstay.lang.parser.expressions import entries, expression
from backstay.lang.parser.literals import number
from backstay.lang.syntax import ActionNode, Block, Ident, Labelled, Member, RetryNode, Value


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
    if start.kind == "int" and c.ahead().text == "times":
        times = number(c)
        c.take()
        return RetryNode(c.range(start), times)
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
