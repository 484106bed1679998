import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from world import World


@pytest.fixture
async def world(tmp_path, monkeypatch):
    monkeypatch.delenv("JWT_SECRET", raising=False)
    made = World(tmp_path)
    await made.start()
    yield made
    await made.close()
