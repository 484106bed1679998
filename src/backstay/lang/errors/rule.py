"""The kinds of an error of the language.

A `Rule` is an entry of the catalogue and what only the language needs: the seed's kind
(`ScopeError`, …), whether it is a warning, and whether it is a mistake of form, after which the
rest of the line is not judged.
"""

from typing import Literal

from backstay.core.errors import ErrorEntry


class Rule(ErrorEntry, frozen=True):
    """A catalogue entry with what only the language needs."""

    kind: str = ""
    syntax: bool = False
    severity: Literal["error", "warning"] = "error"


def rule(
    kind: str,
    code: int,
    message: str,
    cause: str,
    fix: str = "",
    *,
    syntax: bool = False,
    severity: Literal["error", "warning"] = "error",
) -> Rule:
    return Rule(
        f"LANG{code:03}",
        message,
        cause,
        fix,
        status=422,
        kind=kind,
        syntax=syntax,
        severity=severity,
    )


def form(kind: str, code: int, message: str, cause: str, fix: str = "") -> Rule:
    return rule(kind, code, message, cause, fix, syntax=True)
