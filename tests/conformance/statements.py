"""The five lists of testable statements, and which of them a test claims to prove."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

LISTS = Path(__file__).parent / "lists"
LETTERS: Mapping[str, str] = {
    "Q": "queue.md",
    "C": "app.md",
    "D": "discord.md",
    "P": "patchgen.md",
    "G": "platform.md",
}
_STATEMENT = re.compile(r"^- \*\*([A-Z])(\d+)\*\* (.+)$", re.MULTILINE)
_NAMED = re.compile(r"^test_((?:[QCDPG]\d+_)*[QCDPG]\d+)(?:_|\[|$)")


def statements() -> dict[str, str]:
    """Text by id, in the order of the lists. Raises ValueError on a gap or a foreign letter."""
    found: dict[str, str] = {}
    for letter, file in LETTERS.items():
        text = (LISTS / file).read_text(encoding="utf-8")
        entries = [match.groups() for match in _STATEMENT.finditer(text)]
        expected = [(letter, str(number)) for number in range(1, len(entries) + 1)]
        if [(own, number) for own, number, _ in entries] != expected:
            raise ValueError(f"{file} must count {letter}1, {letter}2, … without a gap")
        found.update({f"{letter}{number}": says for _, number, says in entries})
    return found


def ids_in_name(name: str) -> list[str]:
    """`test_Q12_Q13_a_thing` names Q12 and Q13."""
    match = _NAMED.match(name)
    return match.group(1).split("_") if match else []


def unknown(ids: Iterable[str], known: Mapping[str, str]) -> list[str]:
    """Ids that no list has: a typing mistake must not count as coverage."""
    return sorted(set(ids) - known.keys())
