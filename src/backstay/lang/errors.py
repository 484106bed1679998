"""The mistakes a `.cai` file can hold: permanent codes, the seed's words, what to do.

A `Rule` is an entry of the catalogue and what only the language needs: the seed's kind
(`ScopeError`, …), whether it is a warning, and whether it is a mistake of form, after which the
rest of the line is not judged.
"""

from typing import Literal

from backstay.core.errors import ErrorEntry, Exit


class Rule(ErrorEntry, frozen=True):
    """A catalogue entry with what only the language needs."""

    kind: str = ""
    syntax: bool = False
    severity: Literal["error", "warning"] = "error"


def _rule(
    kind: str,
    code: int,
    message: str,
    cause: str,
    fix: str = "",
    *,
    syntax: bool = False,
    severity: Literal["error", "warning"] = "error",
) -> Rule:
    return Rule(
        f"LANG{code:03}",
        message,
        cause,
        fix,
        status=422,
        kind=kind,
        syntax=syntax,
        severity=severity,
    )


def _form(kind: str, code: int, message: str, cause: str, fix: str = "") -> Rule:
    return _rule(kind, code, message, cause, fix, syntax=True)


# --- characters ------------------------------------------------------------------------------

UNEXPECTED_CHARACTER = _form(
    "LexerError",
    1,
    "unexpected character '{text}'",
    "the language has no such sign at this place",
)
OPEN_STRING = _form(
    "LexerError",
    2,
    "unterminated string",
    "a text starts with a quote that is not closed on its line",
)
OPEN_COMMENT = _form(
    "LexerError",
    3,
    "unterminated comment",
    "a comment that starts with /* ends with */",
    "close the comment with */",
)
BAD_ESCAPE = _form(
    "LexerError",
    4,
    "unknown escape '\\{text}' in a string",
    "after a backslash a string knows n t r u0000 and the signs \" \\ / ' and braces",
    "write two backslashes for one",
)
NOT_TEXT = _form(
    "LexerError",
    5,
    "this is not a text in UTF-8: {reason}",
    "a .cai file is UTF-8 text",
    "save the file as UTF-8",
)
TOO_LARGE = _form(
    "LexerError",
    6,
    "the source is too large: {size} characters, {limit} are read",
    "a source has an upper bound so that a wrong file cannot fill the memory",
    "split the program into several files of one folder",
)
BAD_NUMBER = _form(
    "LexerError",
    7,
    "'{text}' is neither a number nor a duration",
    "numbers look like 10 and 2.50, durations like 300ms, 10s, 1m30s, 24h",
    "separate it from the word that follows, or complete the unit",
)
BAD_HOLE = _form(
    "ParserError",
    8,
    "a hole in a text holds a path such as order.id, got '{text}'",
    "braces inside a text are replaced by the value of the path they hold",
    "write \\{{ for a brace that is meant as it stands",
)

# --- form ------------------------------------------------------------------------------------

EXPECTED = _form(
    "ParserError",
    10,
    "expected {wanted}, got {got}",
    "something else stands where the grammar allows only this",
)
MISSING_CLOSE = _form(
    "ParserError",
    11,
    "expected '}}' to close {what}",
    "a block that was opened is not closed before the next one of its own level begins",
    "put the brace where the indentation of the line that opens the block comes back",
)
EXTRA_CLOSE = _form(
    "ParserError",
    12,
    "unexpected '}' without a block to close",
    "there are more closing braces than opening ones",
    "remove it, or open the block it should close",
)
TOO_DEEP = _form(
    "ParserError",
    13,
    "nested deeper than {limit} levels",
    "blocks and expressions have a bounded depth",
    "give an inner part a name with let",
)
UNKNOWN_DECLARATION = _form(
    "ParserError",
    14,
    "unknown declaration '{name}'",
    "a program is made of config, entity, endpoint, workflow, job and integration",
    "start a declaration with one of these words",
)
UNKNOWN_MEMBER = _form(
    "ParserError",
    15,
    "{block} has no '{name}'",
    "the block knows other members",
    "it knows {known}",
)
DUPLICATE_MEMBER = _rule(
    "ScopeError",
    16,
    "'{name}' is given twice",
    "a block takes this member once",
    "keep one of the two",
)
MISSING_MEMBER = _rule(
    "ParserError",
    17,
    "{block} needs '{name}'",
    "without it the block has no meaning",
    "{example}",
)
MISSING_OPEN = _form(
    "ParserError",
    18,
    "expected '{{' after '{name}'",
    "a block is closed that was never opened",
    "open the block",
)
BAD_PATH = _form(
    "ParserError",
    19,
    "'{path}' is not a path",
    "a path is made of parts after slashes, and a parameter is a whole part in braces",
    "write it like /orders/{{id}}/refund",
)
UNSUPPORTED = _form(
    "UnsupportedError",
    20,
    "{what} is not supported in this version",
    "the language knows it, this version does not run it, and it is never ignored in silence",
    "{instead}",
)

