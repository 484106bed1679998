"""Values that do not fit, and calls."""

from backstay.lang.errors.rule import rule

MISMATCH = rule(
    "TypeError",
    50,
    "type mismatch for {what}: expected {wanted}, got {got}",
    "the value cannot be stored or compared there without losing its meaning",
)
NOT_ITERABLE = rule(
    "TypeError",
    51,
    "cannot iterate over non-array type '{type}'",
    "for, sum and [x in …] walk over lists and over the rows that refer to a row",
)
BAD_OPERANDS = rule(
    "TypeError",
    52,
    "'{op}' does not work between {left} and {right}",
    "the operator needs values of one kind",
)
NOT_A_MEMBER = rule(
    "TypeError",
    53,
    "'{value}' is not a value of {what}",
    "an enum takes only the values it lists",
    "write one of {known}",
)
NO_FIELDS = rule(
    "TypeError",
    54,
    "{type} has no fields, so '.{name}' cannot be read",
    "a dot reads a field of a record, a row, or the row that a ref points to",
)
OUT_OF_RANGE = rule(
    "TypeError",
    55,
    "{value} does not fit {what}",
    "the type has bounds",
    "{fix}",
)
NOT_CONSTANT = rule(
    "TypeError",
    56,
    "{what} must be written out as {wanted}",
    "it is needed before anything runs",
)
MISSING_VALUE = rule(
    "SemanticError",
    57,
    "{owner} needs a value for '{name}'",
    "the field is required and has no default",
    "add {name}: …",
)
NOT_A_COLUMN = rule(
    "TypeError",
    58,
    "'{name}' of {entity} is not a column, so {what}",
    "a list of rows lives in the other table",
)
UNDEFINED_FUNCTION = rule(
    "FunctionError",
    60,
    "undefined function '{name}'",
    "the standard library has no such function",
    "there are: {known}",
)
WRONG_ARGUMENTS = rule(
    "FunctionError",
    61,
    "wrong number of arguments for '{name}': expected {wanted}, got {got}",
    "a function takes a fixed number of arguments",
)
NOT_A_FUNCTION = rule(
    "FunctionError",
    62,
    "'{name}' is not a function",
    "only names of the standard library can be called",
)
TRUTH_OF_VALUE = rule(
    "TypeError",
    63,
    "if asks whether a value of type {got} is there",
    'null, false, 0, "", [] and {{}} count as false here, everything else as true',
    "compare it: n > 0, len(text) > 0, value != null",
    severity="warning",
)
