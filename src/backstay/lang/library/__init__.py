"""The standard library: one table that the checker, the interpreter, the runtime, the editor and
the documents read."""

from collections.abc import Mapping

from backstay.lang.library.data import DATA
from backstay.lang.library.lists import LISTS
from backstay.lang.library.model import Function, Param, call
from backstay.lang.library.numbers import NUMBERS
from backstay.lang.library.texts import TEXTS
from backstay.lang.library.times import TIMES

__all__ = ["LIBRARY", "SECTIONS", "Function", "Param", "call"]

SECTIONS: Mapping[str, tuple[Function, ...]] = {
    "Texts": TEXTS,
    "Numbers": NUMBERS,
    "Lists and records": LISTS,
    "Moments and durations": TIMES,
    "Data": DATA,
}
"""The functions by what they are about."""

LIBRARY: Mapping[str, Function] = {
    function.name: function for section in SECTIONS.values() for function in section
}
"""The functions by name."""
