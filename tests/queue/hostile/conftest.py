"""A server that wants tokens, on each engine, and people of two tenants who hold all scopes."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from tests.queue.support import Answer, Server, serving
from tests.servers.valkey import RedisServer, system_binary

from backstay.core.clock import SystemClock
from backstay.core.settings import Secret
from backstay.core.tokens import Issuer

KEY = "zebra-crossing-of-thirty-two-bytes-or-more"
HMAC = "hmac-quokka-secret-of-this-test"
SCOPES = tuple(
    f"codeq:{what}"
    for what in ["produce", "claim", "heartbeat", "abandon", "nack", "result", "subscribe", "admin"]
)


class Person:
    """Asks one server with a token of one tenant."""

    def __init__(self, server: Server, tenant: str, **claims: Any) -> None:
        issuer = Issuer(Secret(KEY), "backstay", "backstay", SystemClock())
        self.server = server
        self.token = issuer.mint(f"{tenant}-worker", SCOPES, tenant=tenant, claims=claims)
        self._headers = {"Authorization": f"Bearer {self.token}"}

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        given = self._headers | dict(headers or {})
        return self.server.call(method, path, body, headers=given)

    def get(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status == 200, (path, answer.body)
        return answer.json

    def post(self, path: str, body: Any) -> Any:
        answer = self.ask("POST", path, body)
        assert answer.status in (200, 202), (path, answer.body)
        return answer.json

    def put(self, path: str, body: Any) -> Any:
        answer = self.ask("PUT", path, body)
        assert answer.status == 200, (path, answer.body)
        return answer.json


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def strict(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("strict")
    config = folder / "config.yaml"
    config.write_text("backoffPolicy: fixed\nbackoffBaseSeconds: 0.2\n")
    env = {"JWT_SECRET": KEY, "WEBHOOK_HMAC_SECRET": HMAC, "LOG_LEVEL": "debug"}
    redis: RedisServer | None = None
    if request.param == "redis":
        binary = system_binary()
        if binary is None:
            pytest.skip("redis-server is not installed")
        redis = RedisServer(binary, folder / "redis")
        env["REDIS_ADDR"] = redis.address
    try:
        with serving(folder / "data", "--config", str(config), env=env) as server:
            yield server
            failed = [line for line in server.log() if line.get("msg") == "request failed"]
            assert failed == []
    finally:
        if redis is not None:
            redis.stop()
