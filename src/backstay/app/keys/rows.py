"""Keys in the app's database, inside a transaction."""

import msgspec

from backstay.app.keys.model import Key
from backstay.app.store.session import Session

_COLUMNS = (
    "id, name, prefix, sub, tenant, roles, scopes,"
    " created_by, created_at, ends_at, revoked_at, used_at, replaces"
)
_WORDS = msgspec.json.Decoder(tuple[str, ...])


def insert(conn: Session, key: Key, digest: str) -> None:
    """A new key."""
    values = msgspec.structs.asdict(key) | {
        "roles": msgspec.json.encode(key.roles).decode(),
        "scopes": msgspec.json.encode(key.scopes).decode(),
    }
    named = ", ".join(values)
    marks = ", ".join("?" * (len(values) + 1))
    text = f"INSERT INTO backstay_keys ({named}, hash) VALUES ({marks})"  # noqa: S608 - own names
    conn.execute(text, (*values.values(), digest))


def by_hash(conn: Session, digest: str) -> Key | None:
    """The key with this hash."""
    text = f"SELECT {_COLUMNS} FROM backstay_keys WHERE hash = ?"  # noqa: S608 - own names
    return _one(conn, text, digest)


def by_id(conn: Session, key: str) -> Key | None:
    """The key with this id."""
    text = f"SELECT {_COLUMNS} FROM backstay_keys WHERE id = ?"  # noqa: S608 - own names
    return _one(conn, text, key)


def page(conn: Session, limit: int, offset: int) -> list[Key]:
    """Keys, the newest first."""
    text = f"SELECT {_COLUMNS} FROM backstay_keys ORDER BY id DESC LIMIT ? OFFSET ?"  # noqa: S608
    return [_key(row) for row in conn.execute(text, (limit, offset))]


def count(conn: Session) -> int:
    """How many there are, those that do not count any more among them."""
    return int(conn.execute("SELECT count(*) FROM backstay_keys").get)


def revoke(conn: Session, key: str, at: int) -> None:
    """It does not count from `at` on; an earlier end stays."""
    conn.execute(
        "UPDATE backstay_keys SET revoked_at = ?"
        " WHERE id = ? AND (revoked_at IS NULL OR revoked_at > ?)",
        (at, key, at),
    )


def used(conn: Session, key: str, at: int) -> None:
    """When it was last used, as far as anybody noted."""
    conn.execute(
        "UPDATE backstay_keys SET used_at = ? WHERE id = ? AND (used_at IS NULL OR used_at < ?)",
        (at, key, at),
    )


def _one(conn: Session, text: str, value: str) -> Key | None:
    row = conn.execute(text, (value,)).fetchone()
    return None if row is None else _key(row)


def _key(row: tuple[object, ...]) -> Key:
    values = list(row)
    for place in (5, 6):
        values[place] = _WORDS.decode(str(values[place]))
    return Key(*values)  # type: ignore[arg-type] # as the columns stand
