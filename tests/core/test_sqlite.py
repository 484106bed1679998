"""One owner, one writer, group commit: what `core.sqlite.Database` promises while all is well."""

import asyncio
import os
import threading
from pathlib import Path

import apsw
import pytest

from backstay.core.errors import Fault
from backstay.core.sqlite import Database, LongerError, Schema
from backstay.core.sqlite.reading import BRIEF_BYTES
from backstay.core.virtual import VirtualClock

SCHEMA = Schema("backstay.test", ("CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT UNIQUE)",))


def insert(text: str):
    return lambda db: db.execute("INSERT INTO note (text) VALUES (?)", (text,)) and None


def texts(db: apsw.Connection) -> list[str]:
    return [text for (text,) in db.execute("SELECT text FROM note ORDER BY id")]


@pytest.fixture
async def database(tmp_path: Path):
    database = Database(tmp_path / "note.db", SCHEMA)
    await database.open()
    yield database
    await database.close()


async def test_an_answered_write_is_seen_by_the_next_read_and_by_the_next_owner(database: Database):
    await database.write(insert("kept"))
    assert await database.read(texts) == ["kept"]
    await database.close()
    again = Database(database.path, SCHEMA)
    await again.open()
    assert await again.read(texts) == ["kept"]
    await again.close()


async def test_many_callers_share_commits(database: Database):
    await asyncio.gather(*(database.write(insert(str(n))) for n in range(400)))
    stats = database.stats()
    assert stats.jobs == 400
    assert stats.commits <= 10
    assert stats.wal_bytes > 0
    assert stats.commit_seconds > 0


