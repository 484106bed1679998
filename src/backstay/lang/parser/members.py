"""Blocks, read by the grammar table: which member, how its value is read, what to do when the
word is not one of them."""

from collections.abc import Mapping

from backstay.core.nearest import nearest
from backstay.lang import errors as e
from backstay.lang.diagnostics import Related
from backstay.lang.parser import grammar, loose
from backstay.lang.parser.cursor import Cursor, Snag
from backstay.lang.parser.expressions import separate
from backstay.lang.parser.grammar import Slot
from backstay.lang.parser.readers import READERS
from backstay.lang.parser.settings import setting
from backstay.lang.parser.types import field
from backstay.lang.syntax import Block, FieldNode, Ident, Labelled, Member, Value


def block(c: Cursor, kind: str) -> Block:
    """`{ member … }` of the block `kind`. What cannot be read is left out and noted."""
    start = c.expect("{")
    c.enter()
    found: list[Member] = []
    seen: dict[str, Ident] = {}
    is_loose = kind in loose.LOOSE

    def read() -> None:
        found.append(_member(c, kind, seen))
        if c.last.text == "}" or (is_loose and c.token.kind == "ident"):
            c.accept(",")
        else:
            separate(c, "}")

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
        if kind == "settings" and word.kind == "string":
            c.take()
            return Member(c.range(word), Ident(c.range(word), str(word.value)), setting(c))
        what = f"a member of {grammar.title(kind)}"
        raise c.expected(what, words=tuple(known), starts=True)
    if kind == "steps":
        return _step(c)
    if kind in grammar.WITH_FIELDS and _is_field(c, kind):
        return _entity_field(c)
    slot = known.get(word.text)
    name = word.text
    if slot is None:
        if kind in grammar.OPEN and (kind == "settings" or _is_free(c, known)):
            return _setting(c, kind, seen)
        name = _unknown(c, kind, known)
        slot = known[name]
    c.take()
    c.note(f"{kind}.{name}", word)
    ident = Ident(c.range(word), name)
    if not slot.many:
        _once(c, ident, seen)
    label = c.name(f"a name for the {name}") if slot.labelled else None
    return Member(c.range(word), ident, _value(c, kind, name, slot), label)


def _value(c: Cursor, kind: str, name: str, slot: Slot) -> Value:
    if slot.kind == "block" or (slot.kind in ("retry", "compensate") and c.opens()):
        return block(c, slot.block)
    if slot.kind == "labelled":
        return _labelled(c, slot)
    if f"{kind}.{name}" in loose.BARE and not c.at(":", "=") and not c.token.first:
        return READERS[slot.kind](c)
    if slot.kind in _WITHOUT_COLON:
        c.accept(":")
    elif slot.kind == "flag" or (c.at("{") and _opens(kind, slot)):
        pass
    else:
        c.expect(":")
    if slot.kind != "flag" and c.at_member() and not c.at("{"):
        raise c.expected("a value")
    return READERS[slot.kind](c)


def _opens(kind: str, slot: Slot) -> bool:
    """Whether a brace may follow the name at once."""
    return slot.kind in ("setting", "action", "rate") or (kind, slot.kind) == ("operation", "query")


_WITHOUT_COLON = frozenset({"fields", "body", "record", "schema", "checks", "error", "used"})


def _labelled(c: Cursor, slot: Slot) -> Value:
    c.expect(":")
    if c.at_member() and not c.at("{"):
        raise c.expected("a value")
    start = c.token
    if start.text != "jwt" or start.kind != "ident":
        raise c.snag(
            e.UNSUPPORTED,
            start.span(c.reports.file),
            what=f"auth by {c.got()}",
            instead='write auth: jwt { secret: env("JWT_SECRET") }',
        )
    label = c.name("jwt")
    inside = block(c, slot.block)
    return Labelled(c.range(start), label, inside)


_SHORT = 6


def _is_free(c: Cursor, known: Mapping[str, Slot]) -> bool:
    """Whether the word is a setting of its own and no slip of a known one. `port` is none of
    `cors`: in a short word two letters are too many."""
    most = 1 if len(c.token.text) < _SHORT else 3
    return c.ahead().text in (":", "{") and nearest(c.token.text, known, most) is None


def _setting(c: Cursor, kind: str, seen: dict[str, Ident]) -> Member:
    word = c.take()
    if kind == "config":
        c.note("config.setting", word)
    ident = Ident(c.range(word), word.text)
    _once(c, ident, seen)
    return Member(c.range(word), ident, setting(c))


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


def _is_field(c: Cursor, kind: str) -> bool:
    """`name: type`. `description: "…"` and `index: […]` are members; so `description: text` and
    `index: int` stay possible names of fields."""
    colon, after = c.ahead(), c.ahead(2)
    if colon.text == "{" and not colon.first:
        return False
    if c.token.text == "soft_delete" and (colon.text != ":" or after.text in ("true", "false")):
        return False
    slot = grammar.BLOCKS[kind].get(c.token.text)
    if slot is not None and slot.kind == "block" and after.text == "{":
        return False
    if c.token.text in grammar.REFUSED.get(kind, {}):
        return after.kind == "ident"
    return after.kind != "string" and after.text != "["


def _entity_field(c: Cursor) -> Member:
    start = c.token
    name = c.name("the name of a field")
    value: FieldNode = field(c, name)
    return Member(c.range(start), name, value)


def _step(c: Cursor) -> Member:
    start = c.token
    if _is_parallel(c):
        c.note("steps.parallel", start)
        c.take()
        return Member(c.range(start), Ident(c.range(start), "parallel"), block(c, "steps"))
    name = c.name("the name of a step")
    inside = block(c, "step")
    return Member(c.range(start), name, inside)


def _is_parallel(c: Cursor) -> bool:
    """Whether `parallel { … }` stands here, or the word with a slip of a letter; reports that."""
    word = c.token
    if word.text == "parallel":
        return _holds_steps(c)
    slip = word.kind == "ident" and nearest(word.text, ("parallel",)) is not None
    if not slip or not c.ahead(2).text or not _holds_steps(c) or c.ahead(2).text == "}":
        return False
    c.unknown(e.UNKNOWN_MEMBER, word, ("parallel",), grammar.title("steps"))
    return True


def _holds_steps(c: Cursor) -> bool:
    """`parallel { a { … } b { … } }`, not a step of that name."""
    first, brace = c.ahead(2), c.ahead(3)
    known = grammar.BLOCKS["step"]
    return first.text == "}" or (brace.text == "{" and first.text not in known)
