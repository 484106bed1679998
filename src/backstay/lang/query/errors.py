"""What can be wrong with a query: five kinds, fixed texts (C13, C14), a place in the text.

`ExecutionError` is raised by whoever runs the SQL, with the database's own words.
"""

from backstay.core.errors import ErrorEntry, Exit, Fault
from backstay.lang.errors.rule import Rule


def _rule(kind: str, code: int, message: str, cause: str, fix: str) -> Rule:
    return Rule(code=f"LANG{code}", message=message, cause=cause, fix=fix, status=400, kind=kind)


UNEXPECTED_CHARACTER = _rule(
    "LexerError",
    140,
    "unexpected character '{text}'",
    "a query has no such sign at this place",
    "remove it; a parameter is written @name or $name, a text in quotes",
)
OPEN_STRING = _rule(
    "LexerError",
    141,
    "unterminated string",
    "a text starts with a quote that is not closed",
    "close it with the same quote",
)
EXPECTED = _rule(
    "ParserError",
    142,
    "expected {wanted}, got '{got}'",
    "the words of the query do not stand in an order that means something",
    "write it like: select name, price from Product where stock > 0 order by price desc limit 10",
)
END = _rule(
    "ParserError",
    143,
    "unexpected end of input",
    "the query stops before it is complete",
    "write the rest of it",
)
EMPTY = _rule(
    "ParserError",
    144,
    "expected query, got end of input",
    "the query is empty",
    "write one, such as: select from Product",
)
TOO_DEEP = _rule(
    "ParserError",
    145,
    "maximum nesting depth of {limit} exceeded",
    "parentheses stand in each other too deeply",
    "write it with fewer parentheses",
)
UNKNOWN_ENTITY = _rule(
    "SemanticError",
    146,
    "unknown entity '{name}'",
    "the program declares no entity of this name",
    "{hint}",
)
UNKNOWN_FIELD = _rule(
    "CompilerError",
    147,
    "unknown field '{name}' on entity '{entity}'",
    "the entity has no such field",
    "{hint}",
)
TYPE_MISMATCH = _rule(
    "CompilerError",
    148,
    "type mismatch for field '{name}': expected {expected}, got {got}",
    "the field holds values of another type",
    "give a value of the field's type",
)
CANNOT_COMPILE = _rule(
    "CompilerError",
    149,
    "{what}",
    "the query reads well, but there is no SQL for it",
    "{fix}",
)
EXECUTION = _rule(
    "ExecutionError",
    150,
    "{reason}",
    "the database refused or could not finish the statement",
    "mend what it names; `codeai query --explain` shows the SQL",
)

READ_ONLY = ErrorEntry(
    code="LANG151",
    message="what is asked from outside only reads: this would change rows",
    cause="a change past the endpoints would go past their rules and their record",
    fix="change rows in an endpoint, a workflow or a job; codeai query --explain shows the SQL",
    status=400,
    exit=Exit.USAGE,
)
NO_DATABASE = ErrorEntry(
    code="LANG152",
    message="there is no database file '{path}'",
    cause="the query needs the file in which the app keeps its rows",
    fix="name it: --database DATA/app.db; or see the SQL with --explain",
    exit=Exit.USAGE,
)
NO_SUCH_DATABASE = ErrorEntry(
    code="LANG153",
    message="--database names {what}, and no query can be asked there",
    cause="an app keeps its rows in a file, or on a PostgreSQL server",
    fix="name the file, DATA/app.db, or postgres://user@host/name",
    exit=Exit.USAGE,
)


class QueryError(Fault):
    """A mistake in a query. `line` and `column` count from 1; 0 where there is no place. `meant` is
    the name that was most likely meant."""

    def __init__(
        self, rule: Rule, /, *, line: int = 0, column: int = 0, meant: str = "", **values: str | int
    ) -> None:
        super().__init__(rule, kind=rule.kind, line=line, column=column, **values)
        self.rule = rule
        self.kind = rule.kind
        self.line = line
        self.column = column
        self.meant = meant

    @property
    def said(self) -> str:
        """Kind, place and text on one line."""
        place = f" at line {self.line}, column {self.column}" if self.line else ""
        return f"{self.kind}{place}: {self.message}"
