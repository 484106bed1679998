"""The running example, checked once."""

from pathlib import Path

import pytest

from backstay.lang.api import check_text
from backstay.lang.program import Program

PROGRAM = Path(__file__).parents[2] / "examples" / "orders" / "app.cai"


@pytest.fixture(scope="session")
def source() -> str:
    return PROGRAM.read_text()


@pytest.fixture(scope="session")
def orders(source: str) -> Program:
    program, found = check_text("app.cai", source)
    assert found == []
    assert program is not None
    return program