TABLE_STYLE = _form(
    "ParserError",
    21,
    "'{name}' is written like a table, which is not the language",
    "rows are declared by an entity, with a colon between a name and its type",
    "write the entity that stands in the suggested edit",
)

# --- names -----------------------------------------------------------------------------------

UNDEFINED_VARIABLE = _rule(
    "ScopeError",
    30,
    "undefined variable '{name}'",
    "nothing of this name is in scope here",
    "in scope are: {known}",
)
DUPLICATE_DECLARATION = _rule(
    "ScopeError",
    31,
    "duplicate declaration '{name}'",
    "a name is declared once in a program",
    "rename one of the two",
)
UNKNOWN_ENTITY = _rule(
    "SemanticError",
    32,
    "unknown entity '{name}'",
    "no entity of this name is declared in any file of the program",
    "declared are: {known}",
)
UNKNOWN_FIELD = _rule(
    "SemanticError",
    33,
    "unknown field '{name}' on {owner}",
    "what stands before the dot, or the entity, has no such field",
    "it has: {known}",
)
UNKNOWN_WORKFLOW = _rule(
    "SemanticError",
    34,
    "unknown workflow '{name}'",
    "no workflow of this name is declared in any file of the program",
    "declared are: {known}",
)
UNKNOWN_INTEGRATION = _rule(
    "SemanticError",
    35,
    "unknown integration '{name}'",
    "no integration of this name is declared in any file of the program",
    "declared are: {known}",
)
UNKNOWN_OPERATION = _rule(
    "SemanticError",
    36,
    "unknown operation '{name}' of integration '{integration}'",
    "the integration declares other operations",
    "it has: {known}",
)
UNKNOWN_STEP = _rule(
    "SemanticError",
    37,
    "no earlier step '{name}'",
    "a step can read the output of the steps before it",
    "{known}",
)
RESERVED_NAME = _rule(
    "ScopeError",
    38,
    "'{name}' is reserved by the runtime",
    "the runtime owns this {what}",
    "choose another name",
)
UNKNOWN_TYPE = _rule(
    "TypeError",
    39,
    "unknown type '{name}'",
    "types are the scalars, decimal(p, s), enum(a, b), ref(Entity), list(T) and records",
    "write one of {known}",
)
UNKNOWN_MODIFIER = _rule(
    "SemanticError",
    40,
    "unknown modifier '{name}'",
    "a field has other modifiers",
    "write one of {known}",
)
UNKNOWN_WORD = _rule(
    "SemanticError",
    41,
    "{what} cannot be '{name}'",
    "only some words have a meaning here",
    "write one of {known}",
)
UNKNOWN_INPUT = _rule(
    "SemanticError",
    42,
    "workflow '{workflow}' has no input '{name}'",
    "a start gives exactly the inputs that the workflow declares",
    "it has: {known}",
)

DUPLICATE_PARAMETER = _rule(
    "ScopeError",
    43,
    "duplicate parameter '{name}'",
    "a request, a workflow or a record takes each name once",
    "rename one of the two",
)

# --- types -----------------------------------------------------------------------------------

