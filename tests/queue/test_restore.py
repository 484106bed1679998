"""A backup of a lone server comes back: `codeq admin backup`, `codeq admin restore`."""

import json
from pathlib import Path

from tests.queue.support import run_codeq, serving

from backstay.core.lock import Lock


def restored(file: Path, data: Path, code: int = 0) -> str:
    told = run_codeq("admin", "restore", str(file), "--data", str(data))
    assert told.returncode == code, told.stdout + told.stderr
    return str(told.stdout + told.stderr)


def test_a_backup_brings_the_old_state_back_once_the_server_is_stopped(tmp_path: Path):
    data = tmp_path / "data"
    with serving(data) as server:
        waiting, done = server.create("A"), server.create("B")
        asked = run_codeq("--base-url", server.base_url, "admin", "backup", "--output", "json")
        copy = data / json.loads(asked.stdout)["file"]
        later = server.create("A")
        task = server.claim("B")
        assert task is not None
        body = {"status": "COMPLETED", "result": {}, "leaseToken": task["leaseToken"]}
        assert server.post(f"/tasks/{task['id']}/result", body).status == 200
        refused = restored(copy, data, 1)
        assert "CORE010" in refused
        assert server.process is not None
        assert str(server.process.pid) in refused
        assert server.task(later["id"])["status"] == "PENDING"
        server.stop()
        restored(copy, data)
        server.start()
        assert {each["id"] for each in server.get("/tasks").json["data"]} == {
            waiting["id"],
            done["id"],
        }
        assert server.task(done["id"])["status"] == "PENDING"
        assert server.claim("B") is not None
    assert (data / "queue.db.before-restore").is_file()


def test_a_damaged_file_and_one_of_something_else_change_nothing(tmp_path: Path):
    data = tmp_path / "data"
    with serving(data) as server:
        made = server.create("A")
        copy = data / server.post("/admin/backup").json["file"]
        server.stop()
        whole = copy.read_bytes()
        damaged, foreign = tmp_path / "damaged.db", tmp_path / "foreign.db"
        damaged.write_bytes(whole[:4096] + bytes(len(whole) - 4096))
        foreign.write_text("no database\n" * 100)
        assert "CORE043" in restored(damaged, data, 1)
        assert "CORE043" in restored(foreign, data, 1)
        assert not (data / "queue.db.before-restore").exists()
        server.start()
        assert server.task(made["id"])["status"] == "PENDING"


def test_a_folder_that_a_supervisor_owns_is_refused_though_its_queue_is_down(tmp_path: Path):
    data = tmp_path / "data"
    with serving(data) as server:
        copy = data / server.post("/admin/backup").json["file"]
        server.stop()
    with Lock(data):
        assert "CORE010" in restored(copy, data, 1)
    assert not (data / "queue.db.before-restore").exists()


def test_a_backup_opens_a_folder_of_its_own(tmp_path: Path):
    with serving(tmp_path / "data") as server:
        made = server.create("A")
        copy = tmp_path / "data" / server.post("/admin/backup").json["file"]
    restored(copy, tmp_path / "other")
    with serving(tmp_path / "other") as other:
        assert other.task(made["id"])["status"] == "PENDING"
