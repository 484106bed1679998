"""What only the embedded engine has: a file with versions, its contradictions, its backup."""

import asyncio
from pathlib import Path

import apsw
import pytest

from backstay.core.backoff import Backoff
from backstay.core.errors import Fault
from backstay.core.sqlite.files import application_id
from backstay.core.virtual import CountingIds, FixedDice, VirtualClock
from backstay.queue.model import ANY_TENANT, Policy, Rules, TaskQuery
from backstay.queue.operations import Ack, Claim, Create, Finish, Move, Redrive, SetPolicy
from backstay.queue.store.sql import MIGRATIONS
from backstay.queue.store.sqlite import SCHEMA, SqliteEngine

RULES = Rules(backoff=Backoff("fixed", 10.0, 100.0), retention=3600.0)


def engine(folder: Path, clock: VirtualClock | None = None) -> SqliteEngine:
    return SqliteEngine(folder / "queue.db", RULES, clock or VirtualClock(), FixedDice(), "process")


async def create(store: SqliteEngine, clock: VirtualClock, **fields: object) -> None:
    given = {"id": CountingIds("c").new(), "tenant": "default", "command": "PACK"} | fields
    await store.apply([Create(payload=given.pop("payload", "{}"), **given)], clock.now())


# --- versions --------------------------------------------------------------------------------


def version_1(path: Path, now: float) -> None:
    """A file as the first release wrote it: a task in each state, with its body, some with more."""
    db = apsw.Connection(str(path))
    db.pragma("journal_mode", "wal")
    db.execute(MIGRATIONS[0])
    db.pragma("application_id", application_id(SCHEMA.application))
    db.pragma("user_version", 1)
    states = ("ready", "delayed", "leased", "completed", "failed", "dead", "cancelled")
    for seq, state in enumerate(states, 1):
        ended = now - 10 if seq > 3 else 0.0
        leased = ("anna", "token", now + 40, 60.0) if state == "leased" else ("", "", 0.0, 0.0)
        db.execute(
            "INSERT INTO task (seq, id, tenant, command, state, priority, attempts, max_attempts,"
            " due_at, created_at, updated_at, worker, lease_token, lease_until, lease_seconds,"
            " idempotency_key, fingerprint, reply_to, unacked, webhook, error, ended_at)"
            " VALUES (?, ?, 'shop', 'PACK', ?, 3, 1, 5, ?, ?, ?, ?, ?, ?, ?, ?, 'f', ?, ?, '', ?, ?)",
            (
                *(seq, f"id-{state}", state, now + 100 if state == "delayed" else now - 50),
                *(now - 50, now - 20, *leased, f"key-{state}"),
                *("app" if state == "completed" else "", int(state == "completed")),
                *("broke" if state == "dead" else "", ended),
            ),
        )
        db.execute("INSERT INTO payload VALUES (?, ?)", (seq, f'"{state}"'))
    db.execute("INSERT INTO result VALUES (4, '{\"n\":1}')")
    db.close()


async def test_a_file_of_the_first_release_is_taken_over_whole(tmp_path: Path):
    clock = VirtualClock()
    now = clock.now()
    version_1(tmp_path / "queue.db", now)
    store = engine(tmp_path, clock)
    await store.open()
    tasks = {task.state: task for task in (await store.page(TaskQuery())).items}
    assert [task.id for task in tasks.values()] == [f"id-{state}" for state in tasks]
    assert len(tasks) == 7
    for state, task in tasks.items():
        assert (task.tenant, task.command, task.payload) == ("shop", "PACK", f'"{state}"')
        assert (task.priority, task.attempts, task.created_at) == (3, 1, now - 50)
        assert task.idempotency_key == f"key-{state}"
    assert tasks["completed"].result == '{"n":1}'
    assert tasks["dead"].error == "broke"
    assert tasks["leased"].claimed_at == now - 20
    assert await store.audit(repair=False) == []
    await store.close()


