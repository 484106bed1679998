"""Mistakes in what the older dialects brought; their texts are fixed."""

from backstay.lang.errors.rule import rule

DUPLICATE_NAMED = rule(
    "SemanticError",
    100,
    "duplicate {what} '{name}'; first declared at {place}",
    "a name is declared once in a program",
    "rename one of the two",
)
SETTING = rule(
    "SemanticError",
    101,
    "{what}",
    "the declaration does not work without it",
    "{fix}",
)
BAD_SETTING = rule(
    "SemanticError",
    102,
    "{what}",
    "only some values have a meaning here",
    "{fix}",
)
UNKNOWN_NAMED = rule(
    "SemanticError",
    103,
    "{what}",
    "nothing of this name is declared in any file of the program",
    "declared are: {known}",
)
DUPLICATE_FIELD = rule(
    "SemanticError",
    104,
    "duplicate {what} in {owner}",
    "it takes each name once",
    "remove one of the two",
)
INDEX_FIELD = rule(
    "SemanticError",
    105,
    "index references unknown field '{name}' in {owner}",
    "an index is made of fields of its model",
    "it has: {known}",
)
MODEL_TYPE = rule(
    "SemanticError",
    106,
    "{what}; valid types: {known}",
    "the database knows other types",
)
MODIFIERS_DISAGREE = rule(
    "SemanticError",
    107,
    "{what}",
    "the modifiers do not go together",
    "remove one of them",
)
DATABASE_DISAGREES = rule(
    "SemanticError",
    108,
    "{what}",
    "config and the database blocks speak of one database",
    "{fix}",
)
EVENT_NAME = rule(
    "SemanticError",
    109,
    "event name '{name}' should follow resource.action or resource_action pattern",
    "handlers and people find events by such names",
    "name it like order_placed",
    severity="warning",
)
ELSEWHERE = rule(
    "SemanticError",
    117,
    "{what}",
    "a handler may speak of another program, as files of the first version do; no server runs it",
    "declared here are: {known}",
    severity="warning",
)
UNKNOWN_EVENT = rule(
    "SemanticError",
    110,
    "event '{name}' is not registered",
    "no event of this name is declared in any file of the program",
    "declared are: {known}",
)
ASSIGN_FUNCTION = rule(
    "ScopeError",
    111,
    "cannot assign to function '{name}'",
    "a function keeps its meaning",
    "give the variable another name",
)
UNUSED = rule(
    "ScopeError",
    112,
    "{what} '{name}' is never used",
    "nothing in the program speaks of it",
    "remove it, or use it",
    severity="warning",
)
LITERAL_SECRET = rule(
    "SemanticError",
    113,
    "'{name}' holds a secret as plain text",
    "whoever reads the file knows the secret",
    'write env("{env}")',
    severity="warning",
)
UNKNOWN_ACTION = rule(
    "FunctionError",
    114,
    "unknown action '{name}'",
    "an action is one the language knows, a workflow, or a function of the program",
    "there are: {known}",
)
UNREACHABLE = rule(
    "SemanticError",
    115,
    "step '{name}' can never run",
    "its condition is false, or a step before it never lets it be reached",
    "remove it, or its condition",
    severity="warning",
)
USELESS_COMPENSATION = rule(
    "SemanticError",
    116,
    "step '{name}' has nothing to compensate",
    "what only checks or reads leaves nothing behind",
    "remove compensate",
    severity="warning",
)
