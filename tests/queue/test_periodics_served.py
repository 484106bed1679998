"""Periodic tasks of a real server: set, shown, paused, removed, and each once after kill -9."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from tests.queue.loops import RULES
from tests.queue.support import Server, until

from backstay.core.clock import SystemClock, SystemDice
from backstay.queue.model import Periodic
from backstay.queue.operations import SetPeriodic
from backstay.queue.store.sqlite import SqliteEngine


def put(server: Server, name: str, **fields: object):
    body = {"command": "REPORT", "payload": {"n": 1}, "cron": "0 3 * * *", **fields}
    return server.call("PUT", f"/admin/periodic/{name}", body)


def test_it_is_set_shown_paused_and_removed(server: Server, command: str):
    made = put(server, "nightly", command=command, timezone="Europe/Berlin", priority=4)
    assert made.status == 200, made.body
    assert made.json["payload"] == {"n": 1}
    assert made.json["lastFire"] is None
    assert (made.json["tenantId"], made.json["timezone"]) == ("default", "Europe/Berlin")
    assert len(made.json["nextFires"]) == 5
    for at in made.json["nextFires"]:
        local = datetime.fromisoformat(at).astimezone(ZoneInfo("Europe/Berlin"))
        assert (local.hour, local.minute) == (3, 0)
    assert made.json in server.get("/admin/periodic").json["data"]
    paused = server.post("/admin/periodic/nightly/pause")
    assert (paused.json["paused"], paused.json["nextFires"]) == (True, [])
    resumed = server.post("/admin/periodic/nightly/resume")
    assert resumed.json == made.json
    assert server.call("DELETE", "/admin/periodic/nightly").json == made.json
    gone = server.get("/admin/periodic/nightly")
    assert (gone.status, gone.json["code"]) == (404, "QUEUE061")


def test_its_priority_is_read_like_a_tasks(server: Server, command: str):
    for given, priority in ((10, 9), (-1, 0)):
        assert put(server, "urgent", command=command, priority=given).json["priority"] == priority
    server.call("DELETE", "/admin/periodic/urgent")


@pytest.mark.parametrize(
    ("fields", "code", "word"),
    [
        ({"cron": "61 * * * *"}, "QUEUE060", "'cron'"),
        ({"cron": "* * * * * *"}, "QUEUE060", "6 fields"),
        ({"timezone": "Europe/Berlni"}, "QUEUE060", "'timezone'"),
        ({"command": "a b"}, "QUEUE010", "command"),
        ({"payload": None}, "QUEUE011", "payload"),
        ({"webhook": "ftp://x/"}, "QUEUE022", "webhook"),
    ],
)
def test_what_is_wrong_is_refused_with_its_field(server: Server, fields, code: str, word: str):
    refused = put(server, "wrong", **fields)
    assert (refused.status, refused.json["code"]) == (400, code)
    assert word in refused.json["error"]
    assert server.get("/admin/periodic/wrong").status == 404


async def test_kill_9_while_hundreds_of_times_are_due_makes_each_task_once(tmp_path):
    """The server dies between the commits of its calendar, and once more, and is started again."""
    data = tmp_path / "data"
    count = 3000
    await _missed(data, count)
    server = Server(data)
    killed_at: list[int] = []
    try:
        for enough in (100, 500, 900):
            server.launch()
            until(lambda enough=enough: len(_keys(data)) >= enough, 30.0)
            server.kill()
            killed_at.append(len(_keys(data)))
        server.start()
        until(lambda: len(_keys(data)) >= count, 30.0)
        shown = server.get("/admin/periodic").json["data"]
    finally:
        server.kill()
    assert killed_at[0] < count, "the server had done all before it was killed"
    keys = _keys(data)
    assert len(keys) == len(set(keys)) == count
    assert len({key.rpartition(":periodic")[2][-27:] for key in keys}) == 1
    assert {one["lastFire"] for one in shown} == {keys[0][-27:]}


async def _missed(data: Path, count: int) -> None:
    """A store whose periodic tasks were all due on New Year, when no server ran."""
    data.mkdir()
    clock = SystemClock()
    engine = SqliteEngine(data / "queue.db", RULES, clock, SystemDice(), "process")
    await engine.open()
    due = datetime(datetime.now(UTC).year, 1, 1, tzinfo=UTC).timestamp()
    ops = [
        SetPeriodic(Periodic("default", f"n{number}", "TICK", "{}", "0 0 1 1 *", next_at=due))
        for number in range(count)
    ]
    await engine.apply(ops, clock.now())
    await engine.close()


def _keys(data: Path) -> list[str]:
    """What the store holds, read beside the server."""
    with sqlite3.connect(f"file:{data / 'queue.db'}?mode=ro", uri=True) as db:
        return [key for (key,) in db.execute("SELECT idempotency_key FROM task")]
