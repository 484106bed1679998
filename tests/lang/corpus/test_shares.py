"""The corpus as a whole: single mistakes in real programs, by hand and by rule, and how many of them
are told at the right place, with the right fix, and with nothing beside."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.lang.corpus import by_hand
from tests.lang.test_mistakes import errors

from backstay.lang.diagnostics import Edit

FOLDER = Path(__file__).parent


class Mistake(NamedTuple):
    """`fix` is None where no edit is sensible."""

    name: str
    text: str
    place: tuple[int, int]
    code: str
    fix: str | None


def offset(text: str, line: int, column: int) -> int:
    return sum(len(each) + 1 for each in text.split("\n")[: line - 1]) + column - 1


def numbers(place: str) -> tuple[int, int]:
    line, column = place.split(":")
    return int(line), int(column)


def mutations() -> Iterator[Mistake]:
    for row in (FOLDER / "mutations.tsv").read_text().split("\n"):
        if not row or row.startswith("#"):
            continue
        file, edit, old, new, place, code, fix, rule = row.split("\t")
        program = (FOLDER / file).read_text()
        start = offset(program, *numbers(edit))
        assert program.startswith(old, start), row
        text = program[:start] + new + program[start + len(old) :]
        yield Mistake(f"{file}:{edit} {rule}", text, numbers(place), code, fix)


def corpus() -> list[Mistake]:
    hand = [
        Mistake(each.name, each.text, (each.line, each.column), each.code, each.fix)
        for each in by_hand.mistakes()
    ]
    return [*hand, *mutations()]


def mends(text: str, edit: Edit) -> bool:
    span = edit.span
    start = offset(text, span.line, span.column)
    end = offset(text, span.end_line, span.end_column)
    return not errors(text[:start] + edit.text + text[end:])


def test_programs_of_the_corpus_are_sound() -> None:
    for path in (*FOLDER.glob("*.cai"), *by_hand.OVER.values()):
        assert errors(path.read_text()) == [], path.name


def test_place_fix_and_number_of_diagnostics() -> None:
    """A fix is right when it is the expected text and the program is sound once it is applied."""
    every = corpus()
    placed = coded = told = fixable = fixed = 0
    for mistake in every:
        found = errors(mistake.text)
        told += len(found)
        first = found[0] if found else None
        right = first is not None and (first.span.line, first.span.column) == mistake.place
        code = first is not None and first.code == mistake.code
        placed, coded = placed + right, coded + code
        mended = False
        if mistake.fix is not None:
            fixable += 1
            edit = first.edit if first else None
            mended = (
                edit is not None
                and edit.text.strip() == mistake.fix.strip()
                and mends(mistake.text, edit)
            )
            fixed += mended
        if not right or not code or (mistake.fix is not None and not mended):
            print(f"{mistake.name}: wanted {mistake.place} {mistake.code}, told {first}")
    print(f"{len(every)} mistakes: line and column right {placed / len(every):.1%}, code "
          f"{coded / len(every):.1%}, fix {fixed / fixable:.1%} of {fixable}, "
          f"{told / len(every):.3f} diagnostics a mistake")  # fmt: skip
    assert len(every) >= 250
    assert placed / len(every) >= 0.97
    assert coded / len(every) >= 0.97
    assert fixed / fixable >= 0.90
    assert told / len(every) <= 1.15
