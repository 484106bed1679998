"""Entities, and the models of a `database` block."""

from typing import Literal

from backstay.lang.program.values import Expr, Field, Frozen


class Access(Frozen, frozen=True):
    """Row rules (decision 8); None means admin only once auth is configured."""

    read: Expr | None = None
    create: Expr | None = None
    update: Expr | None = None
    delete: Expr | None = None


class Index(Frozen, frozen=True):
    """`kind` is `text` or `geospatial` for the indexes of a collection."""

    fields: tuple[str, ...]
    unique: bool = False
    kind: str = ""


class Entity(Frozen, frozen=True):
    name: str
    table: str
    fields: tuple[Field, ...]
    indexes: tuple[Index, ...] = ()
    access: Access = Access()
    description: str = ""
    soft_delete: bool = False

    @property
    def key(self) -> str:
        """Name of the primary key field."""
        return next(field.name for field in self.fields if field.primary)


class ModelField(Frozen, frozen=True):
    """`type` as it is written; `fields` are those of an embedded document."""

    name: str
    type: str
    modifiers: tuple[str, ...] = ()
    fields: tuple["ModelField", ...] = ()


class Model(Frozen, frozen=True):
    """A `model` or `collection` of a `database` block."""

    name: str
    database: Literal["postgres", "mongodb"]
    fields: tuple[ModelField, ...]
    indexes: tuple[Index, ...] = ()
    description: str = ""
