"""Expressions: names to what they mean, operators to what they give, each with its type."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from backstay.lang import errors as e
from backstay.lang import program as p
from backstay.lang import syntax as s
from backstay.lang.check.columns import made_of
from backstay.lang.check.scope import Ran, Scope
from backstay.lang.check.types import (
    BOOL,
    DURATION,
    INT,
    MAX_PRECISION,
    STRING,
    UNKNOWN,
    item_of,
    show,
    too_many,
)
from backstay.lang.check.values import fit
from backstay.lang.check.world import Checker, EntityInfo, Watched
from backstay.lang.names import listed, suggestion

NOTHING = p.Constant(None, UNKNOWN)
"""Stands where a mistake was reported; nothing about it is reported again."""

MOST_ENTRIES = 500
"""Of a record that is written out."""


def lower(k: Checker, node: s.Expr, scope: Scope) -> p.Expr:
    """The checked form of an expression. Mistakes are reported, the result is then unknown."""
    match node:
        case s.Literal_():
            return literal(node)
        case s.NameExpr():
            return _name(k, node, scope)
        case s.Dot():
            return _dot(k, node, scope)
        case s.BinaryExpr() | s.UnaryExpr():
            # Operators hold expressions and expressions hold operators.
            from backstay.lang.check import operators

            if isinstance(node, s.UnaryExpr):
                return operators.unary(k, node, scope)
            return operators.binary(k, node, scope)
        case s.Choice() | s.Item():
            from backstay.lang.check import operators

            if isinstance(node, s.Choice):
                return operators.choice(k, node, scope)
            return operators.item(k, node, scope)
    return _shaped(k, node, scope)


def _shaped(
    k: Checker,
    node: s.Text | s.RecordExpr | s.Each | s.CallExpr | s.ListExpr | s.Where | s.Lambda,
    scope: Scope,
) -> p.Expr:
    match node:
        case s.Text() | s.RecordExpr() | s.Each() | s.ListExpr():
            return _composed(k, node, scope)
        case s.CallExpr():
            # Calls hold expressions and expressions hold calls.
            from backstay.lang.check.calls import call

            return call(k, node, scope)
        case s.Where():
            what, instead = "where at this place", "use count or sum"
        case s.Lambda():
            what, instead = "a lambda at this place", "give it to map, filter or another function"
    k.error(e.UNSUPPORTED, node.span, what=what, instead=instead)
    return NOTHING


def _composed(
    k: Checker, node: s.Text | s.RecordExpr | s.Each | s.ListExpr, scope: Scope
) -> p.Expr:
    made: p.Expr
    match node:
        case s.Text():
            made = _text(k, node, scope)
        case s.RecordExpr():
            made = record(k, node, scope)
        case s.Each():
            made = each(k, node, scope)
        case _:
            made = listed_values(k, node, scope)
    made_of(k, made, node.span, scope)
    return made


def typed(k: Checker, node: s.Expr, scope: Scope, to: p.Type, what: str) -> p.Expr:
    """The checked form, held against the type that is wanted."""
    return fit(k, lower(k, node, scope), to, node.span, what)


def condition(k: Checker, node: s.Expr, scope: Scope, what: str) -> p.Expr:
    """An expression that is true or false."""
    return typed(k, node, scope, BOOL, what)


def literal(node: s.Literal_) -> p.Constant:
    match node.literal:
        case "decimal":
            number = Decimal(str(node.value))
            places = max(0, -int(number.as_tuple().exponent))
            digits = max(len(number.as_tuple().digits), places + 1)
            return p.Constant(number, p.DecimalType(min(digits, MAX_PRECISION), places))
        case "duration":
            return p.Constant(node.value, DURATION)
        case "int":
            return p.Constant(node.value, INT)
        case "bool":
            return p.Constant(node.value, BOOL)
        case "null":
            return NOTHING
    return p.Constant(node.value, STRING)


# --- names and dots ----------------------------------------------------------------------------


def _name(k: Checker, node: s.NameExpr, scope: Scope) -> p.Expr:
    variable = scope.find(node.name)
    row = scope.row
    if row and node.name in row.fields:
        if variable is not None:
            k.error(e.SHADOWED, node.span, name=node.name, entity=row.name)
        return _column(k, node, row)
    if variable is not None:
        scope.use(node.name)
        return p.Name(node.name, variable)
    if node.name in k.world.functions:
        k.use("function", node.name)
        return NOTHING
    if node.name == "steps" and scope.outputs is not None:
        k.error(e.UNSUPPORTED, node.span, what="steps without a name", instead="steps.NAME.field")
        return NOTHING
    if not scope.lenient and not (row and row.broken):
        known = dict.fromkeys((*scope.names(), "true", "false", "null", *_words(scope)))
        k.unknown(e.UNDEFINED_VARIABLE, node, known)
    return NOTHING


def _words(scope: Scope) -> tuple[str, ...]:
    return ("steps",) if scope.outputs is not None else ()


def _column(k: Checker, node: s.NameExpr, row: EntityInfo) -> p.Expr:
    field = row.fields[node.name]
    if isinstance(field.type, p.ManyType):
        what = "it cannot stand in a condition or be set"
        k.error(e.NOT_A_COLUMN, node.span, name=node.name, entity=row.name, what=what)
        return NOTHING
    return p.Column(field.name, field.type)


def _dot(k: Checker, node: s.Dot, scope: Scope) -> p.Expr:
    if isinstance(node.of, s.NameExpr):
        head = node.of.name
        if head == "steps" and scope.outputs is not None:
            return _step_output(k, node, scope.outputs, scope)
        variable = scope.find(head)
        # A path that starts with a variable means the variable, also where a row has a
        # field of that name: `where order == order.id`.
        of: p.Expr = p.Name(head, variable) if variable else _name(k, node.of, scope)
        if variable is not None:
            scope.use(head, node.field.name)
    else:
        of = lower(k, node.of, scope)
    return get(k, of, node.field)


def _step_output(k: Checker, node: s.Dot, outputs: Mapping[str, Ran], scope: Scope) -> p.Expr:
    name = node.field
    if scope.lenient and name.name not in outputs:
        return NOTHING
    ran = outputs.get(name.name)
    if ran is None or ran.type is None:
        known = [step for step, each in outputs.items() if each.type is not None]
        hint = f"it can read: {listed(known)}"
        if ran is not None:
            hint = f"step '{name.name}' only writes and has no output"
        elif name.name in scope.later:
            hint = f"step '{name.name}' runs beside this one or after it; {hint}"
        edit = suggestion(name.name, known, k.reports.at(name.span))
        k.error(e.UNKNOWN_STEP, name.span, edit=edit, name=name.name, known=hint)
        return NOTHING
    if not scope.has_run(name.name, ran):
        k.error(e.MAYBE_NOT_RUN, name.span, name=name.name)
    return p.Get(p.Name("steps", UNKNOWN), name.name, ran.type)


def steps_named(node: p.Expr | None) -> frozenset[str]:
    """The steps that a condition asks about: where it holds, their absence was thought of."""
    if node is None:
        return frozenset()
    found: set[str] = set()
    waiting: list[object] = [node]
    while waiting:
        each = waiting.pop()
        match each:
            case p.Get(of=p.Name(name="steps"), field=field):
                found.add(field)
            case msgspec.Struct():
                waiting += [getattr(each, name) for name in each.__struct_fields__]
            case tuple():
                waiting += each
    return frozenset(found)


def get(k: Checker, of: p.Expr, field: s.Ident) -> p.Expr:
    """`of.field`, through records, rows and refs."""
    match of.type:
        case p.UnknownType():
            return p.Get(of, field.name, UNKNOWN) if of is not NOTHING else NOTHING
        case p.RecordType(fields):
            for each_field in fields:
                if each_field.name == field.name:
                    return p.Get(of, field.name, each_field.type)
            k.unknown(e.UNKNOWN_FIELD, field, (each.name for each in fields), owner="the record")
            return NOTHING
        case p.RowType(entity) | p.RefType(entity):
            info = k.world.entities[entity]
            if isinstance(of, p.Column) and info.key and field.name == info.key.name:
                # The column holds the key itself: no second row has to be read.
                return p.Column(of.field, info.key.type)
            if field.name not in info.fields and info.broken:
                return NOTHING
            return _found(k, of, field, info.fields, f"entity '{entity}'")
        case p.ScalarType("json"):
            return p.Get(of, field.name, UNKNOWN)
    k.error(e.NO_FIELDS, field.span, type=show(of.type), name=field.name)
    return NOTHING


def _found(
    k: Checker, of: p.Expr, field: s.Ident, fields: dict[str, p.Field], owner: str
) -> p.Expr:
    found = fields.get(field.name)
    if found is None:
        k.unknown(e.UNKNOWN_FIELD, field, fields, owner=owner)
        return NOTHING
    return p.Get(of, found.name, found.type)


# --- texts, records, lists ---------------------------------------------------------------------


def _text(k: Checker, node: s.Text, scope: Scope) -> p.Expr:
    """A text with holes is `text(part, …)`: its parts in order, each as a text."""
    parts: list[p.Expr] = []
    for part in node.parts:
        if isinstance(part, str):
            parts.append(p.Constant(part, STRING))
            continue
        if isinstance(part, s.NameExpr) and _is_plain(part.name, scope):
            if not scope.lenient:
                k.unknown(e.HOLE_OF_NOTHING, part, scope.names())
            parts.append(p.Constant(f"{{{part.name}}}", STRING))
            continue
        value = lower(k, part, scope)
        if isinstance(value.type, p.RecordType | p.ListType | p.ManyType):
            k.error(e.MISMATCH, part.span, what="a hole", wanted="a value", got=show(value.type))
        parts.append(value)
    return p.Call("text", tuple(parts), STRING)


def _is_plain(name: str, scope: Scope) -> bool:
    """Whether braces around the name are text: scripts of the first version had no holes."""
    known = scope.find(name) is not None or (scope.row is not None and name in scope.row.fields)
    return scope.script and not known


def listed_values(k: Checker, node: s.ListExpr, scope: Scope) -> p.Expr:
    """`[a, b]`: a list of their common type."""
    k.note("expression.list", node.span)
    too_many(k, "a list", "values", len(node.items), MOST_ENTRIES, node.span)
    items = tuple(lower(k, item, scope) for item in node.items[:MOST_ENTRIES])
    kinds = {item.type for item in items}
    kind = kinds.pop() if len(kinds) == 1 else UNKNOWN
    return p.Listed(items, p.ListType(kind))


def record(k: Checker, node: s.RecordExpr, scope: Scope) -> p.Record:
    """`{ name: EXPR }` of no particular shape."""
    fields: dict[str, p.Expr] = {}
    too_many(k, "a record", "fields", len(node.fields), MOST_ENTRIES, node.span)
    for entry in node.fields[:MOST_ENTRIES]:
        if entry.name.name in fields:
            k.error(e.DUPLICATE_MEMBER, entry.name.span, name=entry.name.name)
        fields[entry.name.name] = lower(k, entry.value, scope)
    kind = p.RecordType(tuple(p.Field(name, value.type, True) for name, value in fields.items()))
    return p.Record(tuple(fields.items()), kind)


def each(k: Checker, node: s.Each, scope: Scope) -> p.Expr:
    """`[x in LIST: EXPR]`."""
    items, inner = walk(k, node.variable, node.items, scope)
    value = lower(k, node.value, inner)
    return p.Map(node.variable.name, items, value, p.ListType(value.type))


def walk(k: Checker, variable: s.Ident, node: s.Expr, scope: Scope) -> tuple[p.Expr, Scope]:
    """The list that is walked, and the scope with the loop's variable."""
    items = lower(k, node, scope)
    kind = item_of(items.type)
    if kind is None:
        k.error(e.NOT_ITERABLE, node.span, type=show(items.type))
    inner = Scope(scope)
    declare(k, inner, variable, kind or UNKNOWN)
    return items, inner


def declare(k: Checker, scope: Scope, name: s.Ident, kind: p.Type, what: str = "") -> None:
    """A new variable; it may not hide another one. `what` names it if somebody should use it."""
    hidden = name.name in scope.variables if scope.script else scope.find(name.name) is not None
    if hidden or (name.name == "steps" and not scope.script):
        k.error(e.DUPLICATE_DECLARATION, name.span, name=name.name)
        return
    scope.variables[name.name] = kind
    if what:
        watch(k, scope, name.name, what, name.span)


def watch(
    k: Checker, scope: Scope, name: str, what: str, span: s.Range, *, renames: bool = True
) -> None:
    """From now on `name` (or `body.name`) should be used; a leading underscore says that it need
    not. `renames`: giving it another name changes nothing for others."""
    plain = name.rpartition(".")[2]
    if not plain.startswith("_"):
        made = Watched(what, plain, k.reports.at(span), renames=renames)
        scope.watched[name] = made
        k.watched.append((k.reports, made))
