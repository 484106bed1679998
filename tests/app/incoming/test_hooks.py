"""Webhooks from outside: signed and new ones become one event each, on both databases."""

import hashlib
import hmac
import http.client
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.proofs.support import BIN, PATIENCE, Serving
from tests.e2e.stack import Answer, until

from backstay.core.signing import sign
from backstay.lang.api import check_text

SECRET = "what the bank and we know"
HUB = "what the hub and we know"
HOOKS = Path(__file__).with_name("hooks.cai")


@pytest.fixture
def database(kind: str, request: pytest.FixtureRequest) -> dict[str, str]:
    return {"DATABASE_URL": request.getfixturevalue("new_url")()} if kind == "postgres" else {}


@pytest.fixture
def app(tmp_path: Path, database: dict[str, str]) -> Iterator[Serving]:
    (tmp_path / "bank").write_text(f"{SECRET}\n")
    env = {"BANK_SECRET_FILE": str(tmp_path / "bank"), "HUB_SECRET": HUB, **database}
    serving = Serving(tmp_path / "c", str(BIN / "codeai"), "server", str(HOOKS))
    yield serving.start(**env)
    serving.close()


def post(app: Serving, path: str, body: bytes, headers: dict[str, str]) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=PATIENCE)
    try:
        sent = {"Content-Type": "application/json", **headers}
        connection.request("POST", f"/api/v1/hooks/{path}", body, sent)
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


def signed(body: bytes, delivery: str, secret: str = SECRET, ago: float = 0) -> dict[str, str]:
    stamp = str(int(time.time() - ago))
    return {
        "X-Backstay-Timestamp": stamp,
        "X-Backstay-Signature": sign(secret, stamp, body),
        "X-Backstay-Delivery": delivery,
    }


def body_of(order: str, **more: object) -> bytes:
    return json.dumps({"order": order, "amount": 5, **more}).encode()


def payments(app: Serving) -> list[str]:
    return sorted(row["order"] for row in app.ask("GET", "/api/v1/payments").json["data"])


def has(app: Serving, *orders: str) -> None:
    until(lambda: payments(app) == sorted(orders), PATIENCE, lambda: str(payments(app)))


def test_a_signed_webhook_starts_its_workflow_once_however_often_it_is_sent(app: Serving) -> None:
    body = body_of("a", besides="what the event does not declare")
    first = post(app, "bank", body, signed(body, "d1"))
    assert (first.status, first.json["duplicate"]) == (200, False)
    # Sent again with a new time, and sent again by somebody who listened, under another id.
    again = post(app, "bank", body, signed(body, "d1", ago=2))
    assert (again.status, again.json) == (200, {"event": None, "duplicate": True})
    body = body_of("b")
    heard = signed(body, "d2")
    replayed = {**heard, "X-Backstay-Delivery": "d3"}
    assert post(app, "bank", body, heard).json["duplicate"] is False
    assert post(app, "bank", body, replayed).json["duplicate"] is True
    has(app, "a", "b")


def test_a_replay_does_not_use_up_the_id_of_a_delivery_to_come(app: Serving) -> None:
    """The real d2 was answered as a duplicate, and its event was lost."""
    body, later = body_of("a"), body_of("b")
    heard = signed(body, "d1")
    assert post(app, "bank", body, heard).json["duplicate"] is False
    assert post(app, "bank", body, {**heard, "X-Backstay-Delivery": "d2"}).json["duplicate"] is True
    assert post(app, "bank", later, signed(later, "d2")).json["duplicate"] is False
    has(app, "a", "b")


def test_an_event_that_another_backstay_sends_is_taken_by_its_payload(app: Serving) -> None:
    sent = {
        "id": "0198",
        "event": "paid",
        "created_at": "now",
        "payload": {"order": "f", "amount": 1},
    }
    body = json.dumps(sent).encode()
    assert post(app, "bank", body, signed(body, "d1")).json["duplicate"] is False
    has(app, "f")


def test_eight_at_once_are_one(app: Serving) -> None:
    body = body_of("b")
    headers = signed(body, "same")
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda: answers.append(post(app, "bank", body, headers)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert [answer.status for answer in answers] == [200] * 8
    assert sorted(answer.json["duplicate"] for answer in answers) == [False] + [True] * 7
    has(app, "b")


def test_forged_stale_and_unfit_ones_leave_nothing(app: Serving) -> None:
    body = body_of("c")
    cases = {
        "secret": signed(body, "d", secret="another"),
        "stale": signed(body, "d", ago=400),
        "unsigned": {},
    }
    for name, headers in cases.items():
        answer = post(app, "bank", body, headers)
        assert (answer.status, answer.json["code"]) == (401, "APP074"), name
        assert SECRET not in answer.body.decode()
    unfit = json.dumps({"order": "c", "amount": "many"}).encode()
    assert post(app, "bank", unfit, signed(unfit, "d")).status == 422
    assert post(app, "bank", b"[1]", signed(b"[1]", "d")).status == 422
    assert post(app, "bank", b"{", signed(b"{", "d")).status == 400
    # What was not taken has left no mark: the same delivery is taken once it is right.
    assert post(app, "bank", body, signed(body, "d")).json["duplicate"] is False
    has(app, "c")


def test_a_hub_that_signs_no_time(app: Serving) -> None:
    body = body_of("d")
    signature = "sha256=" + hmac.new(HUB.encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-Hub-Signature-256": signature, "X-GitHub-Delivery": "g1"}
    assert post(app, "hub", body, headers).json["duplicate"] is False
    assert post(app, "hub", body, headers).json["duplicate"] is True
    assert post(app, "hub", body, {**headers, "X-GitHub-Delivery": "g2"}).json["duplicate"] is True
    has(app, "d")


def test_marks_outlive_the_process(app: Serving, database: dict[str, str]) -> None:
    body = body_of("e")
    headers = signed(body, "d1")
    assert post(app, "bank", body, headers).json["duplicate"] is False
    app.close()
    app.start(BANK_SECRET=SECRET, **database)
    assert post(app, "bank", body, headers).json["duplicate"] is True
    # A hook whose secret is not set takes nothing.
    assert post(app, "hub", body, {}).json["code"] == "APP075"


@pytest.mark.parametrize(
    "line",
    [
        'on "order_placed" do webhook "hook"',
        'event told_too { payload { a: string } publish_to: [webhook("hook")] }',
    ],
)
def test_no_event_is_sent_to_a_webhook_that_is_received(line: str) -> None:
    """It used to be found out by the delivery, which then failed for good."""
    text = f"""
    event order_placed {{ payload {{ a: string }} }}
    event came_in {{ payload {{ a: string }} }}
    webhook hook {{ event "came_in" receive: stripe secret: env("S") }}
    {line}
    """
    program, found = check_text("app.cai", text)
    assert program is None
    (mistake,) = [each for each in found if each.severity == "error"]
    assert mistake.message == "webhook 'hook' is received: no event can be sent to it"
    assert mistake.span.line == 5
