"""What SQLite says in its own way."""

from decimal import Decimal

import apsw
import msgspec

from backstay.app.scalars import SCALARS, SqlValue
from backstay.app.store.dialect import Comparison, Dialect, Operand
from backstay.app.texts import EXACT, INT64, to_decimal
from backstay.lang import columns
from backstay.lang.program import DecimalType, ScalarType, Type


class SqliteDialect:
    """See `Dialect`."""

    name: columns.Dialect = "sqlite"
    scaled = True
    numeric_flags = True
    arrays = False
    closing = " STRICT"
    apart = False
    tables = "SELECT name FROM sqlite_schema"

    def operand(self, kind: Type, of: Type) -> Operand:  # noqa: ARG002 - values have no types here
        if isinstance(kind, DecimalType):
            return Operand("?", lambda value: scaled(value, kind.scale))
        if isinstance(kind, ScalarType):
            if kind.name in ("int", "float"):
                return Operand("?", lambda value: scaled(value, 0))
            if kind.name in ("timestamp", "time", "json"):
                return Operand("?", SCALARS[kind.name].store)
        return Operand("?", plainly)

    def same(self, column: str, mark: str, *, nullable: bool) -> Comparison:
        # The planner knows that `=` on a key finds one row; with the other form it does not.
        return Comparison(f"({column} {'IS NOT DISTINCT FROM' if nullable else '='} {mark})")

    def other(self, column: str, mark: str) -> Comparison:
        return Comparison(f"({column} IS DISTINCT FROM {mark})")

    def position(self, whole: str, part: str) -> str:
        return f"instr({whole}, {part})"

    def search(self, column: str) -> str:
        return f"(COALESCE({column}, '') LIKE ? ESCAPE '\\')"

    def among(self, column: str, kind: Type) -> str:  # noqa: ARG002 - values have no types here
        return f"({column} IN (SELECT value FROM json_each(?)))"  # noqa: S608 - a checked name

    def elapsed(self, later: str, earlier: str) -> str:
        return f"(({later} - {earlier}) / 1000000.0)"

    def moved(self, stamp: str, sign: str, seconds: str) -> str:
        return f"({stamp} {sign} CAST(round({seconds} * 1000000) AS BIGINT))"

    def json_text(self, column: str) -> str:
        return column

    def text_json(self, text: str) -> str:
        return text

    def name_of(self, name: str) -> str:
        return name

    def numbered_key(self) -> str:
        return "INTEGER PRIMARY KEY"

    def ordered(self, column: str, *, nullable: bool) -> str:  # noqa: ARG002 - null is first anyway
        return column

    def literal(self, value: SqlValue, kind: Type) -> str:  # noqa: ARG002 - values have no types here
        return apsw.format_sql_value(value)

    def ddl(self, sql: str) -> str:
        return sql


def scaled(value: object, scale: int) -> SqlValue:
    """A number in units of the scale: an int where it is whole, else a float to compare with."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        number = to_decimal(value).scaleb(scale, EXACT)
        whole = int(number)
        return whole if whole == number and -INT64 <= whole < INT64 else float(number)
    return plainly(value)


def plainly(value: object) -> SqlValue:
    """A value that needs no scale, as SQLite takes it."""
    if value is None or isinstance(value, int | float | str):
        return value
    return msgspec.json.encode(value).decode()


SQLITE: Dialect = SqliteDialect()
