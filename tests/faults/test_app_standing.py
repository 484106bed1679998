"""Work that stands still after a crash, and a server that does not come back: kill -9 beside a
living replica, a program that is gone, a frozen holder of the turn, an interrupted restore, tables
behind the program; on real servers. The doctor names each, and what it says to type mends it."""

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from tests.e2e.stack import running
from tests.faults.apps import serving
from tests.faults.consulting import apply, assert_named, assert_well
from tests.faults.test_app_leaks import mute
from tests.queue.support import clean_env, until
from tests.servers.postgres import PostgresServer
from tests.servers.slowed import held_up

PROGRAM = """
entity Note {{ id: uuid, primary, auto, text: text, required{more} }}
endpoint GET /notes {{ returns: paginated(Note) }}
integration Till {{
  type: rest
  base_url: env("TILL_URL", "http://127.0.0.1:9")
  timeout: 20s
  operation pay {{ method: POST, path: "/pay" }}
}}
workflow buy {{ steps {{ pay {{ call: Till.pay {{}} }} }} }}
workflow late {{ signals {{ go: bool }} steps {{ rest {{ signal: go timeout: 1h }} }} }}
workflow quick {{ steps {{ write {{ do {{ create Note {{ text: "done" }} }} }} }} }}
"""
PLAIN = PROGRAM.format(more="")
ASKS = "executions stand still after a crash"


@pytest.fixture
def database(tmp_path: Path, postgres: PostgresServer) -> str:
    name = f"stand_{os.getpid()}_{abs(hash(tmp_path.name)) % 10**8}"
    postgres.sql(f"CREATE DATABASE {name}")
    return postgres.url(name)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_a_replica_died_with_a_call_under_way(place: Path, database: str) -> None:
    with mute() as (till, end), serving(place / "first", PLAIN, database, TILL_URL=till) as other:
        with suppress(ProcessLookupError):
            execution = str(other.post("/workflows/buy/start")["id"])
            until(lambda: other.probe("app.tasks")["calls"] == 1, 20.0)
            os.kill(other.pid, signal.SIGKILL)
        with serving(place / "second", PLAIN, database, TILL_URL=till) as served:
            # A lease of another process is everyday life: nobody hears of it who does not ask.
            served.well()
            found = served.fault("lease-of-another", ASKS)
            assert "holds 1 steps pay of buy" in found["says"]
            assert execution in apply(found, "wait")
            end()


def test_whoever_has_the_turn_is_frozen(
    place: Path, postgres: PostgresServer, database: str
) -> None:
    """A session that holds the lock of workflows: everything but workflows goes on."""
    from backstay.app.store.postgres.database import ALONE

    with serving(place / "first", PLAIN, database) as served, ExitStack() as stack:
        command = [str(postgres.binaries / "psql"), "-XAtq", database]
        holder = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        stack.callback(holder.wait, 10)
        stack.callback(holder.kill)
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdin.write(f"SELECT pg_advisory_lock({ALONE}), 'held';\n")
        holder.stdin.flush()
        assert "held" in holder.stdout.readline()
        made = str(served.post("/workflows/quick/start")["id"])
        found = served.fault("lock-held", ASKS)
        assert "psql" in found["says"]
        apply(found, "end-session", DATABASE_URL=database)
        until(lambda: served.get(f"/executions/{made}")["status"] == "completed", 30.0)
        served.well(ASKS)


def test_the_program_of_an_execution_is_gone(
    place: Path, postgres: PostgresServer, database: str
) -> None:
    with serving(place / "first", PLAIN, database) as served:
        execution = str(served.post("/workflows/late/start")["id"])
        until(lambda: served.get(f"/executions/{execution}")["status"] == "running", 20.0)
    name = database.rpartition("/")[2]
    postgres.sql("DELETE FROM backstay_programs", name)
    other = PLAIN + 'workflow more { steps { write { do { create Note { text: "x" } } } } }\n'
    with serving(place / "first", other, database) as served:
        found = served.fault("program-missing")
        assert f"1 executions, {execution} of late among them" in found["says"]
        # The program's own file is still at hand: serve it once, then everything goes on.
        assert f"codeai workflow migrate {execution}" in found["fixes"][0]["command"]
    with serving(place / "first", PLAIN, database) as served:
        served.well()


def test_the_tables_are_behind_the_program(place: Path, database: str) -> None:
    file = place / "first" / "app.cai"
    with serving(place / "first", PLAIN, database) as served:
        data = served.data
    file.write_text(PROGRAM.format(more=", title: string"))
    words = [sys.executable, "-m", "backstay.cli.codeai", "server", str(file), "--data", str(data)]
    env = clean_env() | {"DATABASE_URL": database}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "APP028" in done.stderr
    # It stands in the folder, and in the words that were printed.
    found = assert_named(data, "migrations-behind", done.stderr[:400], "--only", "app-start")
    assert "behind" in found["says"]
    command = next(fix["command"] for fix in found["fixes"] if fix["id"] == "migrate")
    assert command == "codeai migrate FILE.cai --apply"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(
        ["bash", "-c", command.replace("FILE.cai", str(file))],
        env=env | {"PATH": path},
        check=True,
        timeout=60,
        capture_output=True,
    )
    with serving(place / "first", file.read_text(), database) as served:
        served.well()