async def test_what_was_begun_under_the_first_release_goes_on(tmp_path: Path):
    clock = VirtualClock()
    now = clock.now()
    version_1(tmp_path / "queue.db", now)
    store = engine(tmp_path, clock)
    await store.open()
    again = Create("x", "shop", "PACK", '"ready"', idempotency_key="key-ready", fingerprint="f")
    results = await store.apply(
        [
            again,
            Finish("shop", "id-leased", "anna", "token", ok=True, result='"late"'),
            Redrive("shop", "id-dead"),
            Ack("shop", "app", ("id-completed",)),
            Claim("bob", ("t1", "t2", "t3"), 60.0, count=3),
        ],
        now,
    )
    assert [result.id for result in results[:3]] == ["id-ready", "id-leased", "id-dead"]
    assert results[3] == 1
    assert [task.id for task in results[4]] == ["id-ready", "id-dead"]
    clock.advance_now(3601)
    await store.apply([Move()], clock.now())
    left = [task.id for task in (await store.page(TaskQuery())).items]
    assert left == ["id-ready", "id-delayed", "id-dead"]
    await store.close()


async def test_the_file_of_the_first_release_is_kept_as_a_copy(tmp_path: Path):
    clock = VirtualClock()
    version_1(tmp_path / "queue.db", clock.now())
    store = engine(tmp_path, clock)
    await store.open()
    await store.close()
    kept = apsw.Connection(str(tmp_path / "queue.db.v1.bak"), flags=apsw.SQLITE_OPEN_READONLY)
    assert kept.pragma("user_version") == 1
    assert kept.execute("SELECT count(*) FROM payload").get == 7
    kept.close()


async def test_a_file_of_a_newer_release_is_refused_and_left_alone(tmp_path: Path):
    db = apsw.Connection(str(tmp_path / "queue.db"))
    db.pragma("application_id", application_id(SCHEMA.application))
    db.pragma("user_version", SCHEMA.version + 1)
    db.close()
    before = (tmp_path / "queue.db").read_bytes()
    with pytest.raises(Fault) as caught:
        await engine(tmp_path).open()
    assert caught.value.entry.code == "CORE047"
    assert (tmp_path / "queue.db").read_bytes() == before


# --- contradictions --------------------------------------------------------------------------


def spoil(folder: Path, *statements: str) -> None:
    """What only a hand at the file, or a broken disk, can do."""
    db = apsw.Connection(str(folder / "queue.db"))
    for statement in statements:
        db.execute(statement)
    db.close()


SPOILED = {
    "no_payload": "UPDATE task SET payload = NULL WHERE seq = 1",
    "orphan_payload": "INSERT INTO payload VALUES (77, '{}')",
    "orphan_result": "INSERT INTO result VALUES (77, '{}')",
    "orphan_attempt": "INSERT INTO attempt VALUES (77, 1, 'w', 1.0, 2.0, 'nacked', 'e')",
    "orphan_delivery": "INSERT INTO delivery (seq, url, due_at) VALUES (77, 'http://x', 1.0)",
    "orphan_tag": "INSERT INTO tag VALUES ('t', 77)",
    "ended_state": "UPDATE task SET ended_at = 5.0 WHERE seq = 1",
    "aside": "UPDATE task SET state = 7 WHERE seq = 1",
}


@pytest.mark.parametrize("kind", sorted(SPOILED))
async def test_each_contradiction_is_found_and_mended(tmp_path: Path, kind: str):
    clock = VirtualClock()
    store = engine(tmp_path, clock)
    await store.open()
    await create(store, clock)
    await store.close()
    spoil(tmp_path, SPOILED[kind])
    store = engine(tmp_path, clock)
    await store.open()
    assert [(each.kind, each.repaired) for each in await store.audit(repair=False)] == [
        (kind, False)
    ]
    assert [(each.kind, each.repaired) for each in await store.audit(repair=True)] == [(kind, True)]
    assert await store.audit(repair=False) == []
    [claimed] = await store.apply([Claim("w", ("t",), 60.0)], clock.now())
    assert len(claimed) == (0 if kind == "no_payload" else 1)
    await store.close()


async def test_a_task_that_is_mended_away_holds_no_place_of_its_queue_any_more(tmp_path: Path):
    clock = VirtualClock()
    store = engine(tmp_path, clock)
    await store.open()
    await store.apply([SetPolicy(Policy("default", "PACK", concurrency=1))], clock.now())
    for number in (1, 2):
        await create(store, clock, id=f"n{number}", command="PACK")
    claim = Claim("w", ("t",), 60.0)
    assert [len(each) for each in await store.apply([claim, claim], clock.now())] == [1, 0]
    spoil(tmp_path, SPOILED["no_payload"])
    assert len(await store.audit(repair=True)) == 1
    [[second]] = await store.apply([claim], clock.now())
    assert second.id == "n2"
    await store.close()


