"""What a name can mean at a place."""

from collections.abc import Iterator, MutableMapping
from typing import NamedTuple

from backstay.lang import program as p
from backstay.lang.check.world import EntityInfo, Watched


class Ran(NamedTuple):
    """What is known of a step that stands before: the type of its output (None: it has none), and
    the parts of the condition under which it ran (none: always)."""

    type: p.Type | None
    parts: frozenset[p.Expr] = frozenset()


class Scope:
    """Variables, the row that a `where` speaks of, and what else may be used here.

    `lenient`: something before could not be read, so an unknown variable may be a lost one.
    `script`: an inner name may hide an outer one, and `print` can be called.
    `outputs` are the steps before; None outside workflows. `later` are steps that run beside this
    one or after it. A step before is known to have run here if `held` names it, if `parts`, what
    holds here, has all parts of its condition, or if `asks`: it is thought of that it did not.
    `watched` are the names here that somebody should use; `body.total` is one of `body`.
    """

    __slots__ = (
        "asks",
        "env",
        "held",
        "later",
        "lenient",
        "outputs",
        "parent",
        "parts",
        "row",
        "script",
        "variables",
        "watched",
    )

    def __init__(self, parent: "Scope | None" = None, *, row: EntityInfo | None = None) -> None:
        self.parent = parent
        self.row = row
        self.variables: dict[str, p.Type] = {}
        self.lenient: bool = parent.lenient if parent else False
        self.outputs: MutableMapping[str, Ran] | None = parent.outputs if parent else None
        self.later: frozenset[str] = parent.later if parent else frozenset()
        self.held: frozenset[str] = parent.held if parent else frozenset()
        self.parts: frozenset[p.Expr] = parent.parts if parent else frozenset()
        self.asks: bool = parent.asks if parent else False
        self.watched: dict[str, Watched] = {}
        self.env: bool = parent.env if parent else False
        self.script: bool = parent.script if parent else False

    def has_run(self, name: str, step: Ran) -> bool:
        """Whether the step before is known to have run wherever this scope is reached."""
        return self.asks or name in self.held or step.parts <= self.parts

    def find(self, name: str) -> p.Type | None:
        scope: Scope | None = self
        while scope is not None:
            found = scope.variables.get(name)
            if found is not None:
                return found
            scope = scope.parent
        return None

    def use(self, name: str, field: str = "") -> None:
        """The variable, or only a field of it, is read here."""
        full = f"{name}.{field}"
        scope: Scope | None = self
        while scope is not None and name not in scope.variables and full not in scope.watched:
            scope = scope.parent
        if scope is None or not scope.watched:
            return
        whole = scope.watched.get(name)
        if whole is not None:
            whole.used = True
        one = scope.watched.get(full)
        if one is not None:
            one.used = True
        elif not field:
            for each, watched in scope.watched.items():
                watched.used |= each.startswith(f"{name}.")

    def names(self) -> Iterator[str]:
        """Every name in scope, the nearest first."""
        if self.row:
            yield from self.row.fields
        scope: Scope | None = self
        while scope is not None:
            yield from scope.variables
            scope = scope.parent
