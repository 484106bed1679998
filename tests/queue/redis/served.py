"""Words for tests with a real server on a real store."""

import subprocess

from tests.queue.support import Server
from tests.servers.valkey import RedisServer


def redis_cli(store: RedisServer, *words: str) -> list[str]:
    command = ["redis-cli", "-h", store.host, "-p", str(store.port), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def complete(server: Server, command: str, **fields: object) -> str:
    """A task from its creation to its result."""
    server.create(command, **fields)
    task = server.claim(command)
    assert task is not None
    result = {"status": "COMPLETED", "result": {"n": 1}, "leaseToken": task["leaseToken"]}
    assert server.post(f"/tasks/{task['id']}/result", result).status == 200
    return str(task["id"])
