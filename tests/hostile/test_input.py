"""Whatever is sent: an answer in the words of the catalogue, no failure inside, nothing poisoned."""

import gzip
import http.client
import json
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.e2e.stack import Stack, running
from tests.hostile.attack import exchange, failures, post, send

NESTED = b"[" * 50_000 + b"]" * 50_000


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("shop")) as stack:
        before = {name: stack.pid(name) for name in ("gateway", "queue", "app")}
        yield stack
        assert failures(stack) == []
        assert {name: stack.pid(name) for name in before} == before


@pytest.mark.parametrize(
    "field",
    [
        {"delaySeconds": 1e308},
        {"delaySeconds": 9e15},
        {"runAt": "9999-12-31T23:59:59-14:00"},
        {"maxAttempts": 2**63},
        {"command": "a\0b"},
        {"replyTo": "../x"},
    ],
)
def test_a_task_that_cannot_be_shown_is_not_taken(shop: Stack, field):
    answer = post(shop.port, "/v1/codeq/tasks", {"command": "BAD", "payload": {}, **field})
    assert (answer.status, answer.code[:5]) == (400, "QUEUE")
    listed = shop.ask("GET", "/v1/codeq/tasks?command=BAD")
    assert (listed.status, listed.json["data"]) == (200, [])


def test_a_priority_beyond_every_number_counts_as_the_highest(shop: Stack):
    body = {"command": "HIGH", "payload": {}, "priority": 2**63}
    answer = shop.ask("POST", "/v1/codeq/tasks", body)
    assert (answer.status, answer.json["priority"]) == (202, 9)
    [listed] = shop.ask("GET", "/v1/codeq/tasks?command=HIGH").json["data"]
    assert listed["priority"] == 9


@pytest.mark.parametrize("cursor", ["9" * 30, "9" * 5000, "-1", "nan", "1:2", "%00"])
def test_a_cursor_that_no_page_gave_is_refused(shop: Stack, cursor):
    answer = send(shop.port, "GET", f"/v1/codeq/tasks?cursor={cursor}")
    assert (answer.status, answer.code) == (400, "QUEUE018")
    assert len(answer.body) < 1000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/codeq/tasks", b'{"command":"DEEP","payload":' + NESTED + b"}"),
        ("/v1/codeq/tasks/batch", b'{"tasks":' + NESTED + b"}"),
        ("/api/v1/orders", b'{"lines":' + NESTED + b"}"),
        ("/api/v1/orders", b'{"customer":"\xff"}'),
        ("/api/v1/orders", b"[" * 200_000),
    ],
)
def test_a_body_that_is_not_what_it_says_is_refused(shop: Stack, path, body):
    assert post(shop.port, path, body).code in ("CORE104", "CORE105", "APP010")


@pytest.mark.parametrize("size", [60_000, 500_000])
def test_a_refusal_is_seen_although_the_body_was_not_wanted(shop: Stack, size):
    seen: Counter[int] = Counter()
    line = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=10)
    for _ in range(60):
        line.request("POST", "/api/v1/nothing", b"x" * size)
        answer = line.getresponse()
        answer.read()
        seen[answer.status] += 1
    line.close()
    assert seen == {404: 60}


def test_a_packed_body_is_not_unpacked(shop: Stack):
    bomb = gzip.compress(b" " * 20_000_000)
    headers = [("Content-Encoding", "gzip")]
    assert post(shop.port, "/api/v1/orders", bomb, headers).code == "APP010"


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: 1\r\n" * 200 + b"\r\n",
        b"GET /api/v1/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/v1/products/%2e%2e HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/v1/products/%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_a_head_that_is_none_is_answered_once_and_closed(shop: Stack, head):
    answer = exchange(shop.port, head)
    assert 400 <= answer.status < 500
    assert answer.code.startswith("GATE")


TEXTS = (
    ("", "\0", "' OR 1=1 --", '"; DROP TABLE "order"; --', "é\U0001f600", "a" * 5000, "9" * 40),
    ("-1", "NaN", "1e400", "1e999999999", "0e999999999", "9999-12-31T23:59:59-14:00", "*", "%"),
    ("9223372036854775808", "W10", "bnVsbA", "true", "\r\nX: y", "2026-01-01T00:00:00Z"),
)
NASTY = st.sampled_from([text for row in TEXTS for text in row])
VALUE = st.recursive(
    NASTY | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NASTY, inner, max_size=3),
    max_leaves=6,
)
LISTS = (
    *("/api/v1/products", "/api/v1/orders", "/api/v1/customers", "/api/v1/executions"),
    *("/api/v1/jobs", "/api/v1/admin/jobs", "/v1/codeq/tasks", "/v1/codeq/replies/x"),
)
NAMES = (
    *("limit", "page", "cursor", "sort", "total", "status", "name", "name[contains]", "sku[in]"),
    *("price[gte]", "stock[lt]", "created_at[gt]", "customer", "email", "command", "job", "[x"),
)
BODIES = {
    "/v1/codeq/tasks": {"command": "FUZZ", "payload": {}, "priority": 1, "maxAttempts": 1}
    | {"idempotencyKey": "k", "runAt": "2030-01-01T00:00:00Z", "delaySeconds": 1, "replyTo": "r"},
    "/v1/codeq/tasks/claim": {"commands": ["NOBODY"], "leaseSeconds": 1, "waitSeconds": 0},
    "/v1/codeq/tasks/x/nack": {"delaySeconds": 1, "reason": "", "leaseToken": ""},
    "/v1/codeq/tasks/x/result": {"status": "COMPLETED", "result": {}, "error": ""},
    "/v1/codeq/replies/x/ack": {"taskIds": ["x"]},
    "/v1/codeq/admin/tasks/cleanup": {"command": "FUZZ", "before": "", "limit": 1},
    "/api/v1/orders": {"customer": "x", "lines": [{"product": "x", "quantity": 1}]},
    "/api/v1/orders/x/refund": {},
}
FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FUZZ
@given(
    path=st.sampled_from(LISTS), query=st.dictionaries(st.sampled_from(NAMES), NASTY, max_size=3)
)
def test_no_query_makes_a_system_fail(shop: Stack, path, query):
    from urllib.parse import urlencode

    answer = shop.ask("GET", f"{path}?{urlencode(query)}")
    assert answer.status < 500, answer.body
    if answer.status >= 400:
        assert answer.json["code"]


@FUZZ
@given(data=st.data(), path=st.sampled_from(sorted(BODIES)))
def test_no_body_makes_a_system_fail(shop: Stack, path, data):
    sound = BODIES[path]
    bent = data.draw(st.dictionaries(st.sampled_from(sorted(sound) or ["x"]), VALUE, max_size=2))
    bent.pop("waitSeconds", None)
    answer = shop.ask("POST", path, {**sound, **bent})
    assert answer.status < 500, (json.dumps(bent), answer.body)
    if answer.status >= 400:
        assert answer.json["code"]
    assert shop.ask("GET", "/v1/codeq/tasks?command=FUZZ&limit=1").status == 200
