"""Every error of patchgen, as data: a module for each subject. Codes are permanent.

The typed exceptions below are what a library user catches; recovery goes by them, never by a text
(P57).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from backstay.core.errors import ErrorEntry, Fault, Plain
from backstay.patchgen.errors import disk, faces, intent, packages
from backstay.patchgen.errors.disk import (
    CANNOT_STAGE,
    CANNOT_WRITE,
    CONFLICT,
    GENERATION_REFUSED,
    NOT_VALIDATED,
    OLD_TYPE,
    OUTPUT_MISSING,
)
from backstay.patchgen.errors.intent import INVALID
from backstay.patchgen.names import KUBERNETES_PATTERN

if TYPE_CHECKING:
    from backstay.patchgen.model import Report

ERRORS: Sequence[ErrorEntry] = tuple(
    value
    for module in (intent, disk, packages, faces)
    for value in vars(module).values()
    if isinstance(value, ErrorEntry)
)


class InvalidIntent(Fault):
    """The intent breaks rules; `report` has each of them with its place. `made`: it was built by
    hand (P31)."""

    entry_of: ClassVar[ErrorEntry] = INVALID

    def __init__(self, report: "Report", *, made: bool = False) -> None:
        self.report = report
        if made:
            told = "; ".join(one.message for one in report.errors)
            reason = told.replace(f'pattern "{KUBERNETES_PATTERN}"', "required pattern")
            super().__init__(GENERATION_REFUSED, reason=reason)
        else:
            super().__init__(INVALID, text=report.message, count=len(report.errors))


class OutputMissing(Fault):
    """The output directory is not there (PATCH060)."""

    entry_of: ClassVar[ErrorEntry] = OUTPUT_MISSING

    def __init__(self, path: str) -> None:
        super().__init__(OUTPUT_MISSING, path=path)


class OutputDenied(Fault):
    """The output directory does not take a package from this user (PATCH062)."""

    entry_of: ClassVar[ErrorEntry] = CANNOT_STAGE

    def __init__(self, **values: Plain) -> None:
        super().__init__(CANNOT_STAGE, **values)


class WriteFailed(Fault):
    """A file could not be written (PATCH063), a full disk above all."""

    entry_of: ClassVar[ErrorEntry] = CANNOT_WRITE

    def __init__(self, **values: Plain) -> None:
        super().__init__(CANNOT_WRITE, **values)


class Conflict(Fault):
    """Something else has the package's name (PATCH067)."""

    entry_of: ClassVar[ErrorEntry] = CONFLICT

    def __init__(self, **values: Plain) -> None:
        super().__init__(CONFLICT, **values)


class NotValidated(Fault, TypeError):  # noqa: N818 - a Fault, as the house calls it
    """What came was no `Intent` (PATCH068)."""

    entry_of: ClassVar[ErrorEntry] = NOT_VALIDATED

    def __init__(self, given: object) -> None:
        super().__init__(NOT_VALIDATED, given=type(given).__name__)


class OldType(Fault, TypeError):  # noqa: N818 - as above
    """An object of the old module where a package belongs (PATCH076)."""

    entry_of: ClassVar[ErrorEntry] = OLD_TYPE

    def __init__(self, given: object) -> None:
        kind = type(given)
        super().__init__(OLD_TYPE, given=f"{kind.__module__}.{kind.__qualname__}")
