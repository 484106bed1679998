"""What separates the stored tables from the program's, and whether it may be done unasked.

Unasked: a new table, a new column that existing rows can have (null or a default), a new index. All
else (a changed or removed column, a narrower type) is refused with the SQL that would do it.
"""

# ruff: noqa: S608 - names come from the checked program; defaults are rendered by SQLite itself

from collections.abc import Mapping, Sequence

import msgspec

from backstay.app.errors import MIGRATION_REFUSED, TABLE_TAKEN
from backstay.app.plan.evaluate import Evaluator
from backstay.app.plan.rows import Rows
from backstay.app.plan.tables import quote, table
from backstay.app.plan.unit import Unit
from backstay.app.store.aim import dialect_of
from backstay.app.store.schema import Item, Relation, relations
from backstay.app.store.session import Session
from backstay.core.errors import Fault
from backstay.lang.program import Program

Shape = Mapping[str, Mapping[str, str]]
"""relation → `kind name` of an item → its definition, as last accepted."""


class Migration(msgspec.Struct, frozen=True):
    """`statements` may run; `refused` may not, and `differences` says why in words."""

    statements: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def stored_shape(conn: Session) -> Shape:
    """The tables as the last accepted program declared them."""
    shape: dict[str, dict[str, str]] = {}
    for relation, item, definition in conn.execute(
        "SELECT relation, item, definition FROM backstay_shape"
    ):
        shape.setdefault(relation, {})[item] = definition
    return shape


def compare(program: Program, shape: Shape, unit: Unit) -> Migration:
    """The difference; pure but for the defaults, which are computed in `unit`."""
    statements: list[str] = []
    differences: list[str] = []
    refused: list[str] = []
    wanted = relations(program)
    # A reference may point at a table that is only made further down.
    late: list[str] = []
    for relation in wanted:
        known = shape.get(relation.name)
        if known is None:
            statements += relation.create()
            late += relation.references()
            continue
        defaults = _defaults(program, relation, unit)
        told = len(differences)
        for item in relation.items:
            _compare_item(relation, item, known, defaults, statements, late, differences)
        rebuilt = len(differences) > told
        if rebuilt:
            refused += _rebuild(relation, known)
        _removed(relation, known, differences, refused, rebuilt=rebuilt)
    names = {relation.name for relation in wanted}
    for gone in sorted(set(shape) - names):
        differences.append(f"the table {gone} belongs to no entity any more")
        refused += [f"DROP TABLE {quote(gone)};", _forget(gone)]
    return Migration((*statements, *late), tuple(differences), tuple(refused))


def apply(conn: Session, program: Program, unit: Unit, path: str) -> bool:
    """Bring the tables up to the program inside the open transaction. Returns whether anything
    changed. Raises APP003 with the SQL of what is not done unasked, APP027 for a taken name."""
    shape = stored_shape(conn)
    migration = compare(program, shape, unit)
    if migration.refused:
        raise Fault(
            MIGRATION_REFUSED,
            differences="; ".join(migration.differences),
            sql="\n".join(migration.refused),
            path=path,
        )
    _check_free(conn, program, shape)
    for statement in migration.statements:
        conn.execute(statement)
    if migration.statements:
        _remember(conn, relations(program))
    return bool(migration.statements)


def _compare_item(
    relation: Relation,
    item: Item,
    known: Mapping[str, str],
    defaults: Mapping[str, str],
    statements: list[str],
    late: list[str],
    differences: list[str],
) -> None:
    was = known.get(_label(item))
    if was == item.definition:
        return
    where = f"{relation.name}.{item.name}"
    if item.kind == "index":
        drop = [] if was is None else [f"DROP INDEX IF EXISTS {quote(item.name)}"]
        statements += [*drop, item.definition]
    elif item.kind == "reference" and was is None:
        late.append(item.definition)
    elif was is None and item.addable:
        definition = item.definition + defaults.get(item.name, "")
        statements.append(f"ALTER TABLE {quote(relation.name)} ADD COLUMN {definition}")
    elif was is None:
        differences.append(f"{where} is new and required, and has no default for existing rows")
    else:
        differences.append(f"{where} was `{was}` and would be `{item.definition}`")


def _removed(
    relation: Relation,
    known: Mapping[str, str],
    differences: list[str],
    refused: list[str],
    *,
    rebuilt: bool,
) -> None:
    wanted = {_label(item) for item in relation.items}
    for label in sorted(set(known) - wanted):
        kind, _, name = label.partition(" ")
        differences.append(f"the {kind} {relation.name}.{name} is not declared any more")
        if kind == "index":
            refused.append(f"DROP INDEX IF EXISTS {quote(name)};")
        elif not rebuilt:
            refused.append(f"ALTER TABLE {quote(relation.name)} DROP COLUMN {quote(name)};")
        refused.append(_forget(relation.name, label))


def _rebuild(relation: Relation, known: Mapping[str, str]) -> list[str]:
    """SQLite changes a column by making the table anew."""
    old, new = quote(relation.name), quote(relation.name + "_new")
    create, *indexes = relation.create()
    columns = ", ".join(quote(item.name) for item in relation.columns)
    values = ", ".join(
        quote(item.name) if _label(item) in known else f"NULL /* a value for {item.name} */"
        for item in relation.columns
    )
    remembered = [
        "INSERT OR REPLACE INTO backstay_shape VALUES"
        f" ({_text(relation.name)}, {_text(_label(item))}, {_text(item.definition)});"
        for item in relation.items
    ]
    return [
        "PRAGMA foreign_keys=OFF;",
        "BEGIN;",
        create.replace(f"CREATE TABLE {old}", f"CREATE TABLE {new}", 1) + ";",
        f"INSERT INTO {new} ({columns}) SELECT {values} FROM {old};",
        f"DROP TABLE {old};",
        f"ALTER TABLE {new} RENAME TO {old};",
        *(index + ";" for index in indexes),
        *remembered,
        "COMMIT;",
    ]


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


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _label(item: Item) -> str:
    return f"{item.kind} {item.name}"


def _forget(relation: str, label: str = "") -> str:
    more = f" AND item = {_text(label)}" if label else ""
    return f"DELETE FROM backstay_shape WHERE relation = {_text(relation)}{more};"


def _remember(conn: Session, wanted: Sequence[Relation]) -> None:
    conn.execute("DELETE FROM backstay_shape")
    for relation in wanted:
        for item in relation.items:
            row = (relation.name, _label(item), item.definition)
            conn.execute("INSERT INTO backstay_shape VALUES (?, ?, ?)", row)


def _check_free(conn: Session, program: Program, shape: Shape) -> None:
    held = {row[0].lower() for row in conn.execute(dialect_of(program).tables)}
    for entity in program.entities:
        if entity.table not in shape and entity.table.lower() in held:
            raise Fault(TABLE_TAKEN, table=entity.table, entity=entity.name)