async def test_a_failing_job_leaves_its_neighbours_alone(database: Database):
    def half(db: apsw.Connection) -> None:
        db.execute("INSERT INTO note (text) VALUES ('half')")
        raise ValueError("thought better of it")

    outcomes = await asyncio.gather(
        database.write(insert("left")),
        database.write(half),
        database.write(insert("left")),
        database.write(insert("right")),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [
        type(None),
        ValueError,
        apsw.ConstraintError,
        type(None),
    ]
    assert await database.read(texts) == ["left", "right"]


async def test_a_failing_commit_fails_all_of_its_group(database: Database):
    await database.write(
        lambda db: db.execute(
            "CREATE TABLE line (note INTEGER REFERENCES note (id) DEFERRABLE INITIALLY DEFERRED)"
        )
    )

    def dangling(db: apsw.Connection) -> None:
        db.execute("INSERT INTO line VALUES (4711)")

    outcomes = await asyncio.gather(
        database.write(insert("a")),
        database.write(dangling),
        database.write(insert("b")),
        return_exceptions=True,
    )
    # Savepoints do not check deferred keys: it is the commit that fails, for everybody in it.
    refused = [isinstance(outcome, apsw.ConstraintError) for outcome in outcomes]
    assert refused[1]
    stored = await database.read(texts)
    assert [text in stored for text in ("a", "b")] == [not refused[0], not refused[2]]
    await database.write(insert("after"))
    assert "after" in await database.read(texts)


async def test_a_cancelled_caller_does_not_disturb_the_others(database: Database):
    task = asyncio.create_task(database.write(insert("orphan")))
    await asyncio.sleep(0)
    task.cancel()
    await database.write(insert("other"))
    assert await database.read(texts) == ["orphan", "other"]


async def test_callers_of_several_loops_are_answered_in_their_own(database: Database):
    def elsewhere() -> None:
        asyncio.run(database.write(insert("from another loop")))

    await asyncio.gather(database.write(insert("from here")), asyncio.to_thread(elsewhere))
    assert sorted(await database.read(texts)) == ["from another loop", "from here"]


async def test_close_answers_what_was_given_and_refuses_what_comes_after(database: Database):
    given = [asyncio.create_task(database.write(insert(str(n)))) for n in range(50)]
    await asyncio.sleep(0)
    await asyncio.gather(database.close(), database.close())
    assert await asyncio.gather(*given) == [None] * 50
    for refused in (database.write(insert("late")), database.read(texts)):
        with pytest.raises(Fault) as caught:
            await refused
        assert caught.value.entry.code == "CORE044"
    with pytest.raises(LongerError):
        database.brief(texts)


async def test_the_log_is_checkpointed_by_the_writer_and_empty_after_close(database: Database):
    big = "x" * 100_000
    for n in range(60):
        await database.write(insert(f"{n}{big}"))
    assert database.stats().checkpoints >= 1
    wal = database.path.with_name("note.db-wal")
    assert wal.stat().st_size < 6_000_000
    await database.close()
    assert not wal.exists()


async def test_process_durability_trades_the_sync_away(tmp_path: Path):
    database = Database(tmp_path / "fast.db", SCHEMA, durability="process")
    await database.open()
    assert await database.write(lambda db: db.pragma("synchronous")) == 1
    await database.close()


async def test_power_durability_is_the_default(database: Database):
    assert await database.write(lambda db: db.pragma("synchronous")) == 2


# --- versions, copies, owners ----------------------------------------------------------------


async def test_migration_runs_after_a_copy_of_the_file(database: Database):
    await database.write(insert("old"))
    await database.close()
    newer = Schema(SCHEMA.application, (*SCHEMA.migrations, "ALTER TABLE note ADD COLUMN more"))
    again = Database(database.path, newer)
    await again.open()
    assert await again.read(lambda db: db.pragma("user_version")) == 2
    await again.close()
    copy = apsw.Connection(str(database.path.with_name("note.db.v1.bak")))
    assert texts(copy) == ["old"]
    assert copy.pragma("user_version") == 1
    copy.close()


async def test_a_failing_migration_leaves_the_old_version_whole(database: Database):
    await database.write(insert("old"))
    await database.close()
    broken = "ALTER TABLE note ADD COLUMN more; SELECT * FROM nowhere"
    with pytest.raises(apsw.SQLError):
        await Database(
            database.path, Schema(SCHEMA.application, (*SCHEMA.migrations, broken))
        ).open()
    await database.open()
    assert await database.read(texts) == ["old"]
    columns = "SELECT count(*) FROM pragma_table_info('note')"
    assert await database.read(lambda db: db.execute(columns).get) == 2


async def test_a_newer_schema_is_refused_and_not_touched(tmp_path: Path):
    newer = Schema(SCHEMA.application, (*SCHEMA.migrations, "CREATE TABLE more (id)"))
    writer = Database(tmp_path / "note.db", newer)
    await writer.open()
    await writer.close()
    with pytest.raises(Fault, match="schema version 2; this program knows up to 1") as caught:
        await Database(tmp_path / "note.db", SCHEMA).open()
    assert caught.value.entry.code == "CORE047"


async def test_a_file_of_another_application_is_refused_and_not_touched(tmp_path: Path):
    other = Database(tmp_path / "note.db", Schema("backstay.other", SCHEMA.migrations))
    await other.open()
    await other.close()
    before = (tmp_path / "note.db").read_bytes()
    with pytest.raises(Fault) as caught:
        await Database(tmp_path / "note.db", SCHEMA).open()
    assert caught.value.entry.code == "CORE048"
    assert (tmp_path / "note.db").read_bytes() == before


async def test_a_second_owner_is_refused_and_told_who_the_first_is(database: Database):
    with pytest.raises(Fault, match=f"in use by process {os.getpid()}") as caught:
        await Database(database.path, SCHEMA).open()
    assert caught.value.entry.code == "CORE010"
    await database.write(insert("still the owner"))


async def test_a_backup_made_under_writes_restores_to_one_moment(
    database: Database, tmp_path: Path
):
    await asyncio.gather(*(database.write(insert(f"before {n}")) for n in range(50)))
    writing = asyncio.gather(*(database.write(insert(f"during {n}")) for n in range(200)))
    await database.backup(tmp_path / "copies" / "note.backup")
    await writing
    await database.write(insert("after"))
    await database.close()
    await database.restore(tmp_path / "copies" / "note.backup")
    await database.open()
    kept = await database.read(texts)
    assert kept[:50] == [f"before {n}" for n in range(50)]
    assert kept[50:] == [f"during {n}" for n in range(len(kept) - 50)]
    former = apsw.Connection(str(tmp_path / "note.db.before-restore"))
    assert "after" in texts(former)
    former.close()


async def test_restore_refuses_what_is_no_backup_and_an_open_file(
    database: Database, tmp_path: Path
):
    (tmp_path / "junk").write_bytes(b"no database at all" * 100)
    with pytest.raises(Fault) as owned:
        await database.restore(tmp_path / "junk")
    assert owned.value.entry.code == "CORE010"
    await database.write(insert("kept"))
    await database.close()
    with pytest.raises(Fault) as damaged:
        await database.restore(tmp_path / "junk")
    assert damaged.value.entry.code == "CORE043"
    await database.open()
    assert await database.read(texts) == ["kept"]


async def test_no_statement_is_prepared_again_because_other_values_are_bound(database: Database):
    def looks(db: apsw.Connection) -> int:
        """How often SQLite looks at the statement again, once it is in the cache."""
        seen: list[object] = []
        db.set_authorizer(lambda *what: seen.append(what) or apsw.SQLITE_OK)
        for number in range(1, 6):
            db.execute(
                "SELECT * FROM note WHERE text > ? LIMIT ?", (f"n{number}", number)
            ).fetchall()
            if number == 1:
                seen.clear()
        db.set_authorizer(None)
        return len(seen)

    await database.write(insert("text"))
    assert await database.write(looks) == await database.read(looks) == 0


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def timeless(tmp_path: Path, clock: VirtualClock):
    """No machine is so loaded that time passes there."""
    made = Database(tmp_path / "note.db", SCHEMA, clock=clock)
    await made.open()
    yield made
    await made.close()


async def test_a_brief_read_sees_every_answered_write_and_uses_no_other_thread(timeless: Database):
    await timeless.write(insert("kept"))
    assert timeless.brief(lambda db: (texts(db), threading.get_ident())) == (
        ["kept"],
        threading.get_ident(),
    )


async def test_brief_work_that_takes_long_is_broken_off_and_a_reader_does_it(timeless: Database):
    forever = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?) SELECT 1"

    def last(rows: int):
        return lambda db: len(list(db.execute(f"{forever} FROM n", (rows,))))

    with pytest.raises(LongerError):
        timeless.brief(last(100_000))
    assert await timeless.read(last(100_000)) == 100_000
    # What was broken off left no snapshot and no count of steps behind.
    for number in range(100):
        assert timeless.brief(last(100)) == 100
        await timeless.write(insert(str(number)))
        assert len(timeless.brief(texts)) == number + 1


