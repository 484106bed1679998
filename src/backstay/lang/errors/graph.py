"""What never happens in a workflow, or happens for ever: warnings about its shape."""

from backstay.lang.errors.rule import rule

MAYBE_NOT_RUN = rule(
    "SemanticError",
    160,
    "step '{name}' may not have run here",
    "it has a condition that does not have to hold here, and what it gives is then null",
    "write the same when here, or give another value: steps.{name}.FIELD ?? VALUE",
    severity="warning",
)
NEVER_FITS = rule(
    "SemanticError",
    161,
    "step '{name}' may take {needs}, but the workflow ends after {limit}",
    "when every attempt runs until its timeout, the last ones are cut off by the workflow's",
    "shorten timeout or retry of the step, or give the workflow a longer timeout",
    severity="warning",
)
ENDLESS = rule(
    "SemanticError",
    162,
    "workflow '{name}' starts itself again each time: {way}",
    "every execution makes another one, without a condition that could end it",
    "give the step that starts it a when, or put the start into an if",
    severity="warning",
)
NEVER_DONE = rule(
    "SemanticError",
    163,
    "nothing runs after this {word}",
    "the statements behind it can never be reached",
    "remove what follows, or give the {word} a condition",
    severity="warning",
)
