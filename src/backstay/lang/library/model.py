"""How a function of the library is described; everything that speaks of functions reads this."""

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from backstay.lang.library.values import Value

World = Literal["", "clock", "ids", "dice"]
"""What of the world a function asks for; it is handed in by whoever runs the program."""


class Param(msgspec.Struct, frozen=True):
    """`kind` is a type, or a letter for one that the call decides:

    `T`, `U` any; `N` a number; `O` anything with an order; `M` a timestamp or a date. `T => U` is
    a lambda. `list(T)` is a list of them.
    """

    name: str
    kind: str


class Function(msgspec.Struct, frozen=True):
    """A function of the standard library.

    `forms` are the ways to call it; `gives` is the kind of its result. `run` is called with the
    values of the arguments and raises Unfit; a lambda comes as a callable. Unless `nulls` is set,
    a null argument makes the result null, and `run` is not called; a null list is one with nothing
    in it, as it is for a loop. `walks` says that the work
    grows with the size of the arguments.
    """

    name: str
    forms: tuple[tuple[Param, ...], ...]
    gives: str
    says: str
    run: Callable[..., Value] | None = None
    world: World = ""
    nulls: bool = False
    walks: bool = True

    @property
    def least(self) -> int:
        """The fewest arguments."""
        return min(len(form) for form in self.forms)

    @property
    def most(self) -> int:
        """The most arguments."""
        return max(len(form) for form in self.forms)

    @property
    def of_lists(self) -> bool:
        """Whether the first argument is a list, whichever the form."""
        return all(form and form[0].kind.startswith("list(") for form in self.forms)

    def form(self, count: int) -> tuple[tuple[Param, ...], ...]:
        """The forms with this many arguments."""
        return tuple(form for form in self.forms if len(form) == count)

    def signatures(self) -> tuple[str, ...]:
        """`round(value: N, places: int) -> N`, one for each form."""
        return tuple(
            f"{self.name}({', '.join(f'{each.name}: {each.kind}' for each in form)})"
            f" -> {self.gives}"
            for form in self.forms
        )


def function(
    name: str,
    forms: str | Sequence[str],
    gives: str,
    says: str,
    run: Callable[..., Value] | None = None,
    *,
    world: World = "",
    nulls: bool = False,
    walks: bool = True,
) -> Function:
    """A row of a table: `function("round", ["value: N", "value: N, places: int"], "N", …)`."""
    given = (forms,) if isinstance(forms, str) else tuple(forms)
    return Function(name, tuple(map(_params, given)), gives, says, run, world, nulls, walks)


def _params(form: str) -> tuple[Param, ...]:
    if not form:
        return ()
    parts = (part.partition(": ") for part in form.split(", "))
    return tuple(Param(name, kind) for name, _, kind in parts)


def call(known: Function, args: Sequence[Value | Callable[..., Value]]) -> Value:
    """What the function makes of these arguments. Raises Unfit; `run` must be there."""
    if known.run is None:
        raise ValueError(f"{known.name} asks the world")
    if known.of_lists and args and args[0] is None:
        args = ([], *args[1:])
    if not known.nulls and any(each is None for each in args):
        return None
    return known.run(*args)
