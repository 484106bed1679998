"""What a program reads from its surroundings: variables, and files that variables name."""

from pathlib import Path

import pytest

from backstay.app.environment import read_environment
from backstay.core.errors import Fault
from backstay.core.redact import redactor
from backstay.lang.api import check_text
from backstay.lang.program import Program


def program() -> Program:
    made, found = check_text(
        "app.cai",
        'integration S { type: rest\n base_url: env("S_URL")\n auth: basic(env("S_USER", "ada"), env("S_WORD"))\n'
        ' operation get { method: GET\n path: "/" } }',
    )
    assert made is not None, found
    return made


def test_a_secret_from_a_file_is_read_without_its_line_end_and_hidden(tmp_path: Path) -> None:
    file = tmp_path / "word"
    file.write_text("the word of the file\r\n")
    given = {"S_URL": "http://127.0.0.1:9", "S_WORD_FILE": str(file)}
    values = read_environment(program(), given)
    assert values == {
        "S_URL": "http://127.0.0.1:9",
        "S_USER": "ada",
        "S_WORD": "the word of the file",
    }
    assert "the word" not in redactor().redact("it said: the word of the file")


def test_the_variable_itself_comes_first(tmp_path: Path) -> None:
    given = {"S_URL": "u", "S_WORD": "from the variable", "S_WORD_FILE": str(tmp_path / "absent")}
    assert read_environment(program(), given)["S_WORD"] == "from the variable"


def test_a_file_that_cannot_be_read_is_named_and_so_are_variables_that_are_missing(
    tmp_path: Path,
) -> None:
    absent = tmp_path / "absent"
    with pytest.raises(Fault) as unread:
        read_environment(program(), {"S_URL": "u", "S_WORD_FILE": str(absent)})
    assert unread.value.entry.code == "APP073"
    assert str(absent) in unread.value.message
    with pytest.raises(Fault, match="S_URL, S_WORD") as missing:
        read_environment(program(), {})
    assert missing.value.entry.code == "APP002"
