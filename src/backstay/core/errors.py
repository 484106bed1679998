"""Every error a user can meet, as data: one entry, one permanent code, one text for all faces.

A system declares its entries in its `errors.py` and raises `Fault(ENTRY, name=value)`. Faces
(HTTP, command line) render it; `backstay explain CODE` and the error reference are made from
the same entries. Codes are retired, never used again.
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from backstay.core.context import RequestContext
from backstay.core.visible import visible

if TYPE_CHECKING:
    Plain = str | int | float | bool | list["Plain"] | dict[str, "Plain"] | None
    """A value that JSON can hold."""
else:
    # msgspec decodes Structs that hold it, and does not follow an alias into itself.
    Plain = str | int | float | bool | list[Any] | dict[str, Any] | None


class Exit:
    """Exit codes of every command (decision 11)."""

    OK = 0
    NEGATIVE = 1
    USAGE = 2
    AUTH = 3
    UNREACHABLE = 4
    INTERRUPTED = 130


class ErrorEntry(msgspec.Struct, frozen=True):
    """One known error. `message`, `cause` and `fix` are templates over the fault's values.

    `narrow`, for a status of 502 to 504: it speaks of one request or route, and the system is well.
    No breaker may count it, or whoever can ask for it takes the whole system from everybody.
    """

    code: str
    message: str
    cause: str
    fix: str
    status: int = 500
    exit: int = Exit.NEGATIVE
    retryable: bool = False
    guide: str = ""
    title: str = ""
    narrow: bool = False


class Fault(Exception):  # noqa: N818 - the house's word for it
    """The only exception a face renders. `values` fill the entry's templates and reach the client:
    never put a secret in them."""

    def __init__(self, entry: ErrorEntry, /, **values: Plain) -> None:
        self.entry = entry
        self.values: Mapping[str, Plain] = values
        super().__init__(f"{entry.code}: {self.message}")

    @property
    def message(self) -> str:
        return _fill(self.entry.message, self.values)

    @property
    def cause(self) -> str:
        return _fill(self.entry.cause, self.values)

    @property
    def fix(self) -> str:
        return _fill(self.entry.fix, self.values)


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 9457 problem details plus a plain `error` string, which older clients read."""

    type: str
    title: str
    status: int
    detail: str
    error: str
    code: str
    instance: str = ""
    fix: str = ""
    retryable: bool = False
    values: Mapping[str, Plain] = {}


def problem(fault: Fault, ctx: RequestContext | None) -> Problem:
    """The body of an HTTP error answer. `instance` is the request id, so that logs can be found."""
    entry = fault.entry
    return Problem(
        type=f"urn:backstay:error:{entry.code}",
        title=entry.title or HTTPStatus(entry.status).phrase,
        status=entry.status,
        detail=fault.message,
        error=fault.message,
        code=entry.code,
        instance=f"urn:backstay:request:{ctx.request_id}" if ctx else "",
        fix=fault.fix,
        retryable=entry.retryable,
        values=fault.values,
    )


def for_terminal(fault: Fault) -> str:
    """What a person reads on standard error: what happened, why, what to do, where to read more."""
    lines = [f"error {fault.entry.code}: {fault.message}"]
    if fault.cause:
        lines.append(f"  why: {fault.cause}")
    if fault.fix:
        lines.append(f"  fix: {fault.fix}")
    lines.append(f"  more: backstay explain {fault.entry.code}")
    # Values in it may be of other people.
    return visible("\n".join(lines))


def index(catalogues: Iterable[Iterable[ErrorEntry]]) -> dict[str, ErrorEntry]:
    """All entries by code. Raises ValueError when a code stands twice."""
    found: dict[str, ErrorEntry] = {}
    for entry in (entry for catalogue in catalogues for entry in catalogue):
        if found.setdefault(entry.code, entry) is not entry:
            raise ValueError(f"error code {entry.code} is declared twice")
    return found


class _Shown(dict[str, Plain]):
    def __missing__(self, key: str) -> str:
        return "?"


def _fill(template: str, values: Mapping[str, Plain]) -> str:
    return template.format_map(_Shown(values)) if "{" in template else template
