"""Tables brought to what the program says: in one transaction, recorded, and taken back if that can
be."""

from collections.abc import Sequence

import msgspec

from backstay.app.errors import (
    MIGRATION_FAILED,
    MIGRATION_REFUSED,
    NOTHING_TO_UNDO,
    SCHEMA_BEHIND,
    TABLE_TAKEN,
)
from backstay.app.plan.unit import Unit
from backstay.app.store.aim import dialect_of
from backstay.app.store.differences import Change, Shape, differences, label
from backstay.app.store.schema import relations
from backstay.app.store.session import RowTrouble, Session
from backstay.core.errors import Fault
from backstay.lang.program import Program


def stored_shape(conn: Session) -> Shape:
    """The tables as the last accepted program declared them."""
    shape: dict[str, dict[str, str]] = {}
    for relation, item, definition in conn.execute(
        "SELECT relation, item, definition FROM backstay_shape"
    ):
        shape.setdefault(relation, {})[item] = definition
    return shape


def planned(conn: Session, program: Program, unit: Unit) -> list[Change]:
    """What `apply` would do. Raises APP027 for a taken name."""
    shape = stored_shape(conn)
    _check_free(conn, program, shape)
    return differences(program, shape, unit)


def judge(changes: Sequence[Change], where: str, *, fresh: bool, unasked: bool) -> None:
    """Whether a starting server may do this: everything in an empty place, else what is safe, and
    that only if it was told to. Raises APP028 or APP003."""
    if fresh or not changes:
        return
    told = {
        "differences": "; ".join(change.says for change in changes),
        "sql": script(changes),
        "where": where,
    }
    if any(change.risk != "safe" for change in changes):
        raise Fault(MIGRATION_REFUSED, **told)
    if not unasked:
        raise Fault(SCHEMA_BEHIND, **told)


def script(changes: Sequence[Change]) -> str:
    """The SQL as people read it."""
    return "\n".join(f"{statement};" for change in changes for statement in change.statements)


def apply(conn: Session, program: Program, unit: Unit, changes: Sequence[Change]) -> None:
    """Do it inside the open transaction, and record it. Raises APP029 when what is stored does not
    let it be."""
    before = stored_shape(conn)
    for change in changes:
        _run(conn, change.says, change.statements)
    _remember(
        conn,
        {
            relation.name: {label(item): item.definition for item in relation.items}
            for relation in relations(program)
        },
    )
    undo = [change.undo for change in reversed(changes)]
    statements = [each for part in undo if part is not None for each in part]
    record = (
        unit.ids.new(),
        program.hash,
        _json([msgspec.to_builtins(change) for change in changes]),
        None if None in undo else _json(statements),
        _json(before),
        unit.now,
    )
    conn.execute("INSERT INTO backstay_migrations VALUES (?, ?, ?, ?, ?, ?)", record)


def roll_back(conn: Session) -> list[str]:
    """Take the newest migration back; its statements. Raises APP031 when there is none, or when
    something that it took away cannot be given back."""
    last = conn.execute(
        "SELECT id, changes, undo, shape FROM backstay_migrations"
        " ORDER BY applied_at DESC, id DESC LIMIT 1"
    ).fetchone()
    if last is None:
        raise Fault(NOTHING_TO_UNDO, reason="no migration is recorded")
    key, changes, undo, shape = last
    if undo is None:
        made = msgspec.json.decode(changes, type=list[Change])
        stuck = next(change.says for change in made if change.undo is None)
        raise Fault(NOTHING_TO_UNDO, reason=f"the last one cannot be taken back: {stuck}")
    statements = msgspec.json.decode(undo, type=list[str])
    _run(conn, "taking it back", statements)
    _remember(conn, msgspec.json.decode(shape, type=dict[str, dict[str, str]]))
    conn.execute("DELETE FROM backstay_migrations WHERE id = ?", (key,))
    return statements


def _run(conn: Session, says: str, statements: Sequence[str]) -> None:
    for statement in statements:
        try:
            conn.execute(statement)
        except RowTrouble as refusal:
            raise Fault(
                MIGRATION_FAILED, says=says, sql=statement, reason=str(refusal)
            ) from refusal


def _remember(conn: Session, shape: Shape) -> None:
    conn.execute("DELETE FROM backstay_shape")
    conn.executemany(
        "INSERT INTO backstay_shape VALUES (?, ?, ?)",
        [
            (relation, item, definition)
            for relation, items in shape.items()
            for item, definition in items.items()
        ],
    )


def _check_free(conn: Session, program: Program, shape: Shape) -> None:
    held = {row[0].lower() for row in conn.execute(dialect_of(program).tables)}
    for entity in program.entities:
        if entity.table not in shape and entity.table.lower() in held:
            raise Fault(TABLE_TAKEN, table=entity.table, entity=entity.name)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
