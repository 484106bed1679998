"""The ways to call the function whose parentheses are open at a cursor."""

from typing import NamedTuple

from backstay.lang.library import LIBRARY
from backstay.lang.lsp.around import RECORDS, Around
from backstay.lang.program import Program, Type

_OTHERS = {
    "env": (("NAME", "default?"), "a variable of the environment, read when the program starts"),
    "min": (("bound",), "the least value, or length"),
    "max": (("bound",), "the greatest value, or length"),
    "default": (("value",), "what is stored when nothing is given"),
    "pattern": (("text",), "a regular expression that the text matches"),
    "via": (("field",), "the field of the other entity that points back"),
    "decimal": (("precision", "scale"), "digits in all, and behind the point"),
    "ref": (("Entity",), "the key of a row"),
    "has": (("role",), "whether the user has a role"),
    "exponential_backoff": (("first", "longest"), "delays that double"),
    "linear_backoff": (("first", "longest"), "delays that grow by the first"),
    "fixed_delay": (("delay",), "the same delay each time"),
}


class Signature(NamedTuple):
    """One way to call: the text, its parameters as they stand in it, what it does."""

    label: str
    parameters: tuple[str, ...]
    says: str


def signatures(program: Program, text: str, offset: int) -> tuple[list[Signature], int]:
    """The signatures at a cursor, and which parameter is being written (from 0)."""
    around = Around(text, offset)
    call = around.call()
    if call is None:
        return [], 0
    name, at = call
    if around.block in ("entity", *RECORDS) and name in _OTHERS:
        return _other(name), at
    for own in program.functions:
        if own.name == name:
            params = tuple(f"{each.name}: {_show(each.type)}" for each in own.params)
            label = f"{name}({', '.join(params)}) -> {_show(own.result)}"
            return [Signature(label, params, "a function of this program")], at
    if name in LIBRARY:
        function = LIBRARY[name]
        found = []
        for label, form in zip(function.signatures(), function.forms, strict=True):
            params = tuple(f"{each.name}: {each.kind}" for each in form)
            found.append(Signature(label, params, function.says))
        return found, at
    return (_other(name) if name in _OTHERS else []), at


def _other(name: str) -> list[Signature]:
    params, says = _OTHERS[name]
    return [Signature(f"{name}({', '.join(params)})", params, says)]


def _show(kind: Type) -> str:
    from backstay.lang.check.types import show

    return show(kind)
