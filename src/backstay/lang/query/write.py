"""Queries that change rows: update and delete. The condition and the change are one statement."""

# ruff: noqa: S608 - names come from the checked program, values are always parameters

from backstay.lang.query.compute import Compute
from backstay.lang.query.numbers import TIMESTAMP, is_number, is_text, rescaled, scale_of
from backstay.lang.query.scope import Scope, cannot, quote
from backstay.lang.query.slots import Slots, mismatch
from backstay.lang.query.stored import DELETED_AT, type_word
from backstay.lang.query.tree import Assign, Operand, Query, Value
from backstay.lang.query.values import Unfit
from backstay.lang.query.where import Where

_NO_CLAUSES = ("include", "order", "group", "having", "limit", "offset")


def write(scope: Scope, slots: Slots, query: Query) -> str:
    """The SQL of an update or a delete. Raises CompilerError."""
    for name in _NO_CLAUSES:
        if getattr(query, name) not in (None, ()):
            word = "with" if name == "include" else name
            what = f"'{word}' has no meaning for {query.verb}"
            raise cannot(what, query.entity, "leave it out")
    table = quote(scope.entity.table)
    if query.verb == "update":
        terms = ", ".join(_terms(scope, slots, query))
        return f"UPDATE {table} SET {terms}{_where(scope, slots, query)}"
    if scope.entity.soft_delete:
        at = query.entity.at if query.entity else None
        assert at is not None  # noqa: S101 - a statement names its entity
        now = slots.now(TIMESTAMP, at)
        return f"UPDATE {table} SET {quote(DELETED_AT)} = {now}{_where(scope, slots, query)}"
    return f"DELETE FROM {table}{_where(scope, slots, query)}"


def _terms(scope: Scope, slots: Slots, query: Query) -> list[str]:
    names: list[str] = []
    terms: list[str] = []
    for each in query.assigned:
        field = scope.own_column(each.field)
        if field.primary:
            raise cannot(f"the key '{field.name}' cannot be changed", each.field, "leave it")
        if field.name in names:
            raise cannot(f"'{field.name}' is set twice", each.field, "set it once")
        names.append(field.name)
        if field.pattern:
            what = f"'{field.name}' has a pattern, which the database cannot look at"
            raise cannot(what, each.field, "use the statement update in do")
        terms.append(f"{quote(field.name)} = {_assigned(scope, slots, each)}")
    for field in scope.columns:
        if field.auto_update and field.name not in names and query.entity is not None:
            now = slots.now(TIMESTAMP, query.entity.at)
            terms.append(f"{quote(field.name)} = {now}")
    if scope.joined:
        what = "a value of another row cannot be set"
        raise cannot(what, query.assigned[0].field, "read it before, and give it as a parameter")
    return terms


def _assigned(scope: Scope, slots: Slots, each: Assign) -> str:
    field = scope.own_column(each.field)
    kind = scope.type(field)
    value: Operand = each.value
    compute = Compute(scope, slots)
    if isinstance(value, Value) and not (value.bare and not is_text(kind)):
        if value.kind == "null" and not field.required:
            return "NULL"
        return slots.add(field.name, kind, "value", value, nullable=not field.required)
    made = compute.value(value, kind)
    if is_number(kind) and is_number(made.kind):
        exact = type_word(kind) == "float" or (
            type_word(made.kind) != "float" and scale_of(made.kind) <= scale_of(kind)
        )
        if exact:
            scale = scale_of(kind)
            return rescaled(made.text, made.kind, scale, slots.dialect) if scale else made.text
        fix = f"round it: round(…, {scale_of(kind)})"
        what = f"'{made.name}' has more digits than '{field.name}'"
        raise cannot(what, made.at, fix)
    if type_word(made.kind) != type_word(kind) and not (is_text(kind) and is_text(made.kind)):
        raise mismatch(field.name, made.at, Unfit(type_word(kind), type_word(made.kind)))
    return made.text


def _where(scope: Scope, slots: Slots, query: Query) -> str:
    tests = [scope.living()]
    if query.where is not None:
        tests.insert(0, Where(Compute(scope, slots)).condition(query.where))
    said = " AND ".join(each for each in tests if each)
    if not said:
        return ""
    if not scope.joined:
        return f" WHERE {said}"
    key = scope.column(scope.key)
    # Rows of other tables are looked at in a query of their own: neither database joins here.
    return f" WHERE {quote(scope.key.name)} IN (SELECT {key} FROM {scope.source()} WHERE {said})"
