"""A program and the kind of database that it is compiled for."""

from backstay.app.store.dialect import Dialect
from backstay.app.store.sqlite_dialect import SQLITE
from backstay.lang.program import Program


class Aimed(Program, frozen=True):
    """A program that is compiled for one kind of database."""

    dialect: Dialect = SQLITE


def aim(program: Program, dialect: Dialect) -> Program:
    """The same program, for `dialect`."""
    fields = {name: getattr(program, name) for name in Program.__struct_fields__}
    return Aimed(**fields, dialect=dialect)


def dialect_of(program: Program) -> Dialect:
    """What the program is compiled for: SQLite unless somebody aimed it."""
    return program.dialect if isinstance(program, Aimed) else SQLITE
