"""What a test of a program asks of the running application, in the language's own words.

The runtime implements it (`app.trial`) and the console script hands it in: the language knows no
database, and a test without rows, calls and workflows starts none.
"""

from collections.abc import Mapping
from typing import Protocol, Self

import msgspec

from backstay.lang.library.values import Value


class Row(dict[str, Value]):
    """A row of an entity, field by field. `key` is the name of its primary key."""

    def __init__(self, entity: str, key: str, values: Mapping[str, Value]) -> None:
        super().__init__(values)
        self.entity = entity
        self.key = key


class Reference(str):
    """The key of a row of `entity`: a path goes on through it."""

    __slots__ = ("entity",)
    entity: str

    def __new__(cls, key: str, entity: str) -> Self:
        made = super().__new__(cls, key)
        made.entity = entity
        return made


class Visited(msgspec.Struct, frozen=True):
    """What an endpoint answered; `body` is its JSON, as text where it is none."""

    status: int
    body: Value


class Application(Protocol):
    """One application with a database and a clock of its own. Every method raises a Fault when the
    application refuses what is asked of it."""

    def given(self, entity: str, values: Mapping[str, Value]) -> Row:
        """Insert a row past every access rule."""
        ...

    def rows(self, entity: str) -> list[Row]:
        """All rows of an entity, in the order of their keys."""
        ...

    def row(self, entity: str, key: Value) -> Row | None:
        """The row with this key."""
        ...

    def below(self, row: Row, field: str) -> list[Row] | None:
        """The rows that a field for many leads to; None when the entity has no such field."""
        ...

    def change(self, row: Row, values: Mapping[str, Value]) -> None:
        """Write fields of a row past every access rule."""
        ...

    def remove(self, row: Row) -> None:
        """Delete a row past every access rule."""
        ...

    def stub(self, operation: str, answer: Value, fails: int) -> None:
        """From here on `INTEGRATION.OPERATION` answers so, or with the status `fails`."""
        ...

    def visit(
        self, method: str, path: str, body: Value, user: Mapping[str, Value] | None
    ) -> Visited:
        """Call an endpoint as `user`, None for nobody; then whatever can happen now happens."""
        ...

    def start(self, workflow: str, given: Mapping[str, Value]) -> str:
        """Start a workflow; the id of its execution. Nothing of it has happened yet."""
        ...

    def execution(self, id: str) -> Mapping[str, Value]:
        """`id`, `status` and `error` of an execution."""
        ...

    def emit(self, event: str, values: Mapping[str, Value]) -> None:
        """Publish an event."""
        ...

    def settle(self) -> None:
        """Let everything happen that can happen now."""
        ...

    def advance(self, seconds: float) -> None:
        """Let time pass: what falls due happens, in its order."""
        ...

    def unstubbed(self) -> str:
        """The first operation that was called without a stub; "" for none."""
        ...

    def close(self) -> None:
        """End it; its database is gone."""
        ...
