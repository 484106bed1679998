"""Schema versions of a file: forward only, each step one transaction, after a copy."""

from collections.abc import Sequence
from pathlib import Path

import apsw
import msgspec

from backstay.core.sqlite import files


class Schema(msgspec.Struct, frozen=True):
    """`migrations[n]` is the SQL that takes a file from version n to n + 1; never edited later."""

    application: str
    migrations: Sequence[str]

    @property
    def version(self) -> int:
        return len(self.migrations)


def migrate(connection: apsw.Connection, path: Path, schema: Schema) -> None:
    """Bring the file to the schema's version. An existing file is first copied to
    `<name>.v<N>.bak`. Raises CORE047 or CORE048 when the file is not ours to touch."""
    found = files.stamp(connection)
    files.check_stamp(path, found, schema.application, schema.version)
    if found.version == schema.version:
        return
    if found.version:
        files.copy(connection, path.with_name(f"{path.name}.v{found.version}.bak"))
    for step in range(found.version, schema.version):
        with connection:
            connection.execute(schema.migrations[step])
            connection.pragma("application_id", files.application_id(schema.application))
            connection.pragma("user_version", step + 1)
