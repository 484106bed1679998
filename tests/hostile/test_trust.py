"""Who somebody is, is never what they say they are."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator

import pytest
from tests.e2e.stack import Stack, running
from tests.hostile.attack import SECRET, bearer, exchange, failures, post, send, strict, token

from backstay.core.context import LOCAL, encode_principal

FORGED = encode_principal(LOCAL)
TASK = {"command": "HELLO", "payload": {"to": "you"}}


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with strict(tmp_path_factory.mktemp("closed")) as stack:
        yield stack
        assert failures(stack) == []


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("local")) as stack:
        yield stack


def signed(claims: object, header: object = None, key: bytes = SECRET.encode()) -> str:
    """By hand: a library would refuse to sign most of these."""

    def part(value: object) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    text = part({"alg": "HS256"} if header is None else header) + b"." + part(claims)
    mark = hmac.new(key, text, hashlib.sha256).digest()
    return (text + b"." + base64.urlsafe_b64encode(mark).rstrip(b"=")).decode()


def claims(**more: object) -> dict[str, object]:
    now = int(time.time())
    stated = {"iss": "backstay", "aud": "backstay", "sub": "eve", "exp": now + 600}
    return {**stated, "scope": "codeq:admin", **more}


@pytest.mark.parametrize(
    "headers",
    [
        [("X-Backstay-Principal", FORGED)],
        [("x-backstay-principal", FORGED), ("X-BACKSTAY-PRINCIPAL", FORGED)],
        [("X_Backstay_Principal", FORGED)],
        [("X-Backstay-Principal", FORGED), ("Connection", "x-backstay-principal")],
        [("X-Backstay-Principal ", FORGED)],
        [("X-Other", f"a\r\n X-Backstay-Principal: {FORGED}")],
        [("X-Other", f"a\nX-Backstay-Principal: {FORGED}")],
    ],
)
def test_a_forged_principal_is_nobody(closed: Stack, headers):
    assert send(closed.port, "GET", "/v1/codeq/admin/queues", headers).status in (400, 401)


def test_a_principal_in_a_trailer_is_nobody(closed: Stack):
    body = b'28\r\n{"command":"HELLO","payload":{"to":"x"}}\r\n0\r\n'
    body += f"X-Backstay-Principal: {FORGED}\r\n\r\n".encode()
    headers = [("Transfer-Encoding", "chunked"), ("Trailer", "X-Backstay-Principal")]
    assert send(closed.port, "POST", "/v1/codeq/tasks", headers, body).code == "AUTH005"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/executions"),
        ("POST", "/api/v1/admin/seed"),
        ("GET", "/api/v1/admin/entities"),
        ("POST", "/api/v1/jobs/nightly_sales/run"),
        ("GET", "/v1/codeq/admin/queues"),
        ("POST", "/v1/gateway/breakers/app/reset"),
    ],
)
def test_nobody_is_asked_for_a_token_and_somebody_for_the_scope(closed: Stack, method, path):
    nobody = send(closed.port, method, path)
    assert (nobody.status, nobody.code) == (401, "AUTH005")
    assert b"www-authenticate: Bearer" in nobody.head
    assert send(closed.port, method, path, bearer(token())).status == 403


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (signed(claims(), {"alg": "none"}), 400),
        (signed(claims(), {"alg": "RS256"}), 400),
        (signed(claims(), {"alg": ["HS256"]}), 400),
        (signed(claims(), {"alg": "HS256", "kid": "../../dev/null"}, b""), 401),
        (signed(claims(), {"alg": "HS256", "jwk": {"kty": "oct", "k": "eA"}}, b"x"), 401),
        (signed(claims(), {"alg": "HS256", "crit": ["never"]}), 401),
        (signed(claims(exp=1)), 401),
        (signed(claims(exp=[[9e9]])), 401),
        (signed(claims(aud=[["backstay"]])), 401),
        (signed(claims(sub="\ud800")), 401),
        (signed(claims(tenantId="*")), 401),
        (signed([1]), 401),
        ("a" * 40_000, 401),
        ("." * 5_000, 401),
        (base64.urlsafe_b64encode(b"[" * 6_000).decode() + ".e30.x", 401),
    ],
)
def test_a_bent_token_is_refused_in_words(closed: Stack, text, status):
    answer = send(closed.port, "GET", "/v1/codeq/admin/queues", bearer(text))
    assert (answer.status, answer.code[:4]) == (status, "AUTH")


@pytest.mark.parametrize("kind", ["local", "system", ["local"], {"a": 1}, None, 7])
def test_no_token_makes_its_bearer_local(closed: Stack, kind):
    answer = send(closed.port, "GET", "/api/v1/executions", bearer(signed(claims(kind=kind))))
    assert (answer.status, answer.code) == (403, "CORE107")


@pytest.mark.parametrize("media", ["text/plain", "application/json"])
@pytest.mark.parametrize(
    "origin", ["null", "", "http://evil.example", "file://", "http://127.0.0.1:1"]
)
def test_a_foreign_page_changes_nothing(local: Stack, origin, media):
    headers = [("Origin", origin), ("Content-Type", media)]
    answer = send(local.port, "POST", "/v1/codeq/tasks", headers, json.dumps(TASK).encode())
    assert (answer.status, answer.code) == (403, "CORE014")


@pytest.mark.parametrize("head", ["HTTP/1.0\r\n", "HTTP/1.1\r\nHost:\r\nConnection: close\r\n"])
def test_without_a_host_no_origin_is_our_own(local: Stack, head):
    body = json.dumps(TASK).encode()
    lines = f"POST /v1/codeq/tasks {head}Origin: null\r\nContent-Length: {len(body)}\r\n\r\n"
    assert exchange(local.port, lines.encode() + body).code == "CORE014"


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1@evil", "evil@127.0.0.1", "127.0.0.1#evil", "localhost:x"]
)
def test_a_rebound_name_is_not_served(local: Stack, host):
    assert send(local.port, "GET", "/api/v1/products", host=host).code == "CORE013"


def test_what_a_proxy_passes_on_is_not_the_person_at_this_machine(local: Stack):
    passed = [("X-Forwarded-For", "203.0.113.9")]
    assert send(local.port, "GET", "/v1/codeq/admin/queues", passed).code == "AUTH005"


def test_local_is_no_customer(local: Stack):
    order = "00000000-0000-0000-0000-000000000000"
    assert post(local.port, f"/api/v1/orders/{order}/refund", {}).code == "AUTH005"
