"""What a statement about patchgen begins with: an intent in a file, and a folder for packages."""

from pathlib import Path

import pytest
from tests.conformance.proofs.intents import SEED


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "intent.json"
    path.write_text(SEED)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder
