"""Names and conditions of a query against an entity, as SQL with placeholders."""

# ruff: noqa: S608 - names come from the checked program, values are always parameters

import re
from collections.abc import Mapping

from backstay.core.nearest import nearest
from backstay.lang.program import Entity, Field, ManyType, Program, RefType, ScalarType, Type
from backstay.lang.query import errors as e
from backstay.lang.query.slots import Form, Slot, loose, slot
from backstay.lang.query.tree import Both, Condition, Not, Place, Ref, Search, Test, Value
from backstay.lang.query.values import POSTGRES_TYPES, Dialect, type_word

_TEXTS = ("string", "text", "enum")
_TEXT = ScalarType("string")
_UNORDERED = ("bool", "json")
_FORMS: Mapping[str, Form] = {
    "contains": "contains",
    "startswith": "startswith",
    "endswith": "endswith",
    "like": "like",
    "ilike": "ilike",
}


def cannot(what: str, where: Ref | Place | None, fix: str) -> e.QueryError:
    """CompilerError for what reads well and has no SQL."""
    at = where.at if isinstance(where, Ref) else where or Place(0, 0)
    return e.QueryError(e.CANNOT_COMPILE, line=at.line, column=at.column, what=what, fix=fix)


class Scope:
    """What names mean: the fields of an entity, or after `group by` only the grouped ones and the
    aggregate."""

    def __init__(
        self,
        program: Program,
        entity: Entity,
        prefix: str,
        grouped: tuple[Field, ...] | None = None,
        made: Mapping[str, tuple[str, Type]] | None = None,
    ) -> None:
        self.entity = entity
        self.made = made or {}
        self._program = program
        self._prefix = prefix
        self._grouped = grouped

    @property
    def columns(self) -> list[Field]:
        return [each for each in self.entity.fields if not isinstance(each.type, ManyType)]

    def any_field(self, ref: Ref) -> Field:
        """A field or relation: by its name, or by that name in camelCase."""
        snake = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", ref.name).lower()
        for name in (ref.name, snake):
            for each in self.entity.fields:
                if each.name == name:
                    return each
        close = nearest(ref.name, [each.name for each in self.entity.fields])
        raise e.QueryError(
            e.UNKNOWN_FIELD,
            line=ref.at.line,
            column=ref.at.column,
            name=ref.name,
            entity=self.entity.name,
            hint=f"did you mean '{close}'?" if close else "name one that the entity declares",
        )

    def field(self, ref: Ref) -> Field:
        """A field that is a column."""
        found = self.any_field(ref)
        if isinstance(found.type, ManyType):
            raise cannot(f"'{ref.name}' is a list of rows, not a value", ref, "name a column")
        if self._grouped is not None and found not in self._grouped:
            raise cannot(f"'{ref.name}' is not grouped by", ref, "add it to group by")
        return found

    def type(self, field: Field) -> Type:
        """The type of the column: a reference holds its target's key."""
        kind = field.type
        while isinstance(kind, RefType):
            target = self._program.entity(kind.entity)
            kind = next(each.type for each in target.fields if each.primary)
        return kind

    def column(self, field: Field) -> str:
        name = field.name.replace('"', '""')
        return f'{self._prefix}."{name}"'

    def named(self, ref: Ref) -> tuple[str, Type]:
        """The SQL and the type behind a name."""
        if ref.name.lower() in self.made:
            return self.made[ref.name.lower()]
        field = self.field(ref)
        return self.column(field), self.type(field)

    def sorted_by(self, field: Field, dialect: Dialect) -> str:
        """The column in an order that both databases share."""
        return by_code_point(self.column(field), self.type(field), dialect)

    def sorted_name(self, ref: Ref, dialect: Dialect) -> str:
        """As `sorted_by`, for a written name. Raises CompilerError for what has no order."""
        text, kind = self.named(ref)
        if type_word(kind) == "json":
            raise cannot(f"'{ref.name}' has no order", ref, "order by another field")
        return by_code_point(text, kind, dialect)


def by_code_point(text: str, kind: Type, dialect: Dialect) -> str:
    """PostgreSQL compares texts by the rules of a language unless told otherwise."""
    textual = dialect == "postgres" and type_word(kind) in _TEXTS
    return f'{text} COLLATE "C"' if textual else text


