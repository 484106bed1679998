"""What a name can mean at a place."""

from collections.abc import Iterator

from backstay.lang import program as p
from backstay.lang.check.world import EntityInfo


class Scope:
    """Variables, the row that a `where` speaks of, and what else may be used here.

    `lenient`: something before could not be read, so an unknown variable may be a lost one.
    `script`: an inner name may hide an outer one, and `print` can be called.
    `outputs` maps steps to whether they have an output to read; None outside workflows.
    """

    __slots__ = ("env", "lenient", "outputs", "parent", "row", "script", "variables")

    def __init__(self, parent: "Scope | None" = None, *, row: EntityInfo | None = None) -> None:
        self.parent = parent
        self.row = row
        self.variables: dict[str, p.Type] = {}
        self.lenient: bool = parent.lenient if parent else False
        self.outputs: dict[str, bool] | None = parent.outputs if parent else None
        self.env: bool = parent.env if parent else False
        self.script: bool = parent.script if parent else False

    def find(self, name: str) -> p.Type | None:
        scope: Scope | None = self
        while scope is not None:
            found = scope.variables.get(name)
            if found is not None:
                return found
            scope = scope.parent
        return None

    def names(self) -> Iterator[str]:
        """Every name in scope, the nearest first."""
        if self.row:
            yield from self.row.fields
        scope: Scope | None = self
        while scope is not None:
            yield from scope.variables
            scope = scope.parent
