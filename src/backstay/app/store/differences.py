"""What separates the stored tables from the program's: changes, each with its risk and its SQL.

Pure. `safe`: nothing stored is touched. `confirm`: it may be refused for what is stored, and is
then taken back whole. `loss`: something stored goes away or is rounded.
"""

# ruff: noqa: S608 - names come from the checked program; defaults are rendered by the dialect

from collections.abc import Mapping
from typing import Literal

import msgspec

from backstay.app.plan.evaluate import Evaluator
from backstay.app.plan.rows import Rows
from backstay.app.plan.tables import quote, table
from backstay.app.plan.unit import Unit
from backstay.app.store.schema import Item, Relation, relations
from backstay.lang.program import Program
from backstay.lang.query.stored import DELETED_AT

Shape = Mapping[str, Mapping[str, str]]
"""relation → `kind name` of an item → its definition, as last accepted."""
_WITHOUT_DEFAULT = " and required, and has no default for existing rows"
Risk = Literal["safe", "confirm", "loss"]


class Change(msgspec.Struct, frozen=True):
    """`undo` takes it back; None where that cannot be done."""

    risk: Risk
    says: str
    statements: tuple[str, ...]
    undo: tuple[str, ...] | None = None


def differences(program: Program, shape: Shape, unit: Unit) -> list[Change]:
    """What has to be done, in order. Defaults for existing rows are computed in `unit`."""
    found: list[Change] = []
    late: list[Change] = []
    wanted = relations(program)
    for relation in wanted:
        known = shape.get(relation.name)
        if known is None:
            drop = (f"DROP TABLE {quote(relation.name)}",)
            says = f"the table {relation.name} is new"
            found.append(Change("safe", says, tuple(relation.create()), drop))
            # A reference may point at a table that is only made further down.
            late += [_made(relation, item, "safe") for item in relation.of("reference")]
        elif relation.rebuilt and _must_rebuild(relation, known):
            found.append(_rebuild(relation, known))
        else:
            defaults = _defaults(program, relation, unit)
            now, then = _items(relation, known, defaults)
            found += now
            late += then
    names = {relation.name for relation in wanted}
    for gone in sorted(set(shape) - names):
        says = f"the table {gone} belongs to no entity any more"
        late.append(Change("loss", says, (_drop_table(gone, wanted),)))
    return found + late


def label(item: Item) -> str:
    """The name of an item in a Shape."""
    return f"{item.kind} {item.name}"


def _items(
    relation: Relation, known: Mapping[str, str], defaults: Mapping[str, str]
) -> tuple[list[Change], list[Change]]:
    now: list[Change] = []
    late: list[Change] = []
    # What a column that is new and may be empty, or has a default, must hold, no row breaks.
    fresh = {item.name for item in relation.columns if label(item) not in known and item.addable}
    wanted = {label(item) for item in relation.items}
    gone = [text.partition(" ") for text in known if text not in wanted]
    lost = {name for kind, _, name in gone if kind == "column"}
    for kind, _, name in gone:
        if kind != "column":
            now.append(_removed(relation, kind, name, known[f"{kind} {name}"]))
    for item in relation.items:
        was = known.get(label(item))
        if was == item.definition:
            continue
        if item.kind == "column":
            now.append(_column(relation, item, was, defaults))
            continue
        safe = was is not None or item.kind == "index" or item.column in fresh
        made = _made(relation, item, "safe" if safe else "confirm")
        if was is not None:
            drop = _drop(relation, item.kind, item.name)
            made = Change(made.risk, made.says, (drop, *made.statements), (drop, was))
        (late if item.kind == "reference" else now).append(made)
    # Last: an index that spoke of the column is another one by now.
    now += [
        Change(
            "loss",
            _gone(relation, name),
            (f"ALTER TABLE {quote(relation.name)} DROP COLUMN {quote(name)}",),
        )
        for name in sorted(lost)
    ]
    return now, late


def _gone(relation: Relation, name: str) -> str:
    if name == DELETED_AT:
        return f"{relation.name} keeps no deleted rows any more: those it has would be there again"
    return f"the column {relation.name}.{name} is not declared any more"


