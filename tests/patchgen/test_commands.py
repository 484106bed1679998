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
from backstay.patchgen.write import STAGE_PREFIX


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


def test_programs_are_told_as_json(tmp_path: Path) -> None:
    """Of the commands about packages, and of those that help."""
    file = tmp_path / "intent.json"
    file.write_bytes(text_of())
    made = json.loads(
        patchgen(
            "generate", "-intent", str(file), "-output", str(tmp_path), "--format", "json"
        ).stdout
    )
    path = made["placed"]["path"]
    [found] = json.loads(patchgen("verify", path, "--format", "json").stdout)
    assert (found["changed"], found["intent"]["replicas"]) == ("", SEED["replicas"])
    assert json.loads(patchgen("version", "--format", "json").stdout)["schema"] == "1.0.0"
    [row] = json.loads(patchgen("errors", "permission denied", "--format", "json").stdout)
    assert row["solution"] == "Check file permissions"
    told = json.loads(
        patchgen("batch", str(file), "-output", str(tmp_path), "--format", "json").stdout
    )
    assert (told["total"], told["counts"]["unchanged"]) == (1, 1)


def test_undo_plans_refuses_what_is_in_the_way_and_diff_wants_two(tmp_path: Path) -> None:
    done = patchgen("generate", "-intent", "-", "-output", str(tmp_path), text=text_of().decode())
    path = done.stdout.strip()
    planned = patchgen("undo", path, "--to", "1", "--dry-run")
    assert (planned.returncode, planned.stderr) == (0, "dry run: nothing was written\n")
    place = Path(planned.stdout.strip())
    assert not place.exists()
    place.write_text("somebody's")
    taken = patchgen("undo", path, "--to", "1")
    assert taken.returncode == 1
    assert "PATCH067" in taken.stderr
    assert place.read_text() == "somebody's"
    assert patchgen("diff", path).returncode == 2


def test_a_batch_tells_what_it_sweeps_and_writes_a_profile(tmp_path: Path) -> None:
    out, source, profile = tmp_path / "out", tmp_path / "in.jsonl", tmp_path / "mem.prof"
    (out / f"{STAGE_PREFIX}left" / "half").mkdir(parents=True)
    source.write_bytes(text_of())
    words = ("batch", str(source), "-output", str(out), "--memprofile", str(profile))
    done = patchgen(*words)
    assert done.returncode == 0, done.stderr
    assert "removed 1 half-written packages of a former run" in done.stderr
    assert profile.read_bytes()[:2] == b"\x1f\x8b"  # gzip, as pprof wants it
    closed = patchgen(*words[:-1], str(tmp_path / "none" / "mem.prof"))
    assert closed.returncode == 1
    assert "choose another file for the profile" in closed.stderr


@pytest.mark.parametrize(("text", "code"), [(b'{"a" 1}', 1), (text_of(), 0)])
def test_diagnose_says_what_is_wrong_with_a_json_text(
    tmp_path: Path, text: bytes, code: int
) -> None:
    file = tmp_path / "intent.json"
    file.write_bytes(text)
    done = patchgen("diagnose", "--json-text", str(file))
    assert done.returncode == code
    assert ("A colon is missing" in done.stderr) == bool(code)
