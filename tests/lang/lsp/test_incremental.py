"""A text that changes key by key gives what the whole text gives, and little of it is read again."""

import random

import pytest

from backstay.lang.api import check_text
from backstay.lang.lsp.incremental import Document
from backstay.lang.lsp.project import Project

PIECES = ["{", "}", '"', "/*", "*/", '"""', "(", ")", "entity ", "entity X {\n", "\n", "}\n", ":", "#", " ",
          "job ", "where", "\0", "é", "endpoint GET /x {\n", "config", "workflow", "\t", ", required", "~"]  # fmt: skip


def told(project: Project) -> list[object]:
    return list(project.analysis.found["app.cai"])


def edited(text: str, dice: random.Random) -> str:
    at = dice.randrange(len(text))
    cut = dice.choice([0, 0, 1, 3, 40])
    return text[:at] + dice.choice(["", *PIECES]) + text[at + cut :]


@pytest.mark.parametrize("seed", range(8))
def test_an_edit_gives_the_diagnostics_of_the_whole_text(source: str, seed: int) -> None:
    dice = random.Random(seed)
    project = Project()
    project.put("app.cai", source)
    for _ in range(25):
        text = edited(source, dice)
        project.put("app.cai", text)
        assert told(project) == check_text("app.cai", text)[1]


@pytest.mark.parametrize("seed", range(8))
def test_many_edits_are_mistakes_exactly_when_they_are_in_the_whole_text(
    source: str, seed: int
) -> None:
    """Braces that are missing in several declarations are mended in each of them alone, so there
    the two may name different places."""
    dice = random.Random(seed)
    project = Project()
    text = source
    for _ in range(12):
        text = edited(text, dice)
        project.put("app.cai", text)
        assert bool(told(project)) == bool(check_text("app.cai", text)[1])
    project.put("app.cai", source)
    assert told(project) == []


def test_only_the_changed_declaration_is_parsed_again(source: str) -> None:
    document = Document("app.cai", source)
    assert document.parsed == len(source)
    changed = source.replace("stock: int, required", "stock: int, requiredx")
    document.change(changed)
    assert 0 < document.parsed < 500
    document.change("# one more line\n\n" + changed)
    assert document.parsed < 200


@pytest.mark.parametrize("opener", ["/*", '"""'])
def test_what_an_open_comment_or_text_hid_is_not_parsed_again(source: str, opener: str) -> None:
    document = Document("app.cai", source)
    at = source.index("stock: int, required")
    for typed in (opener, opener + "x", opener + "xy"):
        document.change(source[:at] + typed + source[at:])
        assert document.tree()[1].cut
    document.change(source)
    assert document.parsed < 500
    assert document.tree()[0] == Document("app.cai", source).tree()[0]


def test_a_moved_declaration_keeps_its_tree_and_gets_its_new_place(source: str) -> None:
    project = Project()
    broken = source.replace("price: decimal(10, 2)", "price: decmal(10, 2)")
    project.put("app.cai", broken)
    [before] = project.analysis.found["app.cai"]
    project.put("app.cai", "\n\n\n" + broken)
    [after] = project.analysis.found["app.cai"]
    assert after.span.line == before.span.line + 3
    assert after.edit is not None
    assert after.edit.span == after.span


def test_sources_of_a_folder_are_one_program() -> None:
    project = Project()
    project.put("a.cai", "entity A {\n  id: uuid, primary, auto\n  b: ref(B)\n}\n")
    assert [each.code for each in project.analysis.found["a.cai"]] == ["LANG032"]
    project.put("b.cai", "entity B {\n  id: uuid, primary, auto\n}\n")
    assert project.analysis.found["a.cai"] == []
    project.drop("b.cai")
    assert [each.code for each in project.analysis.found["a.cai"]] == ["LANG032"]
