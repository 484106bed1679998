"""Names that nothing has, or that are taken."""

from backstay.lang.errors.rule import form, rule

UNDEFINED_VARIABLE = rule(
    "ScopeError",
    30,
    "undefined variable '{name}'",
    "nothing of this name is in scope here",
    "in scope are: {known}",
)
DUPLICATE_DECLARATION = rule(
    "ScopeError",
    31,
    "duplicate declaration '{name}'",
    "a name is declared once in a program",
    "rename one of the two",
)
UNKNOWN_ENTITY = rule(
    "SemanticError",
    32,
    "unknown entity '{name}'",
    "no entity of this name is declared in any file of the program",
    "declared are: {known}",
)
UNKNOWN_FIELD = rule(
    "SemanticError",
    33,
    "unknown field '{name}' on {owner}",
    "what stands before the dot, or the entity, has no such field",
    "it has: {known}",
)
UNKNOWN_WORKFLOW = rule(
    "SemanticError",
    34,
    "unknown workflow '{name}'",
    "no workflow of this name is declared in any file of the program",
    "declared are: {known}",
)
UNKNOWN_INTEGRATION = rule(
    "SemanticError",
    35,
    "unknown integration '{name}'",
    "no integration of this name is declared in any file of the program",
    "declared are: {known}",
)
UNKNOWN_OPERATION = rule(
    "SemanticError",
    36,
    "unknown operation '{name}' of integration '{integration}'",
    "the integration declares other operations",
    "it has: {known}",
)
UNKNOWN_STEP = rule(
    "SemanticError",
    37,
    "no earlier step '{name}'",
    "a step can read the output of the steps before it",
    "{known}",
)
RESERVED_NAME = rule(
    "ScopeError",
    38,
    "'{name}' is reserved by the runtime",
    "the runtime owns this {what}",
    "choose another name",
)
UNKNOWN_TYPE = rule(
    "TypeError",
    39,
    "unknown type '{name}'",
    "types are the scalars, decimal(p, s), enum(a, b), ref(Entity), list(T) and records",
    "write one of {known}",
)
UNKNOWN_MODIFIER = rule(
    "SemanticError",
    40,
    "unknown modifier '{name}'",
    "a field has other modifiers",
    "write one of {known}",
)
UNKNOWN_WORD = rule(
    "SemanticError",
    41,
    "{what} cannot be '{name}'",
    "only some words have a meaning here",
    "write one of {known}",
)
UNKNOWN_INPUT = rule(
    "SemanticError",
    42,
    "workflow '{workflow}' has no input '{name}'",
    "a start gives exactly the inputs that the workflow declares",
    "it has: {known}",
)
DUPLICATE_PARAMETER = rule(
    "ScopeError",
    43,
    "duplicate parameter '{name}'",
    "a request, a workflow or a function takes each name once",
    "rename one of the two",
)
WORD_OF_EXPRESSIONS = form(
    "ScopeError",
    44,
    "'{name}' cannot be declared: in an expression the word has a meaning of its own",
    "true, false, null, not, and, or are read as values and operators wherever a value stands",
    "choose another name, such as {name}_",
)
HOLE_OF_NOTHING = rule(
    "ScopeError",
    45,
    "nothing is called '{name}', so the text keeps its braces",
    "braces in a text are replaced by the value they name; in a script that is not a must, as the "
    "first version had no such holes",
    "write \\{{{name}}} if the braces are meant",
    severity="warning",
)
UNKNOWN_ROUTE = rule(
    "SemanticError",
    46,
    "no endpoint {name}",
    "a test calls what the program serves; the path is that of the endpoint, without /api/v1",
    "there are: {known}",
)
