"""What `codeai validate` promises beyond a single file."""

import json
from pathlib import Path

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


SERVED = b"""
entity Item {
  id: uuid, primary, auto
  n: text
  index: [n] text
}

endpoint GET /items {
  auth: public
  returns: paginated(Item)
}
"""


def test_what_a_server_would_refuse_is_a_warning_at_its_place() -> None:
    done = codeai("validate", "-", stdin=SERVED)
    assert done.returncode == 0
    said = done.stderr.decode().split("\n")
    assert said[0] == (
        "<stdin>:5:10: warning LANG118: UnsupportedError: no server runs an index of this kind yet"
    )
    assert "  hint: mark the fields searchable to look through texts; places have no index" in said
    assert b"valid: 1 entity, 1 endpoint" in done.stdout
    assert codeai("validate", "-", "--strict", stdin=SERVED).returncode == 1


def test_each_refusal_of_a_server_is_one_warning(tmp_path: Path) -> None:
    """As many places are told as `codeai server` names when it refuses the same file."""
    file = tmp_path / "app.cai"
    file.write_bytes(
        SERVED + b"function half(n: int) { return n / 2 }\nvar x = half(3)\nif x > 1 { print(x) }\n"
    )
    found = json.loads(codeai("validate", str(file), "-o", "json").stdout)["diagnostics"]
    warned = [each for each in found if each["code"] == "LANG118"]
    refused = codeai("server", str(file), "--data", str(tmp_path / "data")).stderr.decode()
    places = {(each["span"]["line"], each["span"]["column"]) for each in warned}
    assert len(places) == len(warned) == 3
    for line, column in places:
        assert f"app.cai:{line}:{column}: " in refused


def test_a_script_is_not_meant_for_a_server() -> None:
    done = codeai("validate", "-", stdin=b"var x = [1, 2]\nfor y in x { print(y) }\n")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"valid: 2 statements" in done.stdout


def test_a_file_that_cannot_be_read_is_a_diagnostic_in_json(tmp_path: Path) -> None:
    for path, code in ((tmp_path / "no.cai", "LANG120"), (tmp_path, "LANG121")):
        done = codeai("validate", str(path), "-o", "json")
        assert (done.returncode, done.stderr) == (2, b"")
        answer = json.loads(done.stdout)
        assert answer["valid"] is False
        (problem,) = answer["diagnostics"]
        assert (problem["code"], problem["span"]["file"]) == (code, str(path))