def _column(relation: Relation, item: Item, was: str | None, defaults: Mapping[str, str]) -> Change:
    where, owner, name = f"{relation.name}.{item.name}", quote(relation.name), quote(item.name)
    if was is None:
        definition = item.definition + defaults.get(item.name, "")
        drop = (f"ALTER TABLE {owner} DROP COLUMN {name}",)
        add = (f"ALTER TABLE {owner} ADD COLUMN {definition}",)
        risk: Risk = "safe" if item.addable else "confirm"
        more = "" if item.addable else _WITHOUT_DEFAULT
        return Change(risk, f"the column {where} is new{more}", add, drop)
    kind = item.definition.removeprefix(f"{name} ")
    bare = kind.partition(" COLLATE ")[0]
    change = f"ALTER TABLE {owner} ALTER COLUMN {name} TYPE {kind} USING {name}::{bare}"
    return Change("loss", f"{where} was `{was}` and would be `{item.definition}`", (change,))


def _made(relation: Relation, item: Item, risk: Risk) -> Change:
    says = f"the {item.kind} {item.name} of {relation.name} is new"
    return Change(risk, says, (item.definition,), (_drop(relation, item.kind, item.name),))


def _removed(relation: Relation, kind: str, name: str, definition: str) -> Change:
    says = f"the {kind} {name} of {relation.name} is not declared any more"
    return Change("confirm", says, (_drop(relation, kind, name),), (definition,))


def _drop(relation: Relation, kind: str, name: str) -> str:
    owner = quote(relation.name)
    if kind == "index":
        return f"DROP INDEX IF EXISTS {quote(name)}"
    if kind == "required":
        return f"ALTER TABLE {owner} ALTER COLUMN {quote(name)} DROP NOT NULL"
    return f"ALTER TABLE {owner} DROP CONSTRAINT IF EXISTS {quote(name)}"


def _drop_table(name: str, wanted: list[Relation]) -> str:
    # What refers to it goes with it, where the database has references apart from columns.
    apart = any(not relation.rebuilt for relation in wanted)
    return f"DROP TABLE {quote(name)}{' CASCADE' if apart else ''}"


def _must_rebuild(relation: Relation, known: Mapping[str, str]) -> bool:
    """Whether a column is there in another form, or cannot be added to rows that are there."""
    return any(
        known.get(label(item), "" if item.addable else "?") not in ("", item.definition)
        for item in relation.columns
    )


def _rebuild(relation: Relation, known: Mapping[str, str]) -> Change:
    """Where a column cannot be changed in place, the table is made anew."""
    old, new = quote(relation.name), quote(relation.name + "_new")
    create, *indexes = relation.create()
    kept = [item.name for item in relation.columns if label(item) in known]
    lost = [text for text in known if text.startswith("column ")]
    lost = [text for text in lost if text not in {label(item) for item in relation.columns}]
    names = ", ".join(quote(name) for name in kept)
    says, risk = [], "loss" if lost else "confirm"
    for item in relation.columns:
        was = known.get(label(item))
        if was is None:
            more = "" if item.addable else _WITHOUT_DEFAULT
            says.append(f"the column {relation.name}.{item.name} is new{more}")
        elif was != item.definition:
            says.append(f"{relation.name}.{item.name} was `{was}` and would be `{item.definition}`")
            risk = "loss" if _type(was) != _type(item.definition) else risk
    says += [f"the {text} of {relation.name} is not declared any more" for text in lost]
    statements = (
        create.replace(f"CREATE TABLE {old}", f"CREATE TABLE {new}", 1),
        f"INSERT INTO {new} ({names}) SELECT {names} FROM {old}",
        f"DROP TABLE {old}",
        f"ALTER TABLE {new} RENAME TO {old}",
        *indexes,
    )
    return Change("loss" if risk == "loss" else "confirm", "; ".join(says), statements)


def _type(definition: str) -> str:
    """The type in a column's definition: what follows the quoted name."""
    return definition.partition('" ')[2].partition(" ")[0]


def _defaults(program: Program, relation: Relation, unit: Unit) -> Mapping[str, str]:
    """What existing rows get in each column that has a default, as SQL."""
    entity = next(entity for entity in program.entities if entity.table == relation.name)
    evaluator = Evaluator(program, Rows(program, guarded=False))
    rows = table(program, entity.name)
    found: dict[str, str] = {}
    for column in rows.columns:
        if column.field.default is not None:
            value = evaluator.closure(column.field.default)(unit, {})
            stored = column.codec.store(column.codec.fit(value))
            found[column.name] = f" DEFAULT {rows.dialect.literal(stored, column.kind)}"
    return found
