"""What a server leaves behind that was asked to end: what docs/explanation/processes-and-trust names."""

from pathlib import Path

import pytest
from tests.queue.support import serving

from backstay.core.runtime import find_runtime


@pytest.mark.parametrize("name", ["data", "far" * 40], ids=["near", "far"])
def test_a_server_that_ends_leaves_its_store_and_why_it_ended(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    data = tmp_path / name
    with serving(data, env={"TMPDIR": str(temporary)}) as server:
        server.create("PRINT")
        monkeypatch.setattr("tempfile.tempdir", str(temporary))
        runtime = find_runtime(data)
        assert (runtime / "queue.ctl").exists()
        assert server.stop() == 0
    far = name != "data"
    assert sorted(path.name for path in runtime.iterdir()) == ["queue.exit.json"]
    assert list(temporary.iterdir()) == ([runtime] if far else [])
    beside = "run.path" if far else "run"
    assert sorted(path.name for path in data.iterdir()) == ["queue.db", "queue.db.lock", beside]
