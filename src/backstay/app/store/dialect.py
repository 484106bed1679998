"""How the two databases say the same thing: every difference in their SQL, and nothing else.

What both understand is written once where it is used (`IS NOT DISTINCT FROM`, `ON CONFLICT DO
NOTHING`, `FALSE`, `CAST(… AS DOUBLE PRECISION)`, `count(*) FILTER`). Question marks stand for
parameters on both; the session numbers them where a server wants that.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from backstay.app.scalars import SqlValue
from backstay.lang import columns
from backstay.lang.program import Type

Convert = Callable[[object], SqlValue]


class Operand(msgspec.Struct, frozen=True):
    """A computed value that meets a stored one: its place in the SQL, and how it gets there.
    `convert` gives None for what nothing stored can be compared with."""

    mark: str
    convert: Convert


class Comparison(msgspec.Struct, frozen=True):
    """A condition, and the order of its parameters: `c` those of the column, `v` the value, `n`
    whether the value is null."""

    text: str
    order: str = "cv"


class Dialect(Protocol):
    """`scaled`: a decimal is an integer in units of its last digit, else a number as it is.
    `numeric_flags`: true and false are 1 and 0. `arrays`: it has them, and each
    statement is a way to a server and back."""

    name: columns.Dialect
    scaled: bool
    numeric_flags: bool
    arrays: bool

    # --- expressions ---

    def operand(self, kind: Type, of: Type) -> Operand:
        """A value of type `of` beside a stored `kind`; neither is a reference."""
        ...

    def same(self, column: str, mark: str, *, nullable: bool) -> Comparison:
        """`column` holds the parameter, null being a value like others."""
        ...

    def other(self, column: str, mark: str) -> Comparison:
        """`column` holds anything but the parameter."""
        ...

    def position(self, whole: str, part: str) -> str:
        """Where in a text another one begins, from 1; 0 when it is not in it."""
        ...

    def search(self, column: str) -> str:
        """Whether a text fits the LIKE pattern that is the only parameter, letters of A to Z in
        any case."""
        ...

    def among(self, column: str, kind: Type) -> str:
        """`column` is one of a JSON array, the only parameter."""
        ...

    def elapsed(self, later: str, earlier: str) -> str:
        """Seconds between two timestamps."""
        ...

    def moved(self, stamp: str, sign: str, seconds: str) -> str:
        """A timestamp later or earlier by seconds."""
        ...

    def json_text(self, column: str) -> str:
        """The text of a column that holds JSON."""
        ...

    def text_json(self, text: str) -> str:
        """The text as a value for such a column."""
        ...

    # --- tables ---

    def name_of(self, name: str) -> str:
        """The name of an index or a constraint as the database keeps it."""
        ...

    def numbered_key(self) -> str:
        """Type and constraint of a key that counts by itself."""
        ...

    def ordered(self, column: str, *, nullable: bool) -> str:
        """A column of an index, which begins with null."""
        ...

    def literal(self, value: SqlValue, kind: Type) -> str:
        """A stored value as SQL text, for statements that cannot have parameters."""
        ...

    def ddl(self, sql: str) -> str:
        """Statements for the runtime's own tables, which are written for SQLite."""
        ...

    @property
    def closing(self) -> str:
        """What ends a CREATE TABLE."""
        ...

    @property
    def apart(self) -> bool:
        """Whether constraints stand apart from their columns: each can be added and dropped, and a
        reference only declared once its target is there."""
        ...

    @property
    def tables(self) -> str:
        """A statement that gives the name of each table there is."""
        ...
