"""The application of a test, for `codeai test`: refused where a server would refuse the program."""

import structlog

from backstay.app.trial.application import Trial
from backstay.app.unsupported import problems
from backstay.core.clock import Dice, Ids
from backstay.core.errors import Fault
from backstay.core.virtual import VirtualClock
from backstay.lang.program import Program
from backstay.up.errors import NOT_RUN_YET


def trial_of(program: Program, clock: VirtualClock, ids: Ids, dice: Dice) -> Trial:
    """A started application. Raises UP019 for a program that uses what is not run yet, and
    whatever keeps a server from starting."""
    found = problems(program)
    if found:
        place = found[0].place
        first = f"{found[0].what} at {place.file}:{place.line}:{place.column}"
        raise Fault(NOT_RUN_YET, file=program.name, count=len(found), first=first)
    # A test's output is its outcome: the log of the application belongs to servers.
    structlog.configure(processors=[_dropped])
    return Trial(program, clock, ids, dice)


def _dropped(_logger: object, _method: str, _event: object) -> str:
    raise structlog.DropEvent
