"""What can go wrong while a script runs; its mistakes of form and type are found before."""

from backstay.core.errors import ErrorEntry, Exit

STEPS_USED_UP = ErrorEntry(
    "LANG130",
    "{place}: the script took more than {limit} steps",
    "a script has a bounded number of steps, so that a loop over too much ends",
    "do less in one script, or make it a job of a server",
    exit=Exit.NEGATIVE,
)
MEMORY_USED_UP = ErrorEntry(
    "LANG131",
    "{place}: the script made texts and lists of more than {limit} characters and items",
    "a script has a bounded memory, so that a loop cannot fill the machine",
    "keep less in variables",
    exit=Exit.NEGATIVE,
)
CALLS_TOO_DEEP = ErrorEntry(
    "LANG132",
    "{place}: functions call each other deeper than {limit} levels",
    "a function that calls itself needs an end",
    "walk a list with for instead",
    exit=Exit.NEGATIVE,
)
CANNOT_RUN = ErrorEntry(
    "LANG133",
    "{place}: {what}",
    "the values of the script do not allow this",
    "look at the values with print before this line",
    exit=Exit.NEGATIVE,
)
NOT_IN_SCRIPT = ErrorEntry(
    "LANG134",
    "{place}: '{what}' does not run in a script",
    "rows, workflows and events need a server",
    "put it into an endpoint, a job or a workflow, and serve the program",
    exit=Exit.USAGE,
)
EXEC_NOT_ALLOWED = ErrorEntry(
    "LANG135",
    "{place}: exec runs a command of the machine, which is not allowed",
    "a script may come from anywhere, and a command may do anything",
    "read the command, then run: codeai run {file} --allow-exec",
    exit=Exit.USAGE,
)
COMMAND_FAILED = ErrorEntry(
    "LANG136",
    "{place}: the command of exec ended with {code}",
    "a command that fails ends the script",
    "run the command alone to see why",
    exit=Exit.NEGATIVE,
)
FAILED = ErrorEntry(
    "LANG137",
    "{place}: {message}",
    "the script ended itself with fail",
    "the text says what has to change",
    exit=Exit.NEGATIVE,
)
ASSERTION = ErrorEntry(
    "LANG138",
    "{place}: the assertion does not hold: {what}",
    "the values of both sides stand below it",
    "mend the function, or what the test says of it",
    exit=Exit.NEGATIVE,
)
NO_TESTS = ErrorEntry(
    "LANG139",
    "no test in {paths}",
    "a run without a test tells nothing",
    'write test "name" {{ assert … }} beside the functions, or name another folder',
    exit=Exit.USAGE,
)

ENTRIES = (
    STEPS_USED_UP,
    MEMORY_USED_UP,
    CALLS_TOO_DEEP,
    CANNOT_RUN,
    NOT_IN_SCRIPT,
    EXEC_NOT_ALLOWED,
    COMMAND_FAILED,
    FAILED,
    ASSERTION,
    NO_TESTS,
)
