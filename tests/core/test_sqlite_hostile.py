"""What `core.sqlite.Database` promises while the process dies, the disk fills or the file goes."""

import asyncio
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import apsw
import pytest

from backstay.core.errors import Fault
from backstay.core.sqlite import Database, Schema

SCHEMA = Schema("backstay.test", ("CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)",))
KILLS = 20

WRITER = """
import asyncio, os, sys
from pathlib import Path
from backstay.core.sqlite import Database, Schema
SCHEMA = Schema("backstay.test", ("CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)",))
async def main():
    database = Database(Path(sys.argv[1]), SCHEMA)
    await database.open()
    async def caller(name):
        for n in range(1_000_000):
            text = f"{name}-{n}"
            await database.write(lambda db: db.execute(
                "INSERT INTO note (text) VALUES (?)", (text + "." * 500,)) and None)
            os.write(1, (text + "\\n").encode())
    await asyncio.gather(*(caller(f"{os.getpid()}-{c}") for c in range(8)))
asyncio.run(main())
"""


async def opened(path: Path) -> Database:
    database = Database(path, SCHEMA)
    await database.open()
    return database


def insert(text: str):
    return lambda db: db.execute("INSERT INTO note (text) VALUES (?)", (text,)) and None


def count(db: apsw.Connection) -> int:
    return db.execute("SELECT count(*) FROM note").get


def killed_while_writing(path: Path, after: float) -> set[str]:
    """Start a writer, kill -9 it `after` seconds past its first answer; the answers it gave."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    ready, _, _ = select.select([writer.stdout], [], [], 20)
    assert ready, "the writer never answered"
    time.sleep(after)  # the random point, not a wait for something
    writer.send_signal(signal.SIGKILL)
    answered = writer.stdout.read().decode()
    writer.wait()
    # The last line may be cut: then it was not answered.
    return set(answered[: answered.rfind("\n")].split("\n"))


async def test_every_answered_write_survives_kill_9_at_any_point(tmp_path: Path):
    points = random.Random(20)
    answered: set[str] = set()
    for _ in range(KILLS):
        answered |= killed_while_writing(tmp_path / "note.db", points.uniform(0, 0.06))
    database = await opened(tmp_path / "note.db")
    stored = await database.read(
        lambda db: {text.rstrip(".") for (text,) in db.execute("SELECT text FROM note")}
    )
    assert answered - stored == set()
    assert len(answered) > KILLS
    assert await database.read(lambda db: db.pragma("integrity_check")) == "ok"
    await database.close()


async def test_a_full_disk_fails_the_write_that_does_not_fit_and_loses_nothing(tmp_path: Path):
    database = await opened(tmp_path / "note.db")
    await database.write(insert("before"))
    await database.write(lambda db: db.pragma("max_page_count", db.pragma("page_count") + 4))
    outcomes = await asyncio.gather(
        *(database.write(insert(size * "x")) for size in (10, 200_000, 20)),
        return_exceptions=True,
    )
    refused = [outcome for outcome in outcomes if outcome is not None]
    assert refused
    assert {type(fault) for fault in refused} == {Fault}
    assert {fault.entry.code for fault in refused} == {"CORE040"}
    assert await database.read(count) == 1 + outcomes.count(None)
    await database.write(lambda db: db.pragma("max_page_count", 1_000_000))
    await database.write(insert("fits again" * 50_000))
    await database.close()


@pytest.mark.parametrize("loss", ["deleted", "moved", "replaced"])
async def test_a_file_that_is_gone_is_noticed_before_the_next_answer(tmp_path: Path, loss: str):
    path = tmp_path / "note.db"
    database = await opened(path)
    await database.write(insert("kept"))
    if loss == "deleted":
        path.unlink()
    else:
        path.rename(tmp_path / "elsewhere.db")
    if loss == "replaced":
        path.write_bytes(b"")
    for attempt in (database.write(insert("lost")), database.read(count)):
        with pytest.raises(Fault) as caught:
            await attempt
        assert caught.value.entry.code == "CORE046"
    with pytest.raises(Fault) as caught:
        database.brief(count)
    assert caught.value.entry.code == "CORE046"
    if loss == "moved":
        (tmp_path / "elsewhere.db").rename(path)
        await database.write(insert("back"))
        assert await database.read(count) == 2
    await database.close()


async def test_a_lock_held_by_another_program_is_named_and_passes(tmp_path: Path):
    database = await opened(tmp_path / "note.db")
    other = apsw.Connection(str(tmp_path / "note.db"))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Fault) as caught:
        await database.write(insert("waits"))
    assert caught.value.entry.code == "CORE042"
    assert caught.value.entry.retryable
    other.execute("ROLLBACK")
    other.close()
    await database.write(insert("passes"))
    assert await database.read(count) == 1
    await database.close()


async def test_junk_in_place_of_the_file_is_called_damaged(tmp_path: Path):
    (tmp_path / "note.db").write_bytes(b"certainly no database" * 400)
    with pytest.raises(Fault) as caught:
        await opened(tmp_path / "note.db")
    assert caught.value.entry.code == "CORE043"
    # and the refusal let go of the lock
    (tmp_path / "note.db").unlink()
    await (await opened(tmp_path / "note.db")).close()


async def test_a_missing_folder_is_named(tmp_path: Path):
    with pytest.raises(Fault, match="nowhere") as caught:
        await opened(tmp_path / "nowhere" / "note.db")
    assert caught.value.entry.code == "CORE011"


READ_ONLY = """
import asyncio, os, sys
from pathlib import Path
from backstay.core.errors import Fault
from backstay.core.sqlite import Database, Schema
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    asyncio.run(Database(Path(sys.argv[1]), Schema("backstay.test", ("CREATE TABLE t (id)",))).open())
except Fault as fault:
    print(fault.entry.code)
"""


async def test_a_folder_without_write_permission_is_named(tmp_path: Path):
    (folder := tmp_path / "closed").mkdir(mode=0o555)
    for parent in folder.parents:  # let the unprivileged user look, if these folders are ours
        if parent.owner() == tmp_path.owner() and parent != Path("/"):
            try:
                parent.chmod(parent.stat().st_mode | 0o011)
            except PermissionError:
                break
    told = subprocess.run(
        [sys.executable, "-c", READ_ONLY, str(folder / "note.db")], capture_output=True, text=True
    )
    if told.returncode and "ModuleNotFoundError" in told.stderr:
        pytest.skip("the unprivileged user cannot read this interpreter's packages")
    assert told.stdout == "CORE011\n", told.stderr


async def test_the_lock_dies_with_its_owner(tmp_path: Path):
    killed_while_writing(tmp_path / "note.db", 0.0)
    await (await opened(tmp_path / "note.db")).close()
