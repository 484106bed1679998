"""What `codeai parse --output json` prints, against its schema, by a validator of others."""

import json
from pathlib import Path

import jsonschema_rs
import pytest
from tests.lang.test_commands import codeai

from backstay.lang.tree import VERSION
from backstay.lang.tree_schema import schema, shipped

ROOT = Path(__file__).parents[3]
PROGRAMS = sorted((*(ROOT / "tests/lang/programs").glob("*.cai"), *ROOT.glob("examples/**/*.cai")))


def test_the_shipped_file_is_what_the_nodes_say() -> None:
    assert json.loads(shipped()) == json.loads(json.dumps(schema()))
    assert jsonschema_rs.meta.is_valid(json.loads(shipped()))


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_every_program_prints_a_tree_of_the_schema(path: Path) -> None:
    done = codeai("parse", str(path), "--output", "json")
    assert done.returncode == 0, done.stderr
    tree = json.loads(done.stdout)
    validator = jsonschema_rs.validator_for(json.loads(shipped()))
    assert [each.message for each in validator.iter_errors(tree)] == []
    assert tree["declarations"]


def test_a_broken_file_prints_one_too_and_the_schema_is_no_formality() -> None:
    done = codeai("parse", "-", "--output", "json", stdin=b"entity A { id uuid }\njob {")
    tree = json.loads(done.stdout)
    validator = jsonschema_rs.validator_for(json.loads(shipped()))
    assert validator.is_valid(tree)
    assert tree["version"] == VERSION
    assert not validator.is_valid({**tree, "version": VERSION + 1})
    tree["declarations"][0]["keyword"]["kind"] = "Word"
    assert not validator.is_valid(tree)
