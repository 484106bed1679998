"""Mistakes of form: characters that mean nothing, words that cannot stand where they stand."""

from backstay.lang.errors.rule import form, rule

UNEXPECTED_CHARACTER = form(
    "LexerError",
    1,
    "unexpected character '{text}'",
    "the language has no such sign at this place",
)
OPEN_STRING = form(
    "LexerError",
    2,
    "unterminated string",
    "a text starts with a quote that is not closed on its line",
)
OPEN_COMMENT = form(
    "LexerError",
    3,
    "unterminated comment",
    "a comment that starts with /* ends with */",
    "close the comment with */",
)
BAD_ESCAPE = form(
    "LexerError",
    4,
    "unknown escape '\\{text}' in a string",
    "after a backslash a string knows n t r u0000 and the signs \" \\ / ' and braces",
    "write two backslashes for one",
)
NOT_TEXT = form(
    "LexerError",
    5,
    "this is not a text in UTF-8: {reason}",
    "a .cai file is UTF-8 text",
    "save the file as UTF-8",
)
TOO_LARGE = form(
    "LexerError",
    6,
    "the source is too large: {size} characters, {limit} are read",
    "a source has an upper bound so that a wrong file cannot fill the memory",
    "split the program into several files of one folder",
)
BAD_NUMBER = form(
    "LexerError",
    7,
    "'{text}' is neither a number nor a duration",
    "numbers look like 10 and 2.50, durations like 300ms, 10s, 1m30s, 24h",
    "separate it from the word that follows, or complete the unit",
)
BAD_HOLE = form(
    "ParserError",
    8,
    "a hole in a text holds a path such as order.id, got '{text}'",
    "braces inside a text are replaced by the value of the path they hold",
    "write \\{{ for a brace that is meant as it stands",
)
EXPECTED = form(
    "ParserError",
    10,
    "expected {wanted}, got {got}",
    "something else stands where the grammar allows only this",
)
MISSING_CLOSE = form(
    "ParserError",
    11,
    "expected '}}' to close {what}",
    "a block that was opened is not closed before the next one of its own level begins",
    "put the brace where the indentation of the line that opens the block comes back",
)
EXTRA_CLOSE = form(
    "ParserError",
    12,
    "unexpected '}' without a block to close",
    "there are more closing braces than opening ones",
    "remove it, or open the block it should close",
)
TOO_DEEP = form(
    "ParserError",
    13,
    "nested deeper than {limit} levels",
    "blocks and expressions have a bounded depth",
    "give an inner part a name with let",
)
UNKNOWN_DECLARATION = form(
    "ParserError",
    14,
    "unknown declaration '{name}'",
    "a program is made of config, entity, endpoint, workflow, job and integration",
    "start a declaration with one of these words",
)
UNKNOWN_MEMBER = form(
    "ParserError",
    15,
    "{block} has no '{name}'",
    "the block knows other members",
    "it knows {known}",
)
DUPLICATE_MEMBER = rule(
    "ScopeError",
    16,
    "'{name}' is given twice",
    "a block takes this member once",
    "keep one of the two",
)
MISSING_MEMBER = rule(
    "ParserError",
    17,
    "{block} needs '{name}'",
    "without it the block has no meaning",
    "{example}",
)
MISSING_OPEN = form(
    "ParserError",
    18,
    "expected '{{' after '{name}'",
    "a block is closed that was never opened",
    "open the block",
)
BAD_PATH = form(
    "ParserError",
    19,
    "'{path}' is not a path",
    "a path is made of parts after slashes, and a parameter is a whole part in braces",
    "write it like /orders/{{id}}/refund",
)
UNSUPPORTED = form(
    "UnsupportedError",
    20,
    "{what} is not supported in this version",
    "the language knows it, this version does not run it, and it is never ignored in silence",
    "{instead}",
)
NOT_SERVED = rule(
    "UnsupportedError",
    118,
    "no server runs {what} yet",
    "the language is larger than what this version runs, and a server refuses what it would ignore",
    "{instead}",
    severity="warning",
)
TABLE_STYLE = form(
    "ParserError",
    21,
    "'{name}' is written like a table, which is not the language",
    "rows are declared by an entity, with a colon between a name and its type",
    "write the entity that stands in the suggested edit",
)
