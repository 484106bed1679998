"""The supervisor's pure parts: project file, plan, logs, ports, configuration, backups."""

import asyncio
import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import apsw
import pytest

from backstay.core.errors import Fault
from backstay.core.sqlite.files import application_id
from backstay.up.config import sections
from backstay.up.holdings import back_up, restore
from backstay.up.logs import Follower, Lines, Output, RotatingFile, Terminal, history
from backstay.up.owner import MARKER, own, owner
from backstay.up.plan import Plan, Wish, compose
from backstay.up.ports import remembered
from backstay.up.project import Project, project_beside, read_project
from backstay.up.readable import readable
from backstay.up.seed import is_wanted, make
from backstay.up.state import LastExit, ProcessState, State
from backstay.up.table import draw, examples

ORDERS = Path(__file__).parents[2] / "examples" / "orders"


def project(tmp_path: Path, text: str) -> Project:
    file = tmp_path / "backstay.yaml"
    file.write_text(text)
    return read_project(file)


def test_the_orders_example_composes(tmp_path: Path) -> None:
    asked = Wish(data=tmp_path, app_file=ORDERS / "app.cai", jwt_secret="s3cret")
    plan = compose(asked, tmp_path / "run", project_beside(ORDERS / "app.cai"))
    by_name = {child.name: child for child in plan.children}
    payments, packer = by_name["payments"], by_name["packer"]
    assert payments.command[0] == sys.executable
    assert f"{tmp_path}/payments.db" in payments.command
    assert payments.ready_url == f"http://127.0.0.1:{payments.port}/health"
    assert packer.env["CODEQ_BASE_URL"] == f"unix:{tmp_path}/run/queue.sock"
    assert packer.cwd == ORDERS
    again = compose(asked, tmp_path / "run", project_beside(ORDERS / "app.cai"))
    assert again == plan  # the port is remembered
    if "app" in by_name:
        assert by_name["app"].env["PAYMENTS_URL"] == f"http://127.0.0.1:{payments.port}"
        assert by_name["app"].env["JWT_SECRET"] == "s3cret"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("processes: {a: {command: [x], reday: y}}", "'reday'"),
        ("proceses: {}", "'processes'"),
        ("processes:\n  queue: {command: [x]}", "cannot be the name"),
        ("processes:\n  a: {command: []}", "command is empty"),
        ("processes:\n  a: {command: [x], needs: [nobody]}", "'nobody'"),
        ("processes: [1]", "object"),
        ("seed: [\n", "this is not YAML"),
    ],
)
def test_a_mistake_in_the_project_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(Fault) as caught:
        project(tmp_path, text)
    assert caught.value.entry.code == "UP002"
    assert says in caught.value.message + caught.value.fix
    assert "backstay.yaml" in caught.value.message


def test_no_project_file_is_an_empty_project(tmp_path: Path) -> None:
    assert project_beside(tmp_path / "app.cai") == Project()
    assert project_beside(None) == Project()


def test_ports_are_remembered_per_folder(tmp_path: Path) -> None:
    first = remembered(tmp_path, ["a", "b"])
    assert len(set(first.values())) == 2
    assert remembered(tmp_path, ["b", "a"]) == first


def test_a_log_rotates_and_reads_back_in_order(tmp_path: Path) -> None:
    log = RotatingFile(tmp_path / "x.log", limit=30, keep=3)
    follower = Follower(tmp_path / "x.log")
    followed: list[str] = []
    for number in range(12):
        log.write(f"line {number:04}\n".encode())
        followed += follower.poll()
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["x.log", "x.log.1", "x.log.2"]
    assert list(history(tmp_path / "x.log")) == [f"line {n:04}" for n in range(3, 12)]
    assert followed == [f"line {n:04}" for n in range(12)]
    assert stat.S_IMODE((tmp_path / "x.log").stat().st_mode) == 0o600


