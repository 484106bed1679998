"""What the names of a query mean: fields of an entity, of the rows it refers to, and json inside.

A row behind a reference is joined once, however often it is named; a soft-deleted one is not seen.
"""

import re
from typing import NamedTuple

from backstay.core.nearest import nearest
from backstay.lang.columns import Dialect
from backstay.lang.program import (
    Entity,
    Field,
    ManyType,
    Program,
    RecordType,
    RefType,
    Type,
    UnknownType,
)
from backstay.lang.query import errors as e
from backstay.lang.query.slots import Typed
from backstay.lang.query.stored import DELETED_AT, stored_type, type_word
from backstay.lang.query.tree import Path, Place, Ref


def cannot(what: str, where: Ref | Path | Place | None, fix: str) -> e.QueryError:
    """CompilerError for what reads well and has no SQL."""
    at = where.at if isinstance(where, Ref | Path) else where or Place(0, 0)
    return e.QueryError(e.CANNOT_COMPILE, line=at.line, column=at.column, what=what, fix=fix)


def quote(name: str) -> str:
    """An SQL identifier; names come from the checked program."""
    return '"' + name.replace('"', '""') + '"'


class Scope:
    """The fields of an entity under an alias, and the rows joined to it."""

    def __init__(self, program: Program, entity: Entity, dialect: Dialect, alias: str = "") -> None:
        self.entity = entity
        self.program = program
        self.dialect: Dialect = dialect
        self.alias = alias or entity.table
        self._joins: dict[str, str] = {}

    # --- rows ---

    @property
    def columns(self) -> list[Field]:
        return [each for each in self.entity.fields if not isinstance(each.type, ManyType)]

    @property
    def key(self) -> Field:
        return next(each for each in self.entity.fields if each.primary)

    @property
    def joined(self) -> bool:
        return bool(self._joins)

    def source(self) -> str:
        """What stands after FROM."""
        table = quote(self.entity.table)
        named = table if self.alias == self.entity.table else f"{table} AS {quote(self.alias)}"
        return named + "".join(self._joins.values())

    def living(self) -> str:
        """The condition that leaves out soft-deleted rows, or nothing."""
        if not self.entity.soft_delete:
            return ""
        return f"({quote(self.alias)}.{quote(DELETED_AT)} IS NULL)"

    def behind(self, field: Field, entity: str) -> "Scope":
        """The scope of the row that a reference of this one points to."""
        alias = f"{self.alias}.{field.name}"
        target = Scope(self.program, self.program.entity(entity), self.dialect, alias)
        target._joins = self._joins
        if alias not in self._joins:
            on = f"{quote(alias)}.{quote(target.entity.key)} = {self.column(field)}"
            living = target.living()
            on += f" AND {living}" if living else ""
            table = quote(target.entity.table)
            self._joins[alias] = f" LEFT JOIN {table} AS {quote(alias)} ON {on}"
        return target

    def rows(self, field: Field, many: ManyType) -> tuple["Scope", str]:
        """The scope of the rows that refer to this one, and the condition that says so."""
        alias = f"{self.alias}.{field.name}"
        inner = Scope(self.program, self.program.entity(many.entity), self.dialect, alias)
        test = f"{quote(alias)}.{quote(many.via)} = {self.column(self.key)}"
        living = inner.living()
        return inner, f"{test} AND {living}" if living else test

    # --- names ---

    def find(self, ref: Ref) -> Field | None:
        """A field or relation: by its name, or by that name in camelCase."""
        snake = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", ref.name).lower()
        for name in (ref.name, snake):
            for each in self.entity.fields:
                if each.name == name:
                    return each
        return None

    def field(self, ref: Ref) -> Field:
        """As `find`. Raises CompilerError."""
        found = self.find(ref)
        if found is None:
            raise _unknown(ref, self.entity.name, [each.name for each in self.entity.fields])
        return found

    def own_column(self, ref: Ref) -> Field:
        """A field that is a column of this row."""
        found = self.field(ref)
        if isinstance(found.type, ManyType):
            raise _list(ref)
        return found

    def type(self, field: Field) -> Type:
        """The type of the value in the column."""
        return stored_type(self.program, field.type)

    def column(self, field: Field) -> str:
        return f"{quote(self.alias)}.{quote(field.name)}"

    def typed(self, field: Field, path: Path) -> Typed:
        return Typed(self.column(field), self.type(field), path.text, path.at, plain=True)

    def many(self, path: Path) -> "Many | None":
        """Where a path goes through a list of rows; None when it does not."""
        at = self._first_list(path)
        if at is None:
            return None
        scope = self
        for ref in path.names[:at]:
            field = scope.field(ref)
            if isinstance(field.type, RefType):
                scope = scope.behind(field, field.type.entity)
        field = scope.field(path.names[at])
        if not isinstance(field.type, ManyType):
            return None
        rows, tie = scope.rows(field, field.type)
        rest = path.names[at + 1 :]
        return Many(field.name, rows, tie, Path(rest) if rest else None)

    def _first_list(self, path: Path) -> int | None:
        """The place of the first list on a path; nothing is joined for looking."""
        scope = self
        for at, ref in enumerate(path.names):
            field = scope.find(ref)
            if field is None or isinstance(field.type, ManyType):
                return None if field is None else at
            if not isinstance(field.type, RefType):
                return None
            scope = Scope(self.program, self.program.entity(field.type.entity), self.dialect)
        return None

    def resolve(self, path: Path) -> Typed:
        """The column of a path. Raises CompilerError."""
        scope = self
        for at, ref in enumerate(path.names):
            field = scope.own_column(ref)
            rest = path.names[at + 1 :]
            if not rest:
                return scope.typed(field, path)
            if isinstance(field.type, RefType):
                target = self.program.entity(field.type.entity)
                if len(rest) == 1 and rest[0].name == target.key:
                    # The column holds the key itself: no second row has to be read.
                    return scope.typed(field, path)
                scope = scope.behind(field, field.type.entity)
                continue
            return _inside(scope.typed(field, path), field.type, rest, self.dialect)
        raise AssertionError("a path has a name")


