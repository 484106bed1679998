"""Who one is comes from the token alone, and no secret is told to anybody."""

import re

import pytest
from tests.hostile.attack import exchange, send
from tests.queue.hostile.conftest import HMAC, KEY, Person
from tests.queue.support import Server

from backstay.core.context import LOCAL, PRINCIPAL_HEADER, encode_principal

FORGED = (
    [(PRINCIPAL_HEADER, encode_principal(LOCAL))],
    [(PRINCIPAL_HEADER.lower(), encode_principal(LOCAL))],
    [(PRINCIPAL_HEADER.replace("-", "_"), encode_principal(LOCAL))],
    [("X-Role", "ADMIN")],
    [("X-Forwarded-For", "127.0.0.1"), ("X-Real-IP", "127.0.0.1")],
    [("Forwarded", "for=127.0.0.1;proto=https")],
    [("Authorization", "")],
    [("Authorization", "Basic bG9jYWw6")],
    [("Authorization", "Bearer"), ("X-Original-URL", "/healthz")],
    [("Authorization", "Bearer null")],
    [("Authorization", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.")],
)


@pytest.mark.parametrize("headers", FORGED, ids=[each[0][0] + each[0][1][:8] for each in FORGED])
def test_no_header_but_a_good_token_makes_anybody_somebody(strict: Server, headers):
    for method, path in (("GET", "/v1/codeq/tasks"), ("POST", "/v1/codeq/admin/audit")):
        answer = send(strict.port, method, path, headers)
        assert answer.status == 401, answer.body
    person = Person(strict, "plain")
    given = [("Authorization", f"Bearer {person.token}"), *headers]
    if headers[0][0] != "Authorization":
        seen = send(strict.port, "GET", "/v1/codeq/tasks?tenant=alice", given)
        assert seen.status == 200
        audit = send(strict.port, "POST", "/v1/codeq/admin/audit", given)
        assert audit.status == 403, "it serves one tenant, whatever the header says"


SMUGGLED = (
    b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nContent-Length: 5",
    b"Content-Length: 5\r\nContent-Length: 6",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding:\x0bchunked",
    b"Transfer-Encoding : chunked",
    b"Content-Length: +5",
    b"Content-Length: 5\r\n Content-Length: 50",
)


@pytest.mark.parametrize("framing", SMUGGLED)
def test_a_request_inside_a_request_is_never_answered(strict: Server, framing: bytes):
    person = Person(strict, "smuggler")
    token = f"Authorization: Bearer {person.token}".encode()
    inner = b"POST /v1/codeq/tasks HTTP/1.1\r\nHost: x\r\n" + token
    inner += b"\r\nContent-Length: 37\r\n\r\n" + b'{"command":"SMUGGLED","payload":{"a":1}}'[:37]
    head = b"POST /v1/codeq/nowhere HTTP/1.1\r\nHost: x\r\n" + token + b"\r\n" + framing
    exchange(strict.port, head + b"\r\n\r\n0\r\n\r\n" + inner, seconds=3)
    assert person.get("/tasks?command=SMUGGLED")["data"] == []


def test_no_secret_is_in_the_log_the_metrics_or_an_error(strict: Server):
    person = Person(strict, "secretive")
    told: list[bytes] = []
    words = ("hunter2-in-a-url", "hunter2-in-a-query", "hunter2-in-a-payload")
    hook = f"http://user:{words[0]}@127.0.0.1:1/?token={words[1]}"
    body = {"command": "SECRETS", "payload": {"password": words[2]}, "webhook": hook}
    task = person.post("/tasks", body)
    person.post(f"/tasks/{task['id']}/cancel", {})
    person.ask("GET", f"/tasks?token={words[1]}&cursor={person.token}")
    for forged in (person.token[:-4] + "AAAA", KEY, "a" * 9000):
        answer = strict.get("/tasks", headers={"Authorization": f"Bearer {forged}"})
        told.append(answer.body)
    told += [strict.get(path, prefix="").body for path in ("/metrics", "/healthz", "/openapi.json")]
    told.append(person.ask("POST", "/tasks", b"{" + KEY.encode()).body)
    log = strict.log_file.read_bytes()
    signature = person.token.rsplit(".", 1)[1].encode()
    for where in (*told, log):
        for secret in (KEY, HMAC, words[0], words[1], words[2]):
            assert secret.encode() not in where, secret
        assert signature not in where
    assert re.search(rb'"path":\s*"/v1/codeq/tasks', log), "the requests are in the log"
