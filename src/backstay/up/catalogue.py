"""All errors by code, found in the modules that declare them.

The modules that only declare are read first; those that pull a library come in only when the code
is in none of the others, so that `backstay explain` starts as fast as the rest.
"""

import importlib
import importlib.util
from collections.abc import Iterator

from backstay.core.errors import ErrorEntry

LIGHT = (
    "backstay.core.faults",
    "backstay.core.control",
    "backstay.core.http_errors",
    "backstay.core.runtime",
    "backstay.core.process_errors",
    "backstay.core.sqlite.errors",
    "backstay.core.web_errors",
    "backstay.up.errors",
    "backstay.lang.errors",
    "backstay.queue.errors",
    "backstay.app.errors",
    "backstay.gateway.errors",
    "backstay.doctor.errors",
)
HEAVY = ("backstay.core.breaker", "backstay.core.server", "backstay.core.http")


def entries(modules: tuple[str, ...] = (*LIGHT, *HEAVY)) -> Iterator[ErrorEntry]:
    """Each entry that these modules declare; a system that is not installed declares none."""
    for name in modules:
        if _found(name):
            for value in vars(importlib.import_module(name)).values():
                # A Fault of its own class carries its entry as `entry_of`.
                found = getattr(value, "entry_of", value)
                if isinstance(found, ErrorEntry):
                    yield found


def find(code: str) -> ErrorEntry | None:
    """The entry with this code."""
    for modules in (LIGHT, HEAVY):
        for entry in entries(modules):
            if entry.code == code:
                return entry
    return None


def known_codes() -> list[str]:
    """Every code, in order."""
    return sorted({entry.code for entry in entries()})


def _found(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