@pytest.mark.parametrize(
    ("env", "program", "cause"),
    [
        ({"DATABASE_URL": "mysql://here/x"}, PLAIN, "app-database-address"),
        ({"DATABASE_URL": "postgres://127.0.0.1:9/x"}, PLAIN, "app-database-away"),
        ({}, PLAIN.replace(', "http://127.0.0.1:9"', ""), "environment-missing"),
        ({}, PLAIN + "workflow {", "app-program-invalid"),
        ({}, PLAIN + 'workflow o { steps { p { task: PRINT { x: "x" } } } }', "app-without-queue"),
        ({"CODEAI_LISTEN": "192.0.2.1:8080"}, PLAIN, "app-open-without-tokens"),
        ({"CODEAI_LISTEN": "here:http"}, PLAIN, "app-port-taken"),
    ],
)
def test_a_server_that_did_not_start(
    place: Path, env: dict[str, str], program: str, cause: str
) -> None:
    file, data = place / "app.cai", place / "data"
    file.write_text(program)
    words = [sys.executable, "-m", "backstay.cli.codeai", "server", str(file), "--data", str(data)]
    done = subprocess.run(words, env=clean_env() | env, capture_output=True, timeout=60)
    assert done.returncode != 0
    assert_named(data, cause, "--only", "app-start")


def test_a_restore_was_interrupted(tmp_path: Path) -> None:
    with running(tmp_path) as stack:
        kept = tmp_path / "kept"
        assert stack.command("backup", str(kept)).returncode == 0
        assert stack.command("down").returncode == 0
        code = [sys.executable, "-m", "backstay.cli.backstay", "restore", str(kept)]
        late = held_up(tmp_path / "trace", "link,linkat", 15.0)
        restoring = subprocess.Popen(
            [*late, *code, "--data", str(stack.data)], env=clean_env(), stdout=subprocess.DEVNULL
        )
        until(lambda: any(stack.data.glob("*.db.restoring")), 30.0)
        restoring.kill()
        restoring.wait(40)
        found = assert_named(stack.data, "restore-interrupted", "--only", "app-standing")
        assert ".db.restoring" in found["says"]
        again = next(fix["command"] for fix in found["fixes"] if fix["id"] == "restore-again")
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        subprocess.run(
            ["bash", "-c", again.replace("BACKUP", str(kept))],
            env=clean_env() | {"PATH": path},
            check=True,
            timeout=60,
            capture_output=True,
        )
        assert_well(stack.data, "--only", "app-standing")
    shutil.rmtree(kept)


def test_a_suspended_server_is_told_from_one_that_is_gone(place: Path) -> None:
    with serving(place / "first", PLAIN, "") as served:
        os.kill(served.pid, signal.SIGSTOP)
        try:
            found = served.fault("app-hangs")
            apply(found, "wake")
            served.well()
        finally:
            os.kill(served.pid, signal.SIGCONT)


def test_a_server_whose_files_may_not_grow_is_not_called_well(place: Path) -> None:
    """A ping that set a row to what it was wrote nothing, so that health and doctor saw nothing."""
    unlimited = resource.RLIM_INFINITY
    with serving(place / "first", PLAIN, "") as served:
        resource.prlimit(served.pid, resource.RLIMIT_FSIZE, (0, unlimited))
        try:
            served.fault("database-not-writable")
        finally:
            resource.prlimit(served.pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
        served.well()


def begin(place: Path, data: Path, program: str, **env: str) -> str:
    """Start a server that does not come up; what it said."""
    file = place / "again.cai"
    file.write_text(program)
    words = [sys.executable, "-m", "backstay.cli.codeai", "server", str(file), "--data", str(data)]
    done = subprocess.run(words, env=clean_env() | env, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    return done.stderr


def test_a_store_that_cannot_be_served_any_more(place: Path) -> None:
    with serving(place / "first", PROGRAM.format(more=", title: string"), "") as served:
        served.run("quick")
        data, store = served.data, served.data / "app.db"
    assert "APP003" in begin(place, data, PLAIN)  # a column would go
    assert_named(data, "migration-touches-data", "--only", "app-start")
    with closing(sqlite3.connect(store)) as db:
        db.execute("PRAGMA user_version = 9000")
        db.commit()
    assert "CORE047" in begin(place, data, PLAIN)
    assert_named(data, "app-store-newer", "--only", "app-start")
    store.write_bytes(b"no database" * 1000)
    begin(place, data, PLAIN)
    assert_named(data, "database-damaged", "--only", "app-database")


def test_a_database_that_lets_nobody_in_or_holds_the_tables_of_another(
    place: Path, postgres: PostgresServer, database: str
) -> None:
    data = place / "data"
    assert "APP045" in begin(place, data, PLAIN, DATABASE_URL=postgres.url("nobody_made_this"))
    assert_named(data, "app-database-refuses", "--only", "app-start")
    postgres.sql("CREATE TABLE notes (title text)", database.rpartition("/")[2])
    assert "APP027" in begin(place, data, PLAIN, DATABASE_URL=database)
    assert_named(data, "table-is-anothers", "--only", "app-start")
