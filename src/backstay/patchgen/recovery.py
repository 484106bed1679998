"""What can be done by itself about a failure, by its class (P57). Never by its text: a message that
merely speaks of `permission denied` recovers nothing."""

from pathlib import Path
from typing import Literal

import msgspec

from backstay.core.errors import Fault
from backstay.patchgen.errors import InvalidIntent, OutputDenied, OutputMissing
from backstay.patchgen.errors import faces as errors
from backstay.patchgen.library import PatchPackage
from backstay.patchgen.model import Placed
from backstay.patchgen.paths import ensure_directory, fallback
from backstay.patchgen.service import Log

Action = Literal["alternative", "create", "report", "none"]


class Step(msgspec.Struct, frozen=True):
    """What to do: generate into `folder` (another one, or the one to be made), or tell."""

    action: Action
    folder: str = ""


def step_for(failure: Exception, output: str, home: str) -> Step:
    """The step that may help against this failure."""
    match failure:
        case OutputDenied() if other := fallback(home):
            return Step("alternative", str(other))
        case OutputMissing():
            return Step("create", output)
        case InvalidIntent():
            return Step("report")
        case _:
            return Step("none")


def generate_with_recovery(package: PatchPackage, home: str, log: Log) -> Placed:
    """Generate; after a failure that can be recovered from, once more in the folder that helps."""
    try:
        return package.generate()
    except Fault as failure:
        folder = recover(failure, str(package.path.parent), home, log)
    return PatchPackage(package.intent, folder).generate()


def recover(failure: Exception, output: str, home: str, log: Log) -> Path:
    """The folder to go on with, made when it was missing. Raises the failure when it is the
    intent's own, PATCH110 when nothing helps."""
    step = step_for(failure, output, home)
    if step.action == "report" and isinstance(failure, InvalidIntent):
        for one in failure.report.errors:
            log.debug("validation failed", code=one.code, pointer=one.pointer, error=one.message)
        raise failure
    if step.action == "none":
        code = failure.entry.code if isinstance(failure, Fault) else "PATCH110"
        reason = failure.message if isinstance(failure, Fault) else str(failure)
        raise Fault(errors.UNRECOVERABLE, reason=reason, code=code) from failure
    log.debug("recovering", action=step.action, folder=step.folder)
    return ensure_directory(step.folder)