class WhereCompiler:
    """Conditions to SQL; slots are added in the order of their placeholders."""

    def __init__(
        self, scope: Scope, dialect: Dialect, slots: list[Slot], *, loosely: bool = False
    ) -> None:
        self._scope = scope
        self._dialect = dialect
        self._slots = slots
        self._loosely = loosely

    def condition(self, condition: Condition) -> str:
        """SQL whose operators need no parentheses around it."""
        match condition:
            case Both(op=op, parts=parts):
                return "(" + f" {op.upper()} ".join(self.condition(each) for each in parts) + ")"
            case Not(condition=inner):
                return f"(NOT {self.condition(inner)})"
            case Search(at=at):
                what = f"no text search column configured for entity '{self._scope.entity.name}'"
                raise cannot(what, at, "look in a field: name contains 'word'")
            case Test():
                return self._test(condition)

    def placeholder(self, kind: Type) -> str:
        """The mark of the slot that was added last."""
        if self._dialect == "sqlite":
            return "?"
        name = POSTGRES_TYPES.get(type_word(kind), "text")
        mark = f"${len(self._slots)}"
        # Through text, so that a driver need not know the type.
        return (
            f"{mark}::text::{name}"
            if name in ("uuid", "timestamptz", "date")
            else (f"{mark}::{name}")
        )

    def _test(self, test: Test) -> str:
        text, kind = self._scope.named(test.field)
        word, op = type_word(kind), test.op
        if op == "null":
            return f"({text} IS NULL)"
        if op == "is true":
            if word != "bool":
                what = f"'{test.field.name}' alone is a condition only for a field of type bool"
                raise cannot(what, test.field, "write field:value")
            return f"({text} = {'TRUE' if self._dialect == 'postgres' else '1'})"
        self._refuse_unfit(test, word)
        if op in _FORMS:
            return self._pattern(text, test)
        if op == "in":
            return self._member(text, kind, test)
        if op in ("=", "!=") and test.values[0].kind == "null":
            return f"({text} IS {'NOT ' if op == '!=' else ''}NULL)"
        sorted_text = text if op in ("=", "!=") else by_code_point(text, kind, self._dialect)
        marks = [self._add(test, kind, "value", each) for each in test.values]
        if op == "between":
            return f"({sorted_text} BETWEEN {marks[0]} AND {marks[1]})"
        return f"({sorted_text} {'<>' if op == '!=' else op} {marks[0]})"

    def _refuse_unfit(self, test: Test, word: str) -> None:
        fits = (
            word != "json"
            and (test.op not in _FORMS or word in _TEXTS)
            and (word not in _UNORDERED or test.op in ("=", "!=", "in"))
        )
        if not fits:
            what = f"the operator '{test.op}' does not fit field '{test.field.name}' of type {word}"
            raise cannot(what, test.field, "use one that fits, such as 'is null'")

    def _pattern(self, text: str, test: Test) -> str:
        # A part of an enum's member is no member: the slot is that of a text.
        mark = self._add(test, _TEXT, _FORMS[test.op], test.values[0])
        if test.op == "like":
            if self._dialect == "sqlite":
                return f"({text} GLOB {mark})"
            return f"({text} LIKE {mark})"
        if self._dialect == "sqlite":
            return f"({text} LIKE {mark} ESCAPE '\\')"
        return f'(lower({text} COLLATE "C") LIKE lower({mark} COLLATE "C"))'

    def _member(self, text: str, kind: Type, test: Test) -> str:
        values = test.values
        if len(values) == 1 and values[0].kind == "param" and not test.is_list:
            return self._listed(text, kind, test)
        if not test.is_list and not values[0].bare:
            raise cannot("IN operator requires array value", values[0].at, "write in [a, b]")
        if not values:
            return "(1 = 0)"
        marks = [self._add(test, kind, "value", each) for each in values]
        return f"({text} IN ({', '.join(marks)}))"

    def _listed(self, text: str, kind: Type, test: Test) -> str:
        """A list of any length is one parameter."""
        mark = self._add(test, kind, "list", test.values[0])
        if self._dialect == "sqlite":
            return f"({text} IN (SELECT value FROM json_each({mark})))"
        name = POSTGRES_TYPES[type_word(kind)]
        return f"({text} IN (SELECT item::{name} FROM jsonb_array_elements_text({mark}) AS item))"

    def _add(self, test: Test, kind: Type, form: Form, value: Value) -> str:
        if self._loosely:
            value = loose(kind, value)
        self._slots.append(slot(test.field.name, kind, form, value, self._dialect))
        if form == "list" and self._dialect == "postgres":
            return f"${len(self._slots)}::text::jsonb"
        return self.placeholder(kind)
