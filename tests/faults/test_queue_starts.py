"""Each broken configuration: the last lines of the server name the cause, and so does the doctor, from
those lines (all that `kubectl logs --previous` gives) or from what lies in the data folder."""

import contextlib
import shutil
import socket
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.faults.consulting import assert_named, assert_silent
from tests.queue.support import Server, serving
from tests.servers.require import absent
from tests.servers.valkey import RedisServer

from backstay.queue.store.redis_layout import SCHEMA, SCHEMA_VERSION

_LAST = 12

BAD_YAML = "logLevel: [\n"
BAD_VALUE = "maxAttemptsDefault: many\n"


def last_words(server: Server) -> tuple[str, int]:
    """What it said last, and the exit code; it must not stay."""
    server.launch()
    assert server.process is not None
    code = server.process.wait(30)
    server.process = None
    said = "\n".join(server.log_file.read_text().splitlines()[-_LAST:])
    assert "Traceback" not in said
    assert code != 0
    return said, code


def broken(folder: Path, env: Mapping[str, str], config: str = "", listen: str = "") -> Server:
    words: list[str] = []
    if config:
        file = folder / "config.yaml"
        file.write_text(config)
        words = ["--config", str(file)]
    if listen:
        words += ["--listen", f"{listen}:0"]
    return Server(folder / "data", *words, env=env)


@pytest.mark.seed("Q40")
@pytest.mark.parametrize(
    ("env", "config", "listen", "names", "cause"),
    [
        ({}, BAD_YAML, "", "config.yaml:2:1: YAML syntax", "bad-yaml"),
        ({}, BAD_VALUE, "", "maxAttemptsDefault", "bad-setting"),
        ({"MAX_ATTEMPTS_DEFAULT": "0"}, "", "", "MAX_ATTEMPTS_DEFAULT", "bad-setting"),
        ({"CODEQ_ENV": "production"}, "", "", "WEBHOOK_HMAC_SECRET", "setting-missing"),
        ({"REDIS_ADDR": "127.0.0.1:1"}, "", "", "127.0.0.1:1", "redis-away"),
        ({"REDIS_ADDR": "a:b:c"}, "", "", "REDIS_ADDR", "bad-store-address"),
        ({}, "", "0.0.0.0", "without authentication", "open-without-tokens"),
    ],
    ids=["yaml", "value", "variable", "missing", "store", "address", "open"],
)
def test_the_last_lines_name_the_cause(
    tmp_path: Path, env: dict[str, str], config: str, listen: str, names: str, cause: str
) -> None:
    server = broken(tmp_path, env, config, listen)
    said, _ = last_words(server)
    assert names in said
    assert "fix:" in said
    assert_named(tmp_path / "data", cause, "--only", "queue-start", said)


@pytest.mark.seed("Q40")
def test_a_store_that_wants_a_password(tmp_path: Path, redis_server: RedisServer) -> None:
    assert redis_server.ask("CONFIG", "SET", "requirepass", "hush")
    try:
        server = broken(tmp_path, {"REDIS_ADDR": redis_server.address, "REDIS_PASSWORD": "wrong"})
        said, _ = last_words(server)
        assert "refuses the password" in said
        assert "wrong" not in said.replace("wrong password", "")
        assert_named(tmp_path / "data", "redis-password", "--only", "queue-start", said)
    finally:
        with contextlib.closing(socket.create_connection(("127.0.0.1", redis_server.port))) as link:
            link.sendall(b"AUTH hush\r\nCONFIG SET requirepass ''\r\n")
            assert link.recv(100).startswith(b"+OK")


def test_the_store_was_written_to_by_a_newer_version(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        kept = server.create("PRINT", delaySeconds=600)
        server.stop()
    version = schema_version(tmp_path / "data", +1)
    said, _ = last_words(Server(tmp_path / "data"))
    assert f"schema version {version + 1}" in said
    for words in ((said,), ()):  # from what it said, and from what lies in the folder
        found = assert_named(tmp_path / "data", "store-is-newer", "--only", "queue-start", *words)
        assert found["fixes"][0]["command"] == "pip install --upgrade backstay"
    schema_version(tmp_path / "data", -1)
    with serving(tmp_path / "data") as server:
        assert_silent(server)
        assert server.task(kept["id"])["status"] == "PENDING"


def schema_version(data: Path, change: int) -> int:
    """That of the file before it is changed by so much."""
    with contextlib.closing(sqlite3.connect(data / "queue.db")) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        db.execute(f"PRAGMA user_version = {version + change}")
        return int(version)


def test_the_redis_was_written_to_by_a_newer_version(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    redis_server.ask("SET", SCHEMA, str(SCHEMA_VERSION + 1))
    try:
        said, _ = last_words(broken(tmp_path, {"REDIS_ADDR": redis_server.address}))
        assert redis_server.address in said
        for words in ((said,), ()):
            assert_named(tmp_path / "data", "store-is-newer", "--only", "queue-start", *words)
    finally:
        redis_server.ask("SET", SCHEMA, str(SCHEMA_VERSION))
    with serving(tmp_path / "data", env={"REDIS_ADDR": redis_server.address}) as server:
        assert_silent(server)


def test_the_data_folder_is_somebody_elses(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as first:
        said, _ = last_words(Server(first.data))
        assert "CORE062" in said
        finding = assert_named(first, "data-held", said)
        assert finding["guide"] == "queue-start"


def test_the_address_is_somebody_elses(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    with socket.create_server(("127.0.0.1", server.port)):
        said, _ = last_words(server)
        assert str(server.port) in said
        assert_named(tmp_path / "data", "address-taken", "--only", "queue-start", said)


def test_without_its_words_the_data_folder_still_knows(tmp_path: Path) -> None:
    last_words(broken(tmp_path, {"REDIS_ADDR": "127.0.0.1:1"}))
    finding = assert_named(tmp_path / "data", "redis-away", "--only", "queue-start")
    assert "127.0.0.1:1" in finding["says"]
    # Mended, it is history.
    with serving(tmp_path / "data") as server:
        assert_silent(server)


def test_it_has_too_little_memory(tmp_path: Path) -> None:
    if shutil.which("prlimit") is None:
        absent("prlimit", "Debian: sudo apt-get install util-linux")
    server = Server(tmp_path / "data", wrap=("prlimit", f"--data={40 << 20}"))
    server.launch()
    assert server.process is not None
    assert server.process.wait(30) != 0
    server.process = None
    said = server.log_file.read_text()[-3000:]
    found = assert_named(tmp_path / "data", "out-of-memory", "--only", "queue-start", said)
    assert found["fixes"][0]["id"] == "raise-limit"
    with serving(tmp_path / "data") as again:
        assert_silent(again)


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("Last State: Terminated  Reason: OOMKilled  Exit Code: 137", "out-of-memory"),
        (
            'Warning  Failed  kubelet  Error: secret "codeq-secret" not found',
            "object-missing",
        ),
    ],
)
def test_what_kubernetes_says_of_a_pod(tmp_path: Path, said: str, cause: str) -> None:
    # No cluster is here: these are its words, not its deeds.
    assert_named(tmp_path / "data", cause, "--only", "queue-start", said)
