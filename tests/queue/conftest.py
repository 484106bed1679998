"""One server that gentle tests share (each uses commands of its own), started once."""

from collections.abc import Iterator

import pytest
from tests.queue.support import Server, serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("queue")
    config = folder / "config.yaml"
    config.write_text(
        "backoffPolicy: fixed\nbackoffBaseSeconds: 0.3\nmaxAttemptsDefault: 10\n"
        "maxPayloadBytes: 20000\n"
    )
    with serving(folder / "data", "--config", str(config), env={"LOG_LEVEL": "debug"}) as server:
        yield server


@pytest.fixture
def command(request: pytest.FixtureRequest) -> str:
    """A command that no other test uses."""
    return request.node.name.replace("[", "_").replace("]", "").replace("-", "_")[:100].upper()