def test_lines_come_whole_and_endless_ones_in_pieces() -> None:
    lines = Lines()
    assert list(lines.feed(b"on")) == []
    assert list(lines.feed(b"e\ntwo\nth")) == [b"one", b"two"]
    assert list(lines.feed(b"")) == [b"th"]
    assert [len(part) for part in Lines().feed(b"x" * 150_000)] == [65536, 65536]


def test_each_section_keeps_its_line_numbers(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        "up:\n  port: 1\n\nqueue:\n    # deep\n    a: 1\n    b: |\n      x\n      y\napp: {n: 2}\n"
    )
    found = sections(file, tmp_path / "s")
    assert found["queue"].read_text().splitlines() == [
        "", "", "", "", "", "a: 1", "b: |", "  x", "  y",
    ]  # fmt: skip
    assert found["app"].read_text() == "\n" * 9 + "{n: 2}\n"
    assert found["up"].read_text().splitlines()[1] == "port: 1"
    assert found["queue"].name == "c.yaml"


def test_a_folder_has_one_owner_and_says_who(tmp_path: Path) -> None:
    assert owner(tmp_path) is None
    lock = own(tmp_path)
    assert owner(tmp_path) is not None
    lock.release()
    assert owner(tmp_path) is None


def test_backup_and_restore_of_stores_that_nobody_runs(tmp_path: Path) -> None:
    data = tmp_path / "data"
    own(data).release()
    store = apsw.Connection(str(data / "payments.db"))
    store.execute("PRAGMA journal_mode=WAL; CREATE TABLE t(n); INSERT INTO t VALUES (1)").fetchall()
    manifest = asyncio.run(back_up(data, tmp_path / "copy"))
    assert manifest.stores == ("payments.db",)
    store.execute("INSERT INTO t VALUES (2)")
    store.close()

    restore(tmp_path / "copy", data)
    back = apsw.Connection(str(data / "payments.db"))
    assert back.execute("SELECT n FROM t").fetchall() == [(1,)]
    kept = apsw.Connection(str(data / "payments.db.before-restore"))
    assert kept.execute("SELECT count(*) FROM t").get == 2
    assert (data / MARKER).exists()


