"""Programs shown in the documentation are programs."""

import re
from pathlib import Path

import pytest

from backstay.lang.api import check_text

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```cai\n(.*?)^```", re.DOTALL | re.MULTILINE)
PROGRAMS = [
    pytest.param(f"{page.name}", match.group(1), id=f"{page.stem}-{number}")
    for page in [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
    for number, match in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8")), start=1)
]


def test_there_is_one_to_look_at() -> None:
    assert PROGRAMS


@pytest.mark.parametrize(("page", "text"), PROGRAMS)
def test_a_shown_program_checks_without_a_word(page: str, text: str) -> None:
    program, diagnostics = check_text(page, text)
    assert diagnostics == []
    assert program is not None


def test_the_orders_example_checks_without_a_word() -> None:
    file = ROOT / "examples" / "orders" / "app.cai"
    program, diagnostics = check_text(file.name, file.read_text(encoding="utf-8"))
    assert diagnostics == []
    assert program is not None
