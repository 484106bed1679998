"""The functions a program may call: those of the language's library, as the runtime calls them.

`now()`, `today()`, `uuid()`, `random()` and `user.has()` need the transaction and are made in
evaluate.py.
"""

from collections.abc import Callable, Mapping

from backstay.app.errors import CANNOT_COMPUTE
from backstay.core.errors import Fault
from backstay.lang import library
from backstay.lang.library.values import Unfit

Function = Callable[..., object]

TEXT_JOINS = frozenset({"concat", "format", "interpolate", "text"})
"""Names under which a text with holes comes: its parts, in order."""

WRITING = frozenset({"join", "to_json"})
"""Functions that write their first argument down: only its type tells a moment from a number."""


def _told(known: library.Function) -> Function:
    """A refusal of the library is a fault of the request."""

    def function(*args: object) -> object:
        try:
            return library.call(known, args)  # type: ignore[arg-type]
        except Unfit as bad:
            raise Fault(CANNOT_COMPUTE, what=f"{known.name}()", reason=str(bad)) from None

    return function


def bare(value: object) -> object:
    """Where types are known, moments are plain numbers (values.py): JSON and SQL take no other."""
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


FUNCTIONS: Mapping[str, Function] = {
    name: _told(known) for name, known in library.LIBRARY.items() if not known.world
}