def test_a_store_of_a_newer_release_or_a_damaged_one_is_not_restored(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    own(data).release()
    for name in ("payments.db", "queue.db"):
        store = apsw.Connection(str(data / name))
        store.execute("CREATE TABLE t(n)")
        store.pragma("user_version", 99)
        store.pragma("application_id", application_id("backstay.queue"))
        store.close()
    asyncio.run(back_up(data, copy))
    before = {file.name: file.stat().st_ino for file in data.glob("*.db*")}
    with pytest.raises(Fault, match="CORE047"):
        restore(copy, data)
    (copy / "queue.db").write_bytes(b"no database" * 100)
    with pytest.raises(Fault, match="CORE043"):
        restore(copy, data)
    assert {file.name: file.stat().st_ino for file in data.glob("*.db*")} == before


def test_a_backup_goes_over_nothing_and_restore_takes_only_backups(tmp_path: Path) -> None:
    data = tmp_path / "data"
    lock = own(data)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(Fault, match="UP012"):
        asyncio.run(back_up(data, tmp_path / "full"))
    with pytest.raises(Fault, match="UP013"):
        restore(tmp_path / "full", data)
    asyncio.run(back_up(data, tmp_path / "copy"))
    with pytest.raises(Fault, match="UP007"):
        restore(tmp_path / "copy", data)
    lock.release()


def plan_with_seed(tmp_path: Path, code: str) -> Plan:
    seed = (sys.executable, "-c", code)
    return Plan(tmp_path, tmp_path, "127.0.0.1", 8080, (), home=tmp_path, seed=seed)


def test_a_seed_is_the_bytes_a_command_prints_and_named_by_them(tmp_path: Path) -> None:
    one = asyncio.run(make(plan_with_seed(tmp_path, "print('{}')")))
    two = asyncio.run(make(plan_with_seed(tmp_path, "print( '{}' )")))
    assert one.body == b"{}\n"
    assert one.id == two.id
    assert is_wanted(plan_with_seed(tmp_path, "")) is True
    (tmp_path / "seeded.json").write_text("{}")
    assert is_wanted(plan_with_seed(tmp_path, "")) is False


def test_a_failing_seed_command_says_why(tmp_path: Path) -> None:
    with pytest.raises(Fault) as caught:
        asyncio.run(make(plan_with_seed(tmp_path, "raise SystemExit('no rows today')")))
    assert caught.value.entry.code == "UP008"
    assert "no rows today" in caught.value.cause


def test_the_table_is_plain_unless_it_is_asked_to_shine() -> None:
    gone = ProcessState(
        None, "", "gave_up", "", "", 4, LastExit("2026-01-01T00:00:00.0Z", "ended with code 3", 3)
    )
    well = ProcessState(7, "", "ready", "http://127.0.0.1:8080", "", 0)
    state = State("0", 1, "", "http://127.0.0.1:8080", "d", "", {"gateway": well, "bad": gone})
    plain = draw(state, colours=False)
    assert plain.splitlines()[1].split() == ["gateway", "ready", "http://127.0.0.1:8080", "7"]
    assert "bad last ended at 2026-01-01T00:00:00Z: ended with code 3; restarts: 4" in plain
    assert "\x1b[" not in plain
    shining = draw(state, colours=True)
    assert "\x1b[32mready" in shining
    assert "\x1b[31mgave_up" in shining


def test_the_lines_of_backstay_yaml_are_offered_ready_to_paste(tmp_path: Path) -> None:
    (tmp_path / "app.cai").write_text("")
    (tmp_path / "backstay.yaml").write_text(
        """try: ["curl -s '{url}/api/v1/cats' # {}", "backstay token --role vet{data}"]\n"""
    )
    tries = project_beside(tmp_path / "app.cai").tries
    running = ProcessState(7, "", "ready", "http://127.0.0.1:9", "", 0)
    state = State("0", 1, "", "http://127.0.0.1:9", "d", "", {"gateway": running, "queue": running})
    lines = examples(state, tmp_path / "app.cai", tries, " --data d")
    assert "curl -s 'http://127.0.0.1:9/api/v1/cats' # {}" in lines
    assert "backstay token --role vet --data d" in lines
    assert lines[-1] == "backstay doctor --data d"
    assert not any("HELLO" in line for line in lines)


def test_an_idle_long_poll_is_not_shown_on_a_terminal_but_kept(tmp_path: Path) -> None:
    idle = b'{"ts":"2026-11-22T02:44:14.7Z","level":"info","msg":"http request","status":204}'
    busy = idle.replace(b"204", b"200")
    shown: list[str] = []
    terminal = SimpleNamespace(colours=True, show=shown.append)
    output = Output(tmp_path, {"queue": 0}, cast("Terminal", terminal))
    output.line("queue", idle)
    output.line("queue", busy)
    output.close()
    assert [line.count("status=200") for line in shown] == [1]
    assert (tmp_path / "queue.log").read_bytes().count(b"\n") == 2


def test_a_log_line_is_readable_on_a_terminal_and_shows_no_trace() -> None:
    line = (
        '{"ts":"2026-11-22T02:44:14.761977Z","level":"error","msg":"step failed","service":"app",'
        '"loop":"cron","exception":"Traceback (most recent call last):\\n  x\\nKeyError: 7"}'
    )
    shown = readable(line)
    assert shown.startswith("02:44:14.761 \x1b[31merror\x1b[0m step failed loop=cron")
    assert "KeyError: 7" in shown
    assert "Traceback" not in shown
    assert "\n" not in shown


@pytest.mark.parametrize("line", ["", "plain words", "{broken", '{"a":1}', '{"ts":1,"level":"x"}'])
def test_what_is_no_log_line_stays_as_it_is(line: str) -> None:
    assert readable(line) == line
