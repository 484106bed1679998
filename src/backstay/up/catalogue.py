"""All errors by code, found in the modules that declare them.

Modules named `errors`, `…_errors` or `faults`, and those of a folder `errors`, only declare: they
are read first, wherever they are. The few others that hold entries pull libraries and come in only
when the code is in none of those, so that `backstay explain` starts as fast as the rest.
"""

import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import backstay
from backstay.core.errors import ErrorEntry

CLIENT_SIDE = ("backstay.core.control", "backstay.core.runtime")
HEAVY = ("backstay.core.breaker", "backstay.core.server")


def declaring() -> tuple[str, ...]:
    """The modules that only declare, by dotted name."""
    root = Path(backstay.__file__).parent
    parts = [each for each in root.rglob("errors/*.py") if each.stem != "__init__"]
    files = sorted((*root.rglob("*errors.py"), *root.rglob("faults.py"), *parts))
    found = (
        ".".join(("backstay", *file.relative_to(root).with_suffix("").parts)) for file in files
    )
    return (*CLIENT_SIDE, *found)


def entries(modules: Iterable[str] | None = None) -> Iterator[ErrorEntry]:
    """Each entry that these modules declare; without names, all there are."""
    for name in modules if modules is not None else (*declaring(), *HEAVY):
        for value in vars(importlib.import_module(name)).values():
            # A Fault of its own class carries its entry as `entry_of`.
            found = getattr(value, "entry_of", value)
            if isinstance(found, ErrorEntry):
                yield found


def find(code: str) -> ErrorEntry | None:
    """The entry with this code."""
    for modules in (declaring(), HEAVY):
        for entry in entries(modules):
            if entry.code == code:
                return entry
    return None


def known_codes() -> list[str]:
    """Every code, in order."""
    return sorted({entry.code for entry in entries()})
