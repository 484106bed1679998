"""The fixtures give servers that really serve, and leave nothing behind."""

import json
import os
import subprocess

import pytest
from tests.servers.postgres import PostgresServer
from tests.servers.valkey import RedisServer

pytestmark = pytest.mark.peer


def test_valkey_keeps_what_it_was_told(valkey: RedisServer) -> None:
    assert valkey.ask("SET", "greeting", "hello") == "+OK"
    assert valkey.ask("STRLEN", "greeting") == ":5"


def test_the_distributions_redis_answers(redis_server: RedisServer) -> None:
    assert redis_server.ask("PING") == "+PONG"


def test_postgres_runs_a_statement(postgres: PostgresServer) -> None:
    assert postgres.sql("SELECT 6 * 7") == "42\n"
    assert postgres.sql("SHOW listen_addresses") == "127.0.0.1\n"


def test_the_wheels_postgres_runs_a_statement(postgres_wheel: PostgresServer) -> None:
    assert postgres_wheel.sql("SELECT 6 * 7") == "42\n"
    assert int(postgres_wheel.version.split(".")[0]) >= 18


def test_a_stopped_postgres_is_gone_with_its_folder(postgres: PostgresServer) -> None:
    other = PostgresServer(postgres.binaries)
    pid = other.running.pid
    other.stop()
    assert not other.folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_kubectl_tells_its_version(kubectl: str) -> None:
    command = [kubectl, "version", "--client", "--output", "json"]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert told["clientVersion"]["major"] == "1"
