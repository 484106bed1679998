"""What every test folder shares. Fixtures of one room live in that room's conftest."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ("pytester", "tests.conformance.plugin", "tests.servers.fixtures", "tests.torture")


@pytest.fixture(scope="session", autouse=True)
def _own_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A data folder with a long path has its runtime folder in the system's temporary one: here
    in one of this session's, so that nothing stays behind."""
    tmp_path_factory.getbasetemp()  # itself stays where it is: people look there after a failure
    with (
        tempfile.TemporaryDirectory(prefix="bs-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        Path(folder).chmod(0o711)  # servers that refuse to run as root pass through
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield
