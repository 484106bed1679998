"""Reads the corpus of mistakes: data with the expected place, code and fix."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[2]
PROGRAM = ROOT / "examples" / "orders" / "app.cai"
MARK = "⟦"


OVER = {
    "orders": PROGRAM,
    "old": FOLDER / "original.cai",
    "script": FOLDER / "script.cai",
    "tests": FOLDER / "tests.cai",
    "work": FOLDER / "business.cai",
}
"""Each list of mistakes, and the program that they are made in."""


class Mistake(msgspec.Struct, frozen=True):
    """`fix` is None where no edit is sensible."""

    name: str
    code: str
    fix: str | None
    text: str
    line: int
    column: int


def mistakes() -> Iterator[Mistake]:
    for name, program in OVER.items():
        yield from _made_in(program.read_text(), FOLDER.parent / "mistakes" / f"{name}.txt")


def _made_in(program: str, cases: Path) -> Iterator[Mistake]:
    for case in cases.read_text().split("\n== ")[1:]:
        head, old, new = case.rstrip("\n").split("\n")[:3]
        name, code, fix = head.split("|", 2)
        # One space belongs to the layout; more are part of the edit.
        words = (name.strip(), code.strip(), fix[1:])
        yield _mistake(program, *words, _lines(old[2:]), _lines(new[2:]))


def _lines(text: str) -> str:
    return text.replace("\\n", "\n")


def _mistake(program: str, name: str, code: str, fix: str, old: str, new: str) -> Mistake:
    assert program.count(old) == 1, f"{name}: the text stands {program.count(old)} times"
    text = program.replace(old, new)
    before = text[: text.index(MARK)]
    return Mistake(
        name=name,
        code=code,
        fix=None if fix == "-" else _lines(fix),
        text=text.replace(MARK, ""),
        line=before.count("\n") + 1,
        column=len(before) - before.rfind("\n"),
    )
