"""Where the original codeQ trusts too much: tenants, keys, headers and tokens. The numbers are those
of the list of the original's weaknesses."""

import hmac
from collections.abc import Iterator

import pytest
from tests.queue.support import Server, serving
from tests.queue.test_auth import EVERYTHING, KEY, minted

from backstay.core.clock import SystemClock
from backstay.core.errors import Fault
from backstay.core.settings import Secret
from backstay.queue.auth import validator_of
from backstay.queue.auth_settings import AuthSettings

DONE = {"status": "COMPLETED", "result": {}}


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("weak") / "data", env={"JWT_SECRET": KEY}) as server:
        yield server


@pytest.mark.parametrize("path", ["", "/result", "/attempts"])
def test_weakness_17_nobody_reads_another_tenants_task(strict: Server, path: str):
    mine, theirs = minted(EVERYTHING, tenant="acme"), minted(EVERYTHING, tenant="globex")
    command = f"SEVENTEEN{path.strip('/')}"
    made = strict.post("/tasks", {"command": command, "payload": 1}, **mine).json
    task = strict.post("/tasks/claim", {"commands": [command]}, **mine).json
    done = {**DONE, "leaseToken": task["leaseToken"]}
    assert strict.post(f"/tasks/{made['id']}/result", done, **mine).status == 200
    assert strict.get(f"/tasks/{made['id']}{path}", **mine).status == 200
    assert strict.get(f"/tasks/{made['id']}{path}", **theirs).status == 404


def test_weakness_18_idempotency_keys_belong_to_a_tenant_and_a_command(strict: Server):
    body = {"command": "EIGHTEEN", "payload": 1, "idempotencyKey": "k"}
    mine, theirs = minted(EVERYTHING, tenant="acme"), minted(EVERYTHING, tenant="globex")
    first = strict.post("/tasks", body, **mine).json["id"]
    assert strict.post("/tasks", body, **mine).json["id"] == first
    assert strict.post("/tasks", body, **theirs).json["id"] != first
    assert strict.post("/tasks", {**body, "command": "OTHER"}, **mine).json["id"] != first


@pytest.mark.parametrize("operation", ["heartbeat", "abandon", "nack", "result"])
def test_weakness_19_a_worker_of_another_tenant_cannot_touch_a_lease(
    strict: Server, operation: str
):
    # The same `sub`, and it even knows the token.
    mine, theirs = minted(EVERYTHING, tenant="acme"), minted(EVERYTHING, tenant="globex")
    command = f"NINETEEN_{operation}"
    strict.post("/tasks", {"command": command, "payload": 1}, **mine)
    task = strict.post("/tasks/claim", {"commands": [command]}, **mine).json
    body = {"leaseToken": task["leaseToken"]} | (DONE if operation == "result" else {})
    assert strict.post(f"/tasks/{task['id']}/{operation}", body, **theirs).status == 404
    assert strict.post(f"/tasks/{task['id']}/{operation}", body, **mine).status == 200


def test_weakness_20_a_header_makes_nobody_an_admin(strict: Server):
    given = minted(["codeq:produce"])
    for role in ("ADMIN", "admin"):
        headers = given["headers"] | {"X-Role": role}
        assert strict.call("GET", "/admin/queues", headers=headers).status == 403
        assert strict.call("GET", "/admin/queues", headers={"X-Role": role}).status == 401


async def test_weakness_24_fixed_tokens_are_all_compared_in_constant_time(
    monkeypatch: pytest.MonkeyPatch,
):
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    text = '{"token": "%s", "subject": "%s", "eventTypes": ["*"], "scopes": ["codeq:claim"]}'
    for given, good in (("the-worker", True), ("the-worke", False), ("", False)):
        compared.clear()
        settings = AuthSettings(
            worker_auth_provider="static",
            worker_auth_config=Secret(text % ("the-worker", "w")),
        )
        try:
            await validator_of(settings, SystemClock()).validate(given)
            known = True
        except Fault:
            known = False
        assert known == good
        # Digests of one length: not even how long the token is shows in the time.
        assert [len(part) for pair in compared for part in pair] == [32, 32]


def test_weakness_29_who_is_no_admin_is_forbidden_not_unknown(strict: Server):
    assert strict.get("/admin/queues", **minted(["codeq:produce"])).status == 403