async def test_a_command_is_looked_at_alone(tmp_path: Path):
    clock = VirtualClock()
    store = engine(tmp_path, clock)
    await store.open()
    for number, command in enumerate(("A", "B"), 1):
        await create(store, clock, id=f"n{number}", command=command)
    await store.close()
    spoil(tmp_path, "UPDATE task SET ended_at = 5.0", SPOILED["orphan_tag"])
    store = engine(tmp_path, clock)
    await store.open()
    mended = await store.audit(True, "B")
    assert [(each.kind, each.id) for each in mended] == [
        ("orphan_tag", "77"),
        ("ended_state", "n2"),
    ]
    assert [each.id for each in await store.audit(False)] == ["n1"]
    await store.close()


# --- backup ----------------------------------------------------------------------------------


async def test_a_backup_made_in_use_is_a_whole_queue(tmp_path: Path):
    clock = VirtualClock()
    store = engine(tmp_path / "a", clock)
    (tmp_path / "a").mkdir()
    await store.open()
    await create(store, clock, tags=("t",), payload='"' + "p" * 5000 + '"')
    await store.backup(tmp_path / "b" / "queue.db")
    await create(store, clock, id="later")
    await store.close()
    copy = engine(tmp_path / "b", clock)
    await copy.open()
    [task] = (await copy.page(TaskQuery(tenant=None, tag="t"))).items
    assert len(task.payload) == 5002
    assert await copy.task(ANY_TENANT, "later") is None
    await copy.close()


# --- one commit for many -----------------------------------------------------------------------


async def test_what_cannot_be_stored_fails_alone_and_its_neighbours_stand(tmp_path: Path):
    clock = VirtualClock()
    store = engine(tmp_path, clock)
    await store.open()
    asked = [
        Create(f"n{number}", "default", "PACK", "\ud800" if number == 1 else "{}")
        for number in range(3)
    ]
    results = await asyncio.gather(
        *(store.apply([op], clock.now()) for op in asked), return_exceptions=True
    )
    assert [type(result) for result in results] == [list, UnicodeEncodeError, list]
    claim = Claim("w", ("t1", "t2", "t3"), 60.0, count=3)
    [claimed] = await store.apply([claim], clock.now())
    assert [task.id for task in claimed] == ["n0", "n2"]
    await store.close()


async def test_a_store_that_fails_fails_all_who_wait_and_then_serves_again(tmp_path: Path):
    clock = VirtualClock()
    store = engine(tmp_path, clock)
    await store.open()
    await create(store, clock, id="before")
    (tmp_path / "queue.db").rename(tmp_path / "away")
    results = await asyncio.gather(
        *(create(store, clock, id=f"n{number}") for number in range(5)), return_exceptions=True
    )
    assert [result.entry.code for result in results] == ["CORE046"] * 5
    (tmp_path / "away").rename(tmp_path / "queue.db")
    claim = Claim("w", ("t1", "t2"), 60.0, count=2)
    [claimed] = await store.apply([claim], clock.now())
    assert [task.id for task in claimed] == ["before"]
    await store.close()
    with pytest.raises(Fault) as closed:
        await create(store, clock, id="after")
    assert closed.value.entry.code == "CORE044"


async def test_a_caller_who_leaves_takes_nothing_back_and_a_close_answers_all(tmp_path: Path):
    clock = VirtualClock()
    store = engine(tmp_path, clock)
    await store.open()
    left = asyncio.ensure_future(create(store, clock, id="left"))
    stays = asyncio.ensure_future(create(store, clock, id="stays"))
    await asyncio.sleep(0)
    left.cancel()
    await store.close()
    await stays
    again = engine(tmp_path, clock)
    await again.open()
    assert [task.id for task in (await again.page(TaskQuery())).items] == ["left", "stays"]
    await again.close()


async def test_callers_at_one_moment_share_a_commit(tmp_path: Path):
    clock = VirtualClock()
    store = engine(tmp_path, clock)
    await store.open()
    before = store.write_stats().commits
    await asyncio.gather(*(create(store, clock, id=f"n{number}") for number in range(100)))
    assert store.write_stats().commits - before <= 2
    await store.close()
