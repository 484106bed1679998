"""`codeai validate` and `codeai parse`, as processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from backstay.core.errors import ErrorEntry
from backstay.lang import errors
from backstay.up.catalogue import find

PROGRAM = Path(__file__).parents[2] / "examples" / "orders" / "app.cai"


def codeai(*args: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "backstay.cli.codeai", *args],
        input=stdin,
        capture_output=True,
        timeout=30,
    )


def test_a_valid_file_a_folder_and_standard_input() -> None:
    for args, stdin in (
        (["validate", str(PROGRAM)], b""),
        (["validate", str(PROGRAM.parent)], b""),
        (["validate", "-"], PROGRAM.read_bytes()),
    ):
        done = codeai(*args, stdin=stdin)
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"6 entities, 7 endpoints, 2 workflows" in done.stdout


def test_a_mistake_shows_place_line_caret_and_fix() -> None:
    text = PROGRAM.read_bytes().replace(b"stock: int, required", b"stock: itn, required")
    done = codeai("validate", "-", stdin=text)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().split("\n")[:4] == [
        "<stdin>:32:10: error LANG039: TypeError: unknown type 'itn'",
        "   32 |   stock: itn, required, min(0)",
        "                 ^^^",
        "  fix: did you mean 'int'?",
    ]


def test_diagnostics_as_json() -> None:
    done = codeai("validate", "-", "--output", "json", stdin=b"entity A {\n  a: strng\n}")
    assert (done.returncode, done.stderr) == (1, b"")
    answer = json.loads(done.stdout)
    assert answer["valid"] is False
    codes = [each["code"] for each in answer["diagnostics"]]
    assert codes == ["LANG039"]
    assert answer["diagnostics"][0]["edit"]["text"] == "string"


@pytest.mark.seed("C11")
def test_validation_errors_have_kind_and_message_of_the_seed() -> None:
    text = """
job j { schedule: "0 0 * * *"
  do {
    let a = missing
    let i = 1
    let i = 2
    for x in 5 { }
    for y in "abc" { }
    let b = process(1)
    let c = lower()
    let data = 1
    let d = data(2)
  }
}
workflow w { input { name: string, name: int } steps { s { do { } } } }
"""
    done = codeai("validate", "-", stdin=text.encode())
    assert done.returncode == 1
    said = done.stderr.decode()
    for line in (
        "ScopeError: undefined variable 'missing'",
        "ScopeError: duplicate declaration 'i'",
        "ScopeError: duplicate parameter 'name'",
        "TypeError: cannot iterate over non-array type 'int'",
        "TypeError: cannot iterate over non-array type 'string'",
        "FunctionError: undefined function 'process'",
        "FunctionError: wrong number of arguments for 'lower': expected 1, got 0",
        "FunctionError: 'data' is not a function",
    ):
        assert said.count(line + "\n") == 1, line


@pytest.mark.seed("C10")
def test_parse_prints_pure_json_also_of_a_broken_file() -> None:
    done = codeai("parse", str(PROGRAM), "--output", "json")
    assert (done.returncode, done.stderr) == (0, b"")
    tree = json.loads(done.stdout)
    assert tree["version"] == 1
    assert len(tree["declarations"]) == 18
    assert {each["keyword"]["name"] for each in tree["declarations"]} >= {"workflow", "job"}
    broken = codeai("parse", "-", "--output", "json", stdin=b"entity A { id uuid }")
    assert broken.returncode == 1
    assert json.loads(broken.stdout)["declarations"]
    assert b"LANG010" in broken.stderr


def test_parse_as_table_and_plain() -> None:
    table = codeai("parse", str(PROGRAM), "--output", "table").stdout.decode().split("\n")
    assert table[0].split() == ["KIND", "NAME", "LINE", "MEMBERS"]
    assert "POST /orders" in "\n".join(table)
    assert b": workflow fulfil_order (5 members)" in codeai("parse", str(PROGRAM)).stdout


@pytest.mark.parametrize("path", ["missing.cai", "/", "\x01"])
def test_what_cannot_be_read_is_exit_code_2(path: str) -> None:
    done = codeai("validate", path)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert b"LANG12" in done.stderr


def test_an_unknown_flag_is_exit_code_2() -> None:
    assert codeai("validate", "--colour").returncode == 2


def test_bytes_that_are_no_text_are_a_diagnostic() -> None:
    done = codeai("validate", "-", stdin=b"\xff\xfe\x00")
    assert done.returncode == 1
    assert b"LANG005" in done.stderr


def test_the_command_imports_no_server() -> None:
    """A check of a small file takes a quarter of a second because little is imported."""
    script = (
        "import sys\n"
        "import backstay.cli.codeai, backstay.cli.codeai_lang\n"
        "from backstay.lang.api import check_text\n"
        "check_text('a', open(sys.argv[1]).read())\n"
        "servers = ('aiohttp', 'granian', 'structlog', 'rich', 'apsw', 'asyncio')\n"
        "print([name for name in servers if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(PROGRAM)], capture_output=True, timeout=30
    )
    assert done.stdout.strip() == b"[]", done.stderr


def test_every_code_can_be_explained_and_stands_once() -> None:
    rules = [each for each in vars(errors).values() if isinstance(each, ErrorEntry)]
    codes = [each.code for each in rules]
    assert len(codes) == len(set(codes)) >= 60
    assert find("LANG039") is errors.UNKNOWN_TYPE