MISMATCH = _rule(
    "TypeError",
    50,
    "type mismatch for {what}: expected {wanted}, got {got}",
    "the value cannot be stored or compared there without losing its meaning",
)
NOT_ITERABLE = _rule(
    "TypeError",
    51,
    "cannot iterate over non-array type '{type}'",
    "for, sum and [x in …] walk over lists and over the rows that refer to a row",
)
BAD_OPERANDS = _rule(
    "TypeError",
    52,
    "'{op}' does not work between {left} and {right}",
    "the operator needs values of one kind",
)
NOT_A_MEMBER = _rule(
    "TypeError",
    53,
    "'{value}' is not a value of {what}",
    "an enum takes only the values it lists",
    "write one of {known}",
)
NO_FIELDS = _rule(
    "TypeError",
    54,
    "{type} has no fields, so '.{name}' cannot be read",
    "a dot reads a field of a record, a row, or the row that a ref points to",
)
OUT_OF_RANGE = _rule(
    "TypeError",
    55,
    "{value} does not fit {what}",
    "the type has bounds",
    "{fix}",
)
NOT_CONSTANT = _rule(
    "TypeError",
    56,
    "{what} must be written out as {wanted}",
    "it is needed before anything runs",
)
MISSING_VALUE = _rule(
    "SemanticError",
    57,
    "{owner} needs a value for '{name}'",
    "the field is required and has no default",
    "add {name}: …",
)
NOT_A_COLUMN = _rule(
    "TypeError",
    58,
    "'{name}' of {entity} is not a column, so {what}",
    "a list of rows lives in the other table",
)

# --- functions -------------------------------------------------------------------------------

UNDEFINED_FUNCTION = _rule(
    "FunctionError",
    60,
    "undefined function '{name}'",
    "the standard library has no such function",
    "there are: {known}",
)
WRONG_ARGUMENTS = _rule(
    "FunctionError",
    61,
    "wrong number of arguments for '{name}': expected {wanted}, got {got}",
    "a function takes a fixed number of arguments",
)
NOT_A_FUNCTION = _rule(
    "FunctionError",
    62,
    "'{name}' is not a function",
    "only names of the standard library can be called",
)

# --- entities --------------------------------------------------------------------------------

PRIMARY_KEY = _rule(
    "SemanticError",
    70,
    "entity '{entity}' needs exactly one primary field, it has {count}",
    "refs and paths find a row by its key",
    "id: uuid, primary, auto",
)
NO_WAY_BACK = _rule(
    "SemanticError",
    71,
    "'{entity}' has {count} fields of type ref({owner}), so list({entity}) is {word}",
    "the rows of a list are those whose ref points back to this row",
    "{fix}",
)
BAD_MODIFIER = _rule(
    "SemanticError",
    72,
    "'{name}' does not fit a field of type {type}",
    "the modifier has a meaning for other types only",
)

# --- endpoints -------------------------------------------------------------------------------

PATH_HOLE = _rule(
    "SemanticError",
    80,
    "path parameter '{name}' is {word}",
    "each {{name}} of the path has one line in path {{ … }}, and the other way round",
    "{fix}",
)
DUPLICATE_ROUTE = _rule(
    "ScopeError",
    81,
    "duplicate declaration '{name}'",
    "two endpoints with one method answer the same path",
    "change the path or the method of one",
)
ONE_KEY = _rule(
    "SemanticError",
    82,
    "an endpoint that returns {entity} needs exactly one path parameter, its key; it has {count}",
    "the row is found by the parameter",
    "write the path like /orders/{{id}} and path {{ id: uuid }}",
)
AUTH_CONFLICT = _rule(
    "SemanticError",
    83,
    "{what}",
    "who may call an endpoint must be said without contradiction",
    "{fix}",
)
CONFLICT = _rule(
    "SemanticError",
    84,
    "{what}",
    "the two do not go together",
    "{fix}",
)

# --- workflows and jobs ----------------------------------------------------------------------

BAD_RETRY = _rule(
    "SemanticError",
    90,
    "{what}",
    "retry takes a number of tries and, if wanted, a delay",
    "retry: 4 times with exponential_backoff(200ms, 2s)",
)
BAD_CRON = _rule(
    "SemanticError",
    91,
    "'{text}' is not a schedule: {reason}",
    "a schedule has five fields: minute hour day month weekday",
    'schedule: "15 2 * * *" is every night at 02:15',
)
BAD_ZONE = _rule(
    "SemanticError",
    92,
    "unknown time zone '{name}'",
    "time zones are named as in the IANA data base",
    "write it like Europe/Berlin or UTC",
)
MISPLACED = _rule(
    "SemanticError",
    93,
    "{what}",
    "the statement has its meaning elsewhere",
    "{fix}",
)
SHADOWED = _rule(
    "ScopeError",
    94,
    "'{name}' is the field of {entity} here, not the variable",
    "inside where and the braces of update the names of the row come first",
    "give the variable another name",
    severity="warning",
)
WORK_COUNT = _rule(
    "SemanticError",
    95,
    "{what}",
    "a step is one kind of work: do, call or task",
    "put each into a step of its own",
)

# --- the older dialects, whose texts are fixed -------------------------------------------------

