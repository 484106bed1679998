"""What single commands tell: the story of an intent, several files at once, the schema, versions."""

import json
from itertools import takewhile
from pathlib import Path

import pytest
from tests.patchgen.support import SEED, patchgen, text_of

from backstay.core.duration import parse_duration
from backstay.patchgen.render import FILES, render
from backstay.patchgen.schema import schema_text
from backstay.patchgen.validate import require


def origins(shown: str) -> dict[str, tuple[str, str]]:
    """Value and origin of each field: the lines after the first, as long as two blanks begin them."""
    lines = takewhile(lambda line: line.startswith("  "), shown.splitlines()[1:])
    return {line[2:18].strip(): (line[18:47].strip(), line[47:]) for line in lines}


def test_explain_tells_where_each_field_and_each_moment_came_from() -> None:
    text = '{"intent_type": "scaling", "target": "web",\n "namespace": "shop",\n "replicas": 3}'
    done = patchgen("explain", text=text)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"shape: flat, {len(text)} bytes\n")
    found = origins(done.stdout)
    assert found["target"] == ("web", "/target, line 1, column 38")
    assert found["namespace"] == ("shop", "/namespace, line 2, column 15")
    assert found["replicas"] == ("3", "/replicas, line 3, column 14")
    assert found["target_kind"] == ("Deployment", "default")
    lines = dict(line.split(None, 1) for line in done.stdout.splitlines() if line.startswith(" "))
    package = render(require(text.encode()))
    assert {name: lines[name] for name in FILES} == {
        name: f"{len(content)} bytes" for name, content in package.files.items()
    }
    assert f"\nname:   {package.name} " in done.stdout
    assert f"\nhash:   sha256:{package.intent_hash}\n" in done.stdout
    # What the hash is made of is an intent again, and the same one.
    canonical = done.stdout.partition("\nintent: ")[2].partition("\n")[0]
    assert render(require(canonical.encode())).name == package.name
    took = done.stdout.partition("\ntime:\n")[2].splitlines()
    assert [line.rsplit(None, 1)[0].strip() for line in took] == [
        "validation", "finding origins", "rendering",
    ]  # fmt: skip
    assert all(parse_duration(line.rsplit(None, 1)[1]) > 0 for line in took)


def test_explain_points_into_an_older_shape_and_tells_what_is_wrong_there(tmp_path: Path) -> None:
    older = {"resource_name": "web", "namespace": "shop", "target_scale": 300}
    file = tmp_path / "older.json"
    file.write_text(json.dumps(older))
    column = file.read_text().index("300") + 1
    done = patchgen("explain", str(file))
    assert done.returncode == 1
    found = origins(done.stdout)
    assert found["intent_type"] == ("scaling", "implied by the shape")
    assert found["replicas"] == ("300", f"/target_scale, line 1, column {column}")
    assert "replicas out of range: 300" in done.stderr
    assert "name:" not in done.stdout
    file.write_text(json.dumps({**older, "target_scale": 30}))
    told = json.loads(patchgen("explain", str(file), "--format", "json").stdout)
    assert told["report"]["shape"] == "scaling-document"
    assert [one["code"] for one in told["report"]["warnings"]] == ["PATCH045"]
    assert told["package"] == render(require(file.read_bytes())).name
    assert set(told["files"]) == set(FILES)
    assert patchgen("explain", str(file), "--strict").returncode == 1


def test_explain_of_what_is_no_json_tells_that(tmp_path: Path) -> None:
    done = patchgen("explain", text='{"a": 1,}')
    assert done.returncode == 1
    assert "Trailing comma" in done.stderr
    assert patchgen("explain", str(tmp_path / "none")).returncode == 2


def test_several_files_are_judged_by_name_and_one_bad_one_is_enough(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_bytes(text_of())
    bad.write_bytes(text_of(replicas=101))
    done = patchgen("validate", str(good), str(bad))
    assert done.returncode == 1
    assert done.stdout == f"{good}: valid: scaling Deployment default/test to 3\n"
    assert done.stderr.startswith(f"{bad}: schema validation failed: replicas out of range: 101")
    told = json.loads(patchgen("validate", str(good), str(bad), "--format", "json").stdout)
    assert [(one["file"], one["valid"]) for one in told] == [(str(good), True), (str(bad), False)]
    assert told[0]["intent"]["target"] == SEED["target"]
    assert told[1]["errors"][0]["pointer"] == "/replicas"
    assert patchgen("validate", str(good), str(tmp_path / "none")).returncode == 2


def test_the_published_schema_and_the_versions_are_printed() -> None:
    assert patchgen("schema").stdout == schema_text()
    shown = patchgen("version").stdout
    assert "schema 1.0.0" in shown
    assert "generator patchgen/1" in shown


@pytest.mark.parametrize(("text", "code"), [(b'{"a" 1}', 1), (text_of(), 0)])
def test_diagnose_says_what_is_wrong_with_a_json_text(
    tmp_path: Path, text: bytes, code: int
) -> None:
    file = tmp_path / "intent.json"
    file.write_bytes(text)
    done = patchgen("diagnose", "--json-text", str(file))
    assert done.returncode == code
    assert ("A colon is missing" in done.stderr) == bool(code)
