"""`codeai query` as a process against a real database file."""

import json
from pathlib import Path

import apsw
import pytest
from tests.lang.test_commands import PROGRAM, codeai


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "app.db"
    conn = apsw.Connection(str(path))
    conn.execute(
        "CREATE TABLE products (id TEXT PRIMARY KEY, sku TEXT, name TEXT, price INTEGER,"
        " stock INTEGER) STRICT"
    )
    for number, name in enumerate(("pen", "ink"), 1):
        conn.execute(
            "INSERT INTO products VALUES (?, ?, ?, ?, ?)", (str(number), name, name, 250, number)
        )
    conn.close()
    return path


def test_rows_as_table_and_json(database: Path) -> None:
    query = ["query", str(PROGRAM), "select name, price from Product where stock < @n", "-p", "n=2"]
    shown = codeai(*query, "--database", str(database))
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert shown.stdout.decode().split("\n")[:2] == ["name  price", "pen   2.50"]
    data = codeai(*query, "--database", str(database), "-o", "json")
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


def test_it_only_reads(database: Path) -> None:
    done = codeai("query", str(PROGRAM), "delete from Product", "-d", str(database))
    assert done.returncode == 2
    assert b"LANG151" in done.stderr
    assert apsw.Connection(str(database)).execute("SELECT count(*) FROM products").get == 2


def test_a_mistake_has_kind_and_place(database: Path) -> None:
    done = codeai("query", str(PROGRAM), "select from Prodct", "-d", str(database))
    assert done.returncode == 1
    assert done.stderr.decode().split("\n")[:2] == [
        "SemanticError at line 1, column 13: unknown entity 'Prodct'",
        "  fix: did you mean 'Product'?",
    ]


@pytest.mark.seed("C14")
def test_the_databases_own_words_are_an_execution_error(tmp_path: Path) -> None:
    empty = tmp_path / "app.db"
    apsw.Connection(str(empty)).execute("CREATE TABLE other (a)")
    done = codeai("query", str(PROGRAM), "select from Product", "-d", str(empty))
    assert done.returncode == 1
    assert b"ExecutionError: no such table: products" in done.stderr


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
def test_the_texts_that_people_search_for(database: Path, query: str, says: str) -> None:
    done = codeai("query", str(PROGRAM), query, "-d", str(database))
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
