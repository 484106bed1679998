"""What a program says of its database, of a real server: the settings come before it."""

import re
from pathlib import Path

import pytest
from tests.app.standing import database_url, standing
from tests.conformance.proofs.support import PATIENCE, Serving
from tests.e2e.stack import until

from backstay.app.settings import AppSettings
from backstay.app.store.choose import told
from backstay.core.errors import Fault
from backstay.core.settings import Loaded
from backstay.lang.api import check_text

TEXT = """config { database: postgres { pool_size: 7, timeout: 45s } }
entity A { id: int, primary }
endpoint GET /a { returns: list(A) }
"""


def pool(app: Serving) -> object:
    """The most connections to the database, as the metrics tell it."""
    text = app.ask("GET", "/metrics").body.decode()
    (line,) = re.findall(r"^(?:\w+_)?db_connections_max(?:{[^}]*})? (\S+)$", text, re.MULTILINE)
    return float(line)


def test_the_program_sizes_the_pool_unless_the_settings_do(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = database_url(kind, request)
    with standing(tmp_path / "a", TEXT, url) as app:
        assert pool(app) == 7
        says = "the program names PostgreSQL"
        assert (says in app.out.read_text()) == (kind == "sqlite")
    with standing(tmp_path / "b", TEXT, url, DATABASE_MAX_CONNECTIONS="9") as app:
        assert pool(app) == 9


def test_a_change_of_it_keeps_the_old_program_until_a_restart(tmp_path: Path) -> None:
    with standing(tmp_path, TEXT, CODEAI_RELOAD="true") as app:
        (tmp_path / "app.cai").write_text(TEXT.replace("pool_size: 7", "pool_size: 8"))
        until(
            lambda: "APP072" in app.out.read_text() + app.err.read_text(),
            PATIENCE,
            app.out.read_text,
        )
        assert pool(app) == 7


@pytest.mark.parametrize(
    ("database", "says"),
    [
        ("mysql { pool_size: 5 }", "there is no database mysql"),
        ("postgres { pool_size: 1 }", "pool_size is no such number"),
        ("postgres { pool_size: many }", "pool_size is no such number"),
        ("postgres { timeout: 0s }", "timeout is no such number"),
        ("postgres { schema: shop }", "'schema' is nothing that it knows"),
    ],
)
def test_what_would_be_ignored_is_refused(database: str, says: str) -> None:
    program, found = check_text(
        "a.cai", TEXT.replace("postgres { pool_size: 7, timeout: 45s }", database)
    )
    assert program is not None, found
    with pytest.raises(Fault) as refused:
        told(Loaded(AppSettings(), ()), program)
    assert refused.value.entry.code == "APP005"
    assert says in refused.value.message
