"""`fallback` of an integration or an operation: what a call gives that is *not made*, because the
breaker is open or the rate limit is used up.

It is not for calls that failed: of those it may not be known whether they had an effect.
"""

import msgspec

from backstay.app.errors import UNFIT
from backstay.core.errors import Fault
from backstay.lang.program import Constant, Integration, Operation, Settings


class Instead(msgspec.Struct, frozen=True):
    """With an `error` the call fails at once and for good, without one it gives null."""

    error: str = ""


def instead_of(declared: Integration | None, operation: Operation) -> Instead | None:
    """Of the operation, else of the integration; None when calls wait instead. Raises APP005."""
    of_all = dict(declared.settings).get("fallback") if declared is not None else None
    settings = dict(operation.settings).get("fallback", of_all)
    if settings is None:
        return None
    return _read(settings, f"fallback of {operation.name}")


def _read(settings: Settings, where: str) -> Instead:
    text = dict(settings.values).get("0")
    if settings.label in ("skip", "ignore"):
        return Instead()
    if settings.label == "reject" and isinstance(text, Constant):
        return Instead(str(text.value))
    problem = f"'{settings.label}' is nothing that a call can give"
    raise Fault(UNFIT, where=where, problem=problem, instead='write reject("…") or skip')
