"""The examples and the starters: valid, laid out, and between them every construct there is."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lang.format.meant import respelled
from tests.lang.test_commands import codeai

from backstay.app.unsupported import problems
from backstay.core.errors import Plain
from backstay.lang.api import check_text, parse_text
from backstay.lang.format import format_text
from backstay.lang.starters import STARTERS, starter
from backstay.lang.tree import plain
from backstay.lang.tree_schema import schema

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted(ROOT.glob("examples/**/*.cai"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_valid_without_a_warning_and_laid_out(path: Path) -> None:
    text = path.read_text()
    program, found = check_text(path.name, text)
    assert program is not None
    assert found == []
    if not path.stem.startswith("original"):
        assert format_text(text) == text


@pytest.mark.parametrize("name", ["database", "endpoints", "events"])
def test_an_example_in_the_old_spelling_is_the_same_program_in_the_new_one(name: str) -> None:
    text = (ROOT / f"examples/language/original-{name}.cai").read_text()
    assert (respelled(text) == text) == (name == "database")


def test_the_examples_use_every_kind_of_node() -> None:
    assert len(EXAMPLES) >= 12
    used = {
        kind
        for path in EXAMPLES
        for kind in _kinds(plain(parse_text(path.name, path.read_text())[0]))
    }
    known = schema()["$defs"]
    assert isinstance(known, dict)
    assert set(known) - used == set()


def _kinds(node: Plain) -> Iterator[str]:
    if isinstance(node, dict):
        if "kind" in node:
            yield str(node["kind"])
        for value in node.values():
            yield from _kinds(value)
    elif isinstance(node, list):
        for value in node:
            yield from _kinds(value)


@pytest.mark.parametrize("name", STARTERS)
def test_a_starter_can_be_served_as_it_is(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    made = codeai("new", str(folder), "--starter", name)
    assert (made.returncode, made.stderr) == (0, b"")
    text = (folder / "app.cai").read_text()
    assert text == starter(name) == format_text(text)
    program, found = check_text("app.cai", text)
    assert program is not None
    assert found == []
    assert problems(program) == []
    assert codeai("validate", "--strict", str(folder)).returncode == 0


def test_new_changes_nothing_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "app.cai").write_text("mine")
    for place in (tmp_path, tmp_path / "app.cai"):
        done = codeai("new", str(place))
        assert done.returncode == 2
        assert b"LANG125" in done.stderr
    assert (tmp_path / "app.cai").read_text() == "mine"