async def test_brief_work_many_times_over_is_still_brief(timeless: Database):
    # SQLite counts the steps of a prepared statement over all its runs.
    await timeless.write(lambda db: db.executemany(*_many(500)))
    assert {len(timeless.brief(texts)) for _ in range(300)} == {500}


async def test_brief_work_meets_no_large_value(timeless: Database):
    await timeless.write(insert("x" * BRIEF_BYTES))
    assert timeless.brief(texts) == ["x" * BRIEF_BYTES]
    await timeless.write(insert("y" * (BRIEF_BYTES + 1)))
    with pytest.raises(LongerError):
        timeless.brief(texts)
    with pytest.raises(LongerError):
        timeless.brief(lambda db: db.execute("SELECT ?", ("z" * 2 * BRIEF_BYTES,)).get)
    assert len(await timeless.read(texts)) == 2


async def test_brief_work_does_not_wait_for_a_slow_disk(timeless: Database, clock: VirtualClock):
    def slowly(db: apsw.Connection) -> int:
        db.create_scalar_function("disk", lambda: clock.advance_now(0.001))
        numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 40)"
        return len(list(db.execute(f"{numbers} SELECT disk() FROM n")))

    with pytest.raises(LongerError):
        timeless.brief(slowly)
    assert await timeless.read(slowly) == 40


async def test_the_end_of_brief_work_is_not_broken_off(timeless: Database, clock: VirtualClock):
    def late(db: apsw.Connection) -> list[str]:
        found = texts(db)
        clock.advance_now(1.0)
        return found

    # SQLite looks up once in many runs while it ends a snapshot; the next work met it open then.
    assert [timeless.brief(late) for _ in range(500)] == [[]] * 500


async def test_brief_work_inside_of_brief_work_is_for_a_reader(timeless: Database):
    def nested(db: apsw.Connection) -> list[str]:
        with pytest.raises(LongerError):
            timeless.brief(texts)
        return texts(db)

    assert timeless.brief(nested) == []


def _many(count: int) -> tuple[str, list[tuple[str]]]:
    return "INSERT INTO note (text) VALUES (?)", [(str(number),) for number in range(count)]


async def test_a_touch_is_written_each_time(database: Database):
    """A row set to what it was is not: SQLite compares, and a full disk went unnoticed."""
    await database.touch()
    for _ in range(3):
        before = database.stats().wal_bytes
        await database.touch()
        assert database.stats().wal_bytes > before
