"""What a server leaves behind that was asked to end: what docs/explanation/processes-and-trust names."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.queue.support import serving

from backstay.core.runtime import find_runtime


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose sockets have room for their names, which `tmp_path` has not always."""
    with tempfile.TemporaryDirectory(prefix="backstay-tests-") as folder:
        yield Path(folder)


@pytest.mark.parametrize("name", ["data", "far" * 40], ids=["near", "far"])
def test_a_server_that_ends_leaves_its_store_and_why_it_ended(
    short: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = short / "tmp"
    temporary.mkdir()
    data = short / name
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


def test_a_temporary_folder_that_is_too_long_for_sockets_is_not_used(short: Path) -> None:
    temporary = short / ("far" * 40)
    temporary.mkdir()
    with serving(short / ("far" * 40) / "data", env={"TMPDIR": str(temporary)}) as server:
        server.create("PRINT")
        runtime = Path((server.data / "run.path").read_text().strip())
        assert runtime.parent == Path("/tmp")
        assert (runtime / "queue.ctl").exists()
        assert server.stop() == 0
    (runtime / "queue.exit.json").unlink()
    runtime.rmdir()
