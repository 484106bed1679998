"""One mistake in a real program: the right place, the right code, the right fix, nothing else."""

import pytest
from tests.lang.corpus import by_hand

from backstay.lang.api import check_text
from backstay.lang.diagnostics import Diagnostic, Edit
from backstay.lang.lexer import lex
from backstay.lang.reports import Reports

MISTAKES = list(by_hand.mistakes())
QUERIES = frozenset(f"LANG{number}" for number in range(140, 151))


def applied(text: str, edit: Edit) -> str:
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    start = starts[edit.span.line - 1] + edit.span.column - 1
    end = starts[edit.span.end_line - 1] + edit.span.end_column - 1
    return text[:start] + edit.text + text[end:]


def errors(text: str) -> list[Diagnostic]:
    """What is wrong, queries in steps among it, which are served with a warning (C13)."""
    found = check_text("app.cai", text)[1]
    return [each for each in found if each.severity == "error" or each.code in QUERIES]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_one_mistake_is_one_diagnostic_at_its_place(mistake: by_hand.Mistake) -> None:
    found = errors(mistake.text)
    assert [(each.span.line, each.span.column, each.code) for each in found] == [
        (mistake.line, mistake.column, mistake.code)
    ]
    edit = found[0].edit
    assert (edit.text if edit else None) == mistake.fix


@pytest.mark.parametrize(
    "mistake", [each for each in MISTAKES if each.fix is not None], ids=lambda mistake: mistake.name
)
def test_the_offered_fix_removes_the_mistake(mistake: by_hand.Mistake) -> None:
    edit = errors(mistake.text)[0].edit
    assert edit is not None
    assert errors(applied(mistake.text, edit)) == []


def test_the_corpus_is_large_and_covers_most_codes() -> None:
    assert len(MISTAKES) >= 190
    assert len({mistake.code for mistake in MISTAKES}) >= 50


def test_any_word_with_a_letter_missing_is_found_with_a_fix(source: str) -> None:
    """Every longer word loses its middle letter in turn. Where the name of a declaration is the
    misspelt one, its uses are what does not fit, so the place is that of the first use."""
    words = [each for each in lex(source, Reports("app.cai")).tokens if each.kind == "ident"]
    mistakes = fixed = diagnostics = 0
    for token in [each for each in words if len(each.text) > 4][::2]:
        middle = token.start + len(token.text) // 2
        found = errors(source[:middle] + source[middle + 1 :])
        if found:
            mistakes += 1
            diagnostics += len(found)
            fixed += any(each.edit is not None for each in found)
    assert mistakes > 150
    assert fixed / mistakes >= 0.97
    assert diagnostics / mistakes <= 1.05


def test_any_deleted_token_is_found_on_its_line(source: str) -> None:
    """Every token of the program is taken out in turn: 97 of 100 times the first diagnostic is on
    the line of the deletion, and there are at most 1.05 diagnostics a mistake."""
    tokens = lex(source, Reports("app.cai")).tokens[:-1]
    mistakes = right = diagnostics = 0
    for token in tokens[::2]:
        found = errors(source[: token.start] + source[token.end :])
        if found:
            mistakes += 1
            diagnostics += len(found)
            right += found[0].span.line == token.line
    assert mistakes > 500
    assert right / mistakes >= 0.97
    assert diagnostics / mistakes <= 1.05
