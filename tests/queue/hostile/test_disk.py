"""The disk says no: it is full to the last byte, or the store may only be read."""

import os
import subprocess
from pathlib import Path

import pytest
from tests.queue.killing.rounds import Rounds
from tests.queue.support import Server, serving, until
from tests.servers.disk import fill, small_disk


@pytest.mark.timeout(300)
def test_a_disk_that_fills_up_and_is_freed_loses_nothing_accepted(tmp_path: Path):
    """Under load, with a kill -9 now and then; the checker judges what clients were answered."""
    with small_disk(tmp_path / "disk", "24m") as disk:
        found = Rounds(tmp_path / "rounds", 507, disk=disk).run(6)
    assert not found, "\n".join(map(str, found[:5]))


def test_a_full_disk_is_said_by_name_and_forgotten_when_it_is_freed(tmp_path: Path):
    with small_disk(tmp_path / "disk", "16m") as disk, serving(disk / "data") as server:
        kept = server.create(idempotencyKey="kept")
        big = fill(disk)
        answer = until(lambda: _refused(server), 20)
        assert answer["code"] == "CORE040"
        assert str(disk) in answer["error"]
        assert answer["retryable"] is True
        assert server.task(kept["id"])["status"] == "PENDING", "what is there can be read"
        until(lambda: server.get("/healthz", prefix="").status != 200, 20)
        until(lambda: b"codeq_store_up 0" in _scraped(server), 20)
        big.unlink()
        until(lambda: server.get("/healthz", prefix="").status == 200, 20)
        until(lambda: b"codeq_store_up 1" in _scraped(server), 20)
        assert server.create(idempotencyKey="kept")["id"] == kept["id"]
        claimed = server.claim()
        assert claimed is not None
        assert claimed["id"] == kept["id"]


def _scraped(server: Server) -> bytes:
    return server.get("/metrics", prefix="").body


def _refused(server: Server) -> object:
    answer = server.post("/tasks", {"command": "PACK", "payload": "x" * 200_000})
    return answer.json if answer.status == 507 else None


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system is remounted read-only by root alone")
@pytest.mark.parametrize("name", ["disk", "disk" * 25])
def test_a_store_that_may_only_be_read_is_said_by_name(tmp_path: Path, name: str):
    """Also one whose path is too long for a socket beside it."""
    with small_disk(tmp_path / name, "16m") as disk:
        with serving(disk / "data") as server:
            kept = server.create()
            server.stop()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        try:
            server = Server(disk / "data")
            server.log_file = tmp_path / "second.log"
            with pytest.raises(AssertionError, match=r"CORE0(11|41|64)") as ended:
                server.start()
        finally:
            subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        assert str(disk) in str(ended.value)
        assert "Traceback" not in str(ended.value)
        with serving(disk / "data") as again:
            assert again.task(kept["id"])["status"] == "PENDING"
