"""Queries inside a program: held against its entities and variables before anything runs.

A mistake is shown at its place inside the text, whether that is written out or stands in quotes. It
is a warning: the program is served, and the step fails with the same words when it runs (C13).
"""

import re

import msgspec

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.expressions import lower
from backstay.lang.check.scope import Scope
from backstay.lang.check.types import INT, UNKNOWN, assignable, show
from backstay.lang.check.world import Checker
from backstay.lang.diagnostics import Edit
from backstay.lang.query.compile import Compiled
from backstay.lang.query.compile import compile as compile_query
from backstay.lang.query.errors import QueryError
from backstay.lang.query.slots import Slot

_WORD = re.compile(r"[A-Za-z0-9_]+")
_OLD_PARAMETER = re.compile(r"(?<![\w:@$.])(?:[:$](?=[A-Za-z_])|(?=request\.[A-Za-z_]))")


def query(k: Checker, node: s.QueryNode, scope: Scope) -> p.Type:
    """The type of what a query of a step gives. Reports its mistakes."""
    return asked(k, node, scope)[0]


def asked(
    k: Checker, node: s.QueryNode, scope: Scope
) -> tuple[p.Type, tuple[tuple[str, p.Expr], ...]]:
    """The type of what a query gives, and the values of its parameters. Reports its mistakes."""
    quoted = Quoted(node.span, node.text)
    made = _compiled(k, quoted, "")
    if made is None:
        return UNKNOWN, ()
    given = [
        (name, _parameter(k, quoted, next(s for s in made.slots if s.parameter == name), scope))
        for name in made.parameters
    ]
    return result_of(made), tuple(given)


def where(k: Checker, node: s.Expr, entity: str) -> bool:
    """The condition in quotes of `find(orders) where "id = :id"`, whose parameters come with the
    request. What is no entity of the program has conditions of its own language. False after a
    mistake, which is reported."""
    if entity and isinstance(node, s.Literal_) and isinstance(node.value, str):
        head = f"select from {entity} where "
        text = head + _OLD_PARAMETER.sub("@", node.value)
        return _compiled(k, Quoted(node.span, text, len(head)), entity) is not None
    return True


def result_of(made: Compiled) -> p.Type:
    """Rows as a list of records, one value, or `{ changed: N }`."""
    if made.gives == "changed":
        return p.RecordType((p.Field("changed", INT, required=True),))
    if made.gives == "value":
        return made.outputs[-1].type
    along = {each.along for each in made.outputs if each.along}
    nested = {each.name.split(".")[0] for each in made.outputs if "." in each.name}
    fields = [
        p.Field(each.name, each.type, required=True)
        for each in made.outputs
        if "." not in each.name and each.name not in nested
    ]
    fields += [p.Field(name, UNKNOWN) for name in sorted(nested | along)]
    return p.ListType(p.RecordType(tuple(fields)))


class Quoted:
    """A text of another language inside a program: where its lines and columns are. `before`
    characters of its first line were put in front and are not there."""

    def __init__(self, span: s.Range, text: str, before: int = 0) -> None:
        self.text = text
        self._span = span
        self._before = before
        self._lines = text.split("\n")
        inside = len(text) - before
        one_line = span.line == span.end_line
        self._in_quotes = one_line and span.end_column - span.column == inside + 2
        # Escapes move what stands behind them, so then the whole text is shown.
        self._plain = self._in_quotes or not one_line or span.end_column - span.column == inside

    def range(self, line: int, column: int) -> s.Range:
        """The word at a place of the text."""
        if not self._plain or not line:
            return self._span
        said = self._lines[line - 1] if line <= len(self._lines) else ""
        word = _WORD.match(said, column - 1)
        length = len(word.group()) if word else 1
        if line == 1:
            column += self._span.column - 1 - self._before + self._in_quotes
        row = self._span.line + line - 1
        if row > self._span.end_line:
            return self._span
        return s.Range(row, column, row, column + length)


def _compiled(k: Checker, quoted: Quoted, entity: str) -> Compiled | None:
    if k.entities is None or k.world.incomplete:
        return None
    try:
        made = compile_query(k.entities, quoted.text, "sqlite", entity)
    except QueryError as bad:
        _report(k, quoted, bad)
        return None
    k.use("entity", made.entity)
    return made


def _report(k: Checker, quoted: Quoted, bad: QueryError) -> None:
    span = quoted.range(bad.line, bad.column)
    edit = None
    if bad.meant:
        edit = Edit(f"did you mean '{bad.meant}'?", k.reports.at(span), bad.meant)
    k.unread = True
    rule = msgspec.structs.replace(bad.rule, severity="warning")
    k.reports.put(rule, k.reports.at(span), bad.values, edit=edit)


def _parameter(k: Checker, quoted: Quoted, slot: Slot, scope: Scope) -> p.Expr:
    """`@order.id` is the path `order.id` of a variable."""
    line, column = slot.at.line, slot.at.column + 1
    head, *rest = slot.parameter.split(".")
    node: s.Expr = s.NameExpr(quoted.range(line, column), head)
    for name in rest:
        column += len(head) + 1
        head = name
        place = quoted.range(line, column)
        node = s.Dot(place, node, s.Ident(place, name))
    value = lower(k, node, scope)
    if _behind_a_reference(k, value):
        what, instead = "a field of another row as a parameter", "read it with a query before"
        k.error(e.UNSUPPORTED, node.span, what=what, instead=instead)
        return value
    wanted: p.Type = p.ListType(slot.type) if slot.form == "list" else slot.type
    if slot.form in ("item", "fuzzy") or assignable(k, wanted, value.type):
        return value
    what = f"the parameter '@{slot.parameter}'"
    k.error(e.MISMATCH, node.span, what=what, wanted=show(wanted), got=show(value.type))
    return value


def _behind_a_reference(k: Checker, value: p.Expr) -> bool:
    """Whether a row would have to be read for the value; the key of a reference is there."""
    while isinstance(value, p.Get):
        if isinstance(value.of.type, p.RefType):
            key = k.world.entities[value.of.type.entity].key
            if key is None or value.field != key.name:
                return True
        value = value.of
    return False