class Many(NamedTuple):
    """A list of rows on a path: its scope, the condition that ties it to this row, and what is
    left of the path inside."""

    name: str
    rows: Scope
    tie: str
    rest: Path | None


def _list(ref: Ref) -> e.QueryError:
    return cannot(f"'{ref.name}' is a list of rows, not a value", ref, "name a field of its rows")


def _unknown(ref: Ref, owner: str, known: list[str]) -> e.QueryError:
    close = nearest(ref.name, known)
    hint = f"did you mean '{close}'?" if close else "name one that the entity declares"
    if "-" in ref.name and not close:
        hint += "; to subtract, put a space before and after the minus"
    return e.QueryError(
        e.UNKNOWN_FIELD,
        line=ref.at.line,
        column=ref.at.column,
        name=ref.name,
        entity=owner,
        hint=hint,
        meant=close or "",
    )


def _inside(of: Typed, kind: Type, names: tuple[Ref, ...], dialect: Dialect) -> Typed:
    """A value inside json, as json; what is not there is null."""
    if type_word(kind) != "json":
        what = f"'{of.name.split('.', maxsplit=1)[0]}' of type {type_word(kind)} has no fields"
        raise cannot(what, names[0], "name a reference or a json field before the point")
    text = of.text
    for ref in names:
        if isinstance(kind, RecordType):
            found = next((each for each in kind.fields if each.name == ref.name), None)
            if found is None:
                known = [each.name for each in kind.fields]
                raise _unknown(ref, of.name.rpartition(".")[0], known)
            kind = found.type
        else:
            kind = UnknownType()
        # The word holds letters, digits, _ and - only.
        step = f"""'$."{ref.name}"'""" if dialect == "sqlite" else f"'{ref.name}'"
        text = f"({text} -> {step})"
    return Typed(text, UnknownType(), of.name, of.at)
