"""Ten faults injected into the running example; the doctor must name each, and stay silent else.

Every fault is real: processes are killed, files are moved, ports are taken, disks fill up. A test
checks the named cause, not that something was said.
"""

import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.stack import Stack, running, until

from backstay.up.ports import free_port

HEALTHY, WRONG, UNSURE = 0, 1, 2


def diagnose(stack: Stack, *words: str) -> tuple[int, dict[str, Any]]:
    done = stack.command("doctor", *words, "--output", "json")
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout, f"exit {done.returncode}: {done.stderr}"
    return done.returncode, json.loads(done.stdout)


def causes(verdict: dict[str, Any]) -> list[str]:
    return [finding["cause"] for finding in verdict["findings"]]


def assert_named(stack: Stack, cause: str, *words: str, seconds: float = 20.0) -> dict[str, Any]:
    """The doctor comes to name the cause; an effect may need a moment to show."""
    seen: list[Any] = []

    def named() -> bool:
        code, verdict = diagnose(stack, *words)
        seen[:] = [code, verdict]
        return code == WRONG and cause in causes(verdict)

    until(named, seconds, lambda: f"wanted {cause}, got {json.dumps(seen, indent=1)[:3000]}")
    verdict = dict(seen[1])
    found = next(entry for entry in verdict["findings"] if entry["cause"] == cause)
    assert found["evidence"], "a cause without evidence is a guess"
    assert found["fixes"], "a cause without a fix leaves its reader alone"
    return verdict


def kill_until_given_up(stack: Stack, name: str) -> None:
    def given_up() -> bool:
        stack.kill(name)
        return bool(stack.state()["processes"][name]["state"] == "gave_up")

    until(given_up, 40, lambda: json.dumps(stack.state()["processes"][name]))


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Stack]:
    with running(tmp_path) as stack:
        yield stack


def buy(stack: Stack, count: int = 1) -> None:
    customer, product = stack.customer(), stack.products(1)[0]["id"]
    for _ in range(count):
        stack.order(customer, [(product, 1)])


def test_a_healthy_run_is_silent(shop: Stack) -> None:
    buy(shop, 3)
    shop.settle()
    code, verdict = diagnose(shop)
    assert (code, verdict["findings"]) == (HEALTHY, []), json.dumps(verdict)[:2000]
    plain = shop.command("doctor")
    assert plain.returncode == HEALTHY
    assert len(plain.stdout.strip().splitlines()) == 1


def test_nothing_runs_is_said(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "backstay.cli.backstay", "doctor", "--data", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode in (WRONG, UNSURE)
    assert "nothing was ever started" in done.stdout


def test_the_queue_process_is_dead(shop: Stack) -> None:
    kill_until_given_up(shop, "queue")
    assert_named(shop, "queue-gave-up")


def test_the_queue_store_is_not_writable(shop: Stack) -> None:
    # No byte may be added to any file: the store fails while the process lives.
    resource.prlimit(shop.pid("queue"), resource.RLIMIT_FSIZE, (0, 0))
    buy(shop)
    assert_named(shop, "store-not-writable")


def test_the_payment_service_is_down(shop: Stack) -> None:
    kill_until_given_up(shop, "payments")
    buy(shop, 5)
    assert_named(shop, "service-down", seconds=30)


def test_the_payment_service_is_slow(shop: Stack) -> None:
    address = shop.state()["processes"]["payments"]["address"]
    subprocess.run(
        ["curl", "-sf", "-X", "POST", f"{address}/faults", "-d", '{"delay": 6}'], check=True
    )
    buy(shop, 5)
    assert_named(shop, "target-slow", seconds=30)


def test_the_app_database_is_locked(shop: Stack) -> None:
    with closing(sqlite3.connect(shop.data / "app.db", isolation_level=None)) as intruder:
        intruder.execute("BEGIN IMMEDIATE")
        assert_named(shop, "database-locked")
        intruder.execute("ROLLBACK")


def test_the_app_database_is_gone(shop: Stack) -> None:
    (shop.data / "app.db").rename(shop.data / "elsewhere.db")
    assert_named(shop, "database-gone")


def test_the_secret_that_signed_the_token_is_another(tmp_path: Path) -> None:
    with running(tmp_path, env={"JWT_SECRET": "the gateway's own secret, long enough"}) as stack:
        stack.env["JWT_SECRET"] = "another secret, as long as the first"
        token = stack.token("staff")
        assert_named(stack, "wrong-jwt-secret", "--token", token)


def test_the_token_has_expired(shop: Stack) -> None:
    done = shop.command("token", "--role", "staff", "--ttl=-10m")
    assert done.returncode == 0, done.stderr
    assert_named(shop, "expired-token", "--token", done.stdout.strip())


def test_the_port_is_taken_by_another_program(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "data")
    stack.port = free_port()
    with socket.create_server(("127.0.0.1", stack.port)):
        stack.start(wait=0)
        assert stack.process is not None
        assert stack.process.wait(5) != 0
        said = stack.output.read_text()
        assert f"{stack.port}" in said
        assert f"{os.getpid()}" in said
        verdict = assert_named(stack, "port-taken", "--url", f"http://127.0.0.1:{stack.port}")
        assert str(os.getpid()) in json.dumps(verdict)
    stack.close()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"mount needs root: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_the_disk_is_nearly_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "96m") as disk, running(disk) as stack:
        free = shutil.disk_usage(disk).free
        (disk / "ballast").write_bytes(b"\0" * (free - 2 * 1024 * 1024))
        assert_named(stack, "disk-nearly-full")


def test_no_worker_serves_the_command(shop: Stack) -> None:
    kill_until_given_up(shop, "packer")
    buy(shop)
    verdict = assert_named(shop, "worker-down", seconds=40)
    assert "PACK_ORDER" in json.dumps(verdict)


def test_a_stopped_process_is_not_called_dead(shop: Stack) -> None:
    pid = shop.pid("queue")
    os.kill(pid, signal.SIGSTOP)
    try:
        _, verdict = diagnose(shop)
        assert "queue-dead" not in causes(verdict)
    finally:
        os.kill(pid, signal.SIGCONT)