DUPLICATE_NAMED = _rule(
    "SemanticError",
    100,
    "duplicate {what} '{name}'; first declared at {place}",
    "a name is declared once in a program",
    "rename one of the two",
)
SETTING = _rule(
    "SemanticError",
    101,
    "{what}",
    "the declaration does not work without it",
    "{fix}",
)
BAD_SETTING = _rule(
    "SemanticError",
    102,
    "{what}",
    "only some values have a meaning here",
    "{fix}",
)
UNKNOWN_NAMED = _rule(
    "SemanticError",
    103,
    "{what}",
    "nothing of this name is declared in any file of the program",
    "declared are: {known}",
)
DUPLICATE_FIELD = _rule(
    "SemanticError",
    104,
    "duplicate {what} in {owner}",
    "a model takes each name once",
    "remove one of the two",
)
INDEX_FIELD = _rule(
    "SemanticError",
    105,
    "index references unknown field '{name}' in {owner}",
    "an index is made of fields of its model",
    "it has: {known}",
)
MODEL_TYPE = _rule(
    "SemanticError",
    106,
    "{what}; valid types: {known}",
    "the database knows other types",
)
MODIFIERS_DISAGREE = _rule(
    "SemanticError",
    107,
    "{what}",
    "the modifiers do not go together",
    "remove one of them",
)
DATABASE_DISAGREES = _rule(
    "SemanticError",
    108,
    "{what}",
    "config and the database blocks speak of one database",
    "{fix}",
)
EVENT_NAME = _rule(
    "SemanticError",
    109,
    "event name '{name}' should follow resource.action or resource_action pattern",
    "handlers and people find events by such names",
    "name it like order_placed",
    severity="warning",
)
UNKNOWN_EVENT = _rule(
    "SemanticError",
    110,
    "event '{name}' is not registered",
    "no event of this name is declared in any file of the program",
    "declared are: {known}",
)
ASSIGN_FUNCTION = _rule(
    "ScopeError",
    111,
    "cannot assign to function '{name}'",
    "a function keeps its meaning",
    "give the variable another name",
)
UNUSED = _rule(
    "ScopeError",
    112,
    "{what} '{name}' is never used",
    "nothing in the program speaks of it",
    "remove it, or use it",
    severity="warning",
)
LITERAL_SECRET = _rule(
    "SemanticError",
    113,
    "'{name}' holds a secret as plain text",
    "whoever reads the file knows the secret",
    'write env("{env}")',
    severity="warning",
)
UNKNOWN_ACTION = _rule(
    "FunctionError",
    114,
    "unknown action '{name}'",
    "an action is one the language knows, a workflow, or a function of the program",
    "there are: {known}",
)
UNREACHABLE = _rule(
    "SemanticError",
    115,
    "step '{name}' can never run",
    "its condition is false, or a step before it never lets it be reached",
    "remove it, or its condition",
    severity="warning",
)
USELESS_COMPENSATION = _rule(
    "SemanticError",
    116,
    "step '{name}' has nothing to compensate",
    "what only checks or reads leaves nothing behind",
    "remove compensate",
    severity="warning",
)

# --- commands --------------------------------------------------------------------------------

FILE_UNREADABLE = ErrorEntry(
    "LANG120",
    "cannot read '{path}': {reason}",
    "the file is missing, is no .cai file or folder of them, or is not readable for you",
    "check the name and the permissions",
    status=404,
    exit=Exit.USAGE,
)
NO_SOURCES = ErrorEntry(
    "LANG121",
    "no .cai file in '{path}'",
    "a folder is one program, made of its .cai files",
    "name the folder that holds them",
    status=404,
    exit=Exit.USAGE,
)
FORMAT_CHANGES = ErrorEntry(
    "LANG123",
    "this file cannot be laid out without changing what it says, so it was left alone",
    "a word of it would read differently with other spaces around it",
    "format it by hand, and report the file: this is a fault of the formatter",
    status=500,
)
CANNOT_WRITE = ErrorEntry(
    "LANG124",
    "cannot write '{path}': {reason}",
    "the formatted text could not take the place of the file; the file is as it was",
    "check the permissions of the file and its folder",
    status=500,
    exit=Exit.USAGE,
)
FOLDER_TAKEN = ErrorEntry(
    "LANG125",
    "'{path}' exists and is not empty",
    "codeai new changes nothing that is there",
    "name another folder",
    exit=Exit.USAGE,
)
