"""Values that nobody meant: whatever is accepted can be shown, and nothing is a failure inside."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from tests.queue.hostile.conftest import Person
from tests.queue.support import Server

HUGE = (1e308, 9.2e18, 2**64, -1, 5e-324)
NUMBERS = (
    ("POST", "/tasks", {"command": "NUM", "payload": {}}, "delaySeconds"),
    ("POST", "/tasks", {"command": "NUM", "payload": {}}, "priority"),
    ("POST", "/tasks", {"command": "NUM", "payload": {}}, "maxAttempts"),
    ("POST", "/tasks/claim", {"commands": ["NUM"], "waitSeconds": 0}, "leaseSeconds"),
    ("POST", "/tasks/claim/batch", {"commands": ["NUM"]}, "count"),
    ("POST", "/tasks/{leased}/heartbeat", {}, "extendSeconds"),
    ("POST", "/tasks/{leased}/nack", {}, "delaySeconds"),
    ("POST", "/tasks/{waiting}/reschedule", {}, "delaySeconds"),
    ("POST", "/tasks/cancel", {"command": "NUM"}, "limit"),
    ("POST", "/admin/queues/NUM/redrive", {"filter": {"status": "CANCELLED"}}, "ratePerSecond"),
    ("POST", "/admin/queues/NUM/redrive", {}, "limit"),
    ("POST", "/admin/queues/NUM/purge", {"before": "2000-01-01T00:00:00Z"}, "limit"),
    ("POST", "/admin/tasks/cleanup", {"command": "NUM", "before": "2000-01-01T00:00:00Z"}, "limit"),
    ("PUT", "/admin/queues/NUM/policy", {}, "concurrency"),
    ("PUT", "/admin/queues/NUM/policy", {}, "rate"),
    ("PUT", "/admin/queues/NUM/policy", {"rate": 1}, "burst"),
    ("PUT", "/admin/queues/NUM/policy", {}, "keyConcurrency"),
    ("PUT", "/admin/queues/NUM/policy", {}, "keyRate"),
    (
        "PUT",
        "/admin/periodic/num",
        {"command": "NUM", "payload": {}, "cron": "0 0 1 1 *"},
        "maxAttempts",
    ),
    ("POST", "/workers/subscriptions", {"callbackUrl": "http://a.example/"}, "ttlSeconds"),
    ("POST", "/workers/subscriptions", {"callbackUrl": "http://a.example/"}, "minIntervalSeconds"),
)


@pytest.mark.parametrize(
    ("method", "path", "body", "field"), NUMBERS, ids=[f"{each[1]}-{each[3]}" for each in NUMBERS]
)
def test_no_number_makes_a_task_that_cannot_be_shown(
    strict: Server, method: str, path: str, body: dict[str, Any], field: str
):
    person = Person(strict, "numbers")
    for number in HUGE:
        person.put("/admin/queues/NUM/policy", {})
        for end in ("cancel", "hold", "wait"):
            task = person.post("/tasks", {"command": "NUM", "payload": {}, "key": "k"})
            if end == "cancel":
                person.post(f"/tasks/{task['id']}/cancel", {})
            elif end == "hold":
                claimed = person.ask("POST", "/tasks/claim", {"commands": ["NUM"]})
                leased = claimed.json if claimed.status == 200 else task
        target = path.format(leased=leased["id"], waiting=task["id"])
        answer = person.ask(method, target, {**body, field: number})
        assert answer.status < 500, (number, answer.body)
        if answer.status >= 400:
            assert answer.json["code"], (number, answer.body)
        for shown in (
            "/tasks?command=NUM&limit=200",
            "/admin/queues",
            "/admin/queues/NUM",
            "/admin/queues/NUM/policy",
            "/admin/periodic",
            "/workers/subscriptions",
        ):
            seen = person.ask("GET", shown)
            assert seen.status == 200, (number, shown, seen.body)
        assert strict.get("/metrics", prefix="").status == 200
        person.put("/admin/queues/NUM/policy", {})
        person.post("/tasks/cancel", {"command": "NUM"})


COMMANDS = (
    *("{", "}", "{}", "}{", "A}B{C", "{A}", "{A}:ready", "A:B", "A", "A:B:C", "codeq:tasks", "*?"),
    *("[a-z]", "a\\b", "é", "e\u0301", "𝕏", "日本語", "%00", "%2F", "..", ".", "?", "#", "a?b#c"),
    *("'", '"', "'OR+1=1--", "a;b", "a|b", "~7B", "a.b", "a.", "-", "--help", "null", "K" * 128),
)


def test_commands_of_any_spelling_live_side_by_side(strict: Server):
    """Braces and colons of key names, dots of ids, jokers, quotes, accents that look the same."""
    person = Person(strict, "spelling")
    made: dict[str, str] = {}
    for name in COMMANDS:
        task = person.post("/tasks", {"command": name, "payload": {"name": name}})
        made[name] = task["id"]
        assert task["command"] == name
    assert len(set(made.values())) == len(COMMANDS)
    for name in COMMANDS:
        path = quote(name, safe="")
        assert person.get(f"/tasks?command={path}")["data"][0]["id"] == made[name]
        assert person.get(f"/tasks/{quote(made[name], safe='')}")["command"] == name
        depth = person.ask("GET", f"/admin/queues/{path}")
        assert (depth.status, depth.json.get("ready")) == (200, 1), (name, depth.body)
    for name in COMMANDS:
        [task] = person.post("/tasks/claim/batch", {"count": 9, "commands": [name]})["tasks"]
        assert task["id"] == made[name], name
        body = {"status": "COMPLETED", "result": {"name": name}, "leaseToken": task["leaseToken"]}
        person.post(f"/tasks/{quote(task['id'], safe='')}/result", body)
    for name in COMMANDS:
        path = quote(name, safe="")
        assert person.ask("POST", f"/admin/queues/{path}/pause", {}).status == 200, name
        assert person.ask("POST", f"/admin/queues/{path}/resume", {}).status == 200, name
        purged = person.ask("POST", f"/admin/queues/{path}/purge", {})
        assert (purged.status, purged.json.get("count")) == (200, 1), (name, purged.body)
    assert person.get("/tasks?limit=200")["data"] == []


@pytest.mark.parametrize(
    "name", ["a b", "a,b", "a/b", "a\nb", "a\0b", "", "*", "K" * 129, "\u202e"]
)
def test_commands_that_would_confuse_are_refused(strict: Server, name: str):
    answer = Person(strict, "spelling").ask("POST", "/tasks", {"command": name, "payload": {}})
    assert (answer.status, answer.json["code"]) == (400, "QUEUE010")


IDS = ("{", "}", "a{NUM}b", "x.NUM", ".", "..", "%2e%2e", "x.", "a:b", "*", "%00", "9" * 3000)


@pytest.mark.parametrize("name", IDS)
def test_ids_that_nobody_gave_are_not_found(strict: Server, name: str):
    person = Person(strict, "ids")
    person.post("/tasks", {"command": "NUM", "payload": {}})
    path = quote(name, safe="%")
    for method, target, body in (
        ("GET", f"/tasks/{path}", None),
        ("GET", f"/tasks/{path}/attempts", None),
        ("POST", f"/tasks/{path}/cancel", {}),
        ("POST", f"/tasks/{path}/result", {"status": "FAILED", "error": "x"}),
        ("POST", f"/admin/deliveries/{path}/retry", None),
        ("DELETE", f"/workers/subscriptions/{path}", None),
        ("DELETE", f"/admin/periodic/{path}", None),
    ):
        answer = person.ask(method, target, body)
        assert answer.status in (400, 404), (method, target, answer.body)


TEXTS = (
    "\u202e",
    "a\u0301" * 30,
    "'; DROP TABLE task; --",
    "\x7f",
    "\ud800",
    "k\0k",
    "a" * 513,
    "🦓",
)


@pytest.mark.parametrize("text", TEXTS, ids=[ascii(text)[:20] for text in TEXTS])
@pytest.mark.parametrize(
    "field", ["idempotencyKey", "key", "replyTo", "tags", "webhook", "payload"]
)
def test_texts_are_kept_as_they_are_or_refused(strict: Server, field: str, text: str):
    person = Person(strict, "texts")
    value = [text] if field == "tags" else {"text": text} if field == "payload" else text
    body = {"command": "TEXT", "payload": {}, field: value}
    answer = person.ask("POST", "/tasks", body)
    assert answer.status in (202, 400), answer.body
    if answer.status == 202:
        again = person.get(f"/tasks/{answer.json['id']}")
        shown = json.loads(again["payload"]) if field == "payload" else again[field]
        assert shown == value
        person.post(f"/tasks/{answer.json['id']}/cancel", {})
    assert person.ask("GET", "/tasks?command=TEXT&limit=200").status == 200


@pytest.mark.parametrize(
    "cron", ["0 0 31 2 *", "0 0 30 2 *", "* * * * 8", "0 0 29 2 1#5", "*/0 * * * *", "1-" * 2000]
)
def test_a_schedule_that_never_comes_is_refused_at_once(strict: Server, cron: str):
    body = {"command": "NUM", "payload": {}, "cron": cron}
    answer = Person(strict, "cron").ask("PUT", "/admin/periodic/never", body)
    assert (answer.status, answer.json.get("code")) in ((400, "QUEUE060"), (200, None))


def test_a_redrive_so_slow_that_its_last_task_is_beyond_the_calendar_is_refused(strict: Server):
    """One such task could never be shown again, nor any page that it was on."""
    person = Person(strict, "slow")
    for _ in range(3):
        task = person.post("/tasks", {"command": "SLOW", "payload": {}})
        person.post(f"/tasks/{task['id']}/cancel", {})
    body = {"filter": {"status": "CANCELLED"}, "ratePerSecond": 1e-12}
    answer = person.ask("POST", "/admin/queues/SLOW/redrive", body)
    assert (answer.status, answer.json["code"]) == (400, "QUEUE014")
    assert person.post("/admin/queues/SLOW/redrive", body | {"ratePerSecond": 1e-4})["count"] == 3
    assert len(person.get("/tasks?command=SLOW")["data"]) == 3
