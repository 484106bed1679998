"""Reads the corpus of mistakes: data with the expected place, code and fix."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[3]
PROGRAM = ROOT / "examples" / "orders" / "app.cai"
MARK = "⟦"


class Mistake(msgspec.Struct, frozen=True):
    """`fix` is None where no edit is sensible."""

    name: str
    code: str
    fix: str | None
    text: str
    line: int
    column: int


def mistakes() -> Iterator[Mistake]:
    program = PROGRAM.read_text()
    cases = (Path(__file__).parents[1] / "mistakes" / "orders.txt").read_text().split("\n== ")[1:]
    for case in cases:
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
