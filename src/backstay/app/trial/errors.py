"""What can go wrong with a trial itself."""

from backstay.core.errors import ErrorEntry, Exit

NEVER_QUIET = ErrorEntry(
    "APP230",
    "after {turns} turns there is still something to do",
    "workflows, jobs or events of the program start each other without an end, or time was let go"
    " on over very many of them",
    "let less time pass in one advance, or look for a workflow that starts itself",
    exit=Exit.NEGATIVE,
)

ERRORS = (NEVER_QUIET,)
