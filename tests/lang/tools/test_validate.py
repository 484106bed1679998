"""What `codeai validate` promises beyond a single file."""

import json

from tests.lang.test_commands import codeai

WARNS = b"""
entity Item {
  id: uuid, primary, auto
  n: int
}

job j {
  schedule: "0 0 * * *"
  do {
    let n = 1
    delete Item where n == n
  }
}
"""


def test_at_most_a_hundred_are_shown_and_the_rest_counted() -> None:
    text = "entity A {\n  id: uuid, primary, auto\n" + "".join(
        f"  f{number}: Missing{number}\n" for number in range(130)
    )
    done = codeai("validate", "-", stdin=(text + "}\n").encode())
    said = done.stderr.decode()
    assert done.returncode == 1
    assert said.count("unknown type 'Missing") == 100
    assert "and 30 more" in said
    places = [line.split(":")[1] for line in said.split("\n") if line.startswith("<stdin>:")]
    assert places == sorted(places, key=int)
    table = codeai("validate", "-", "--output", "table", stdin=(text + "}\n").encode())
    assert "and 30 more" in table.stderr.decode()
    data = codeai("validate", "-", "--output", "json", stdin=(text + "}\n").encode())
    assert len(json.loads(data.stdout)["diagnostics"]) == 130


def test_strict_makes_warnings_count() -> None:
    gentle = codeai("validate", "-", stdin=WARNS)
    assert gentle.returncode == 0
    assert b"warning LANG" in gentle.stderr
    strict = codeai("validate", "-", "--strict", stdin=WARNS)
    assert strict.returncode == 1
    assert b"valid:" not in strict.stdout
    data = codeai("validate", "-", "--strict", "--output", "json", stdin=WARNS)
    assert data.returncode == 1
    assert json.loads(data.stdout)["valid"] is False
