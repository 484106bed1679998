"""What an entity, an endpoint, a workflow or a job must hold."""

from backstay.lang.errors.rule import rule

PRIMARY_KEY = rule(
    "SemanticError",
    70,
    "entity '{entity}' needs exactly one primary field, it has {count}",
    "refs and paths find a row by its key",
    "id: uuid, primary, auto",
)
NO_WAY_BACK = rule(
    "SemanticError",
    71,
    "'{entity}' has {count} fields of type ref({owner}), so list({entity}) is {word}",
    "the rows of a list are those whose ref points back to this row",
    "{fix}",
)
BAD_MODIFIER = rule(
    "SemanticError",
    72,
    "'{name}' does not fit a field of type {type}",
    "the modifier has a meaning for other types only",
)
PATH_HOLE = rule(
    "SemanticError",
    80,
    "path parameter '{name}' is {word}",
    "each {{name}} of the path has one line in path {{ … }}, and the other way round",
    "{fix}",
)
DUPLICATE_ROUTE = rule(
    "ScopeError",
    81,
    "duplicate declaration '{name}'",
    "two endpoints with one method answer the same path",
    "change the path or the method of one",
)
ONE_KEY = rule(
    "SemanticError",
    82,
    "an endpoint that returns {entity} needs exactly one path parameter, its key; it has {count}",
    "the row is found by the parameter",
    "write the path like /orders/{{id}} and path {{ id: uuid }}",
)
AUTH_CONFLICT = rule(
    "SemanticError",
    83,
    "{what}",
    "who may call an endpoint must be said without contradiction",
    "{fix}",
)
CONFLICT = rule(
    "SemanticError",
    84,
    "{what}",
    "the two do not go together",
    "{fix}",
)
BAD_RETRY = rule(
    "SemanticError",
    90,
    "{what}",
    "retry takes a number of tries and, if wanted, a delay",
    "retry: 4 times with exponential_backoff(200ms, 2s)",
)
BAD_CRON = rule(
    "SemanticError",
    91,
    "'{text}' is not a schedule: {reason}",
    "a schedule has five fields: minute hour day month weekday",
    'schedule: "15 2 * * *" is every night at 02:15',
)
BAD_ZONE = rule(
    "SemanticError",
    92,
    "unknown time zone '{name}'",
    "time zones are named as in the IANA data base",
    "write it like Europe/Berlin or UTC",
)
MISPLACED = rule(
    "SemanticError",
    93,
    "{what}",
    "the statement has its meaning elsewhere",
    "{fix}",
)
SHADOWED = rule(
    "ScopeError",
    94,
    "'{name}' is the field of {entity} here, not the variable",
    "inside where and the braces of update the names of the row come first",
    "give the variable another name",
    severity="warning",
)
WORK_COUNT = rule(
    "SemanticError",
    95,
    "{what}",
    "a step is one kind of work: do, call or task",
    "put each into a step of its own",
)
