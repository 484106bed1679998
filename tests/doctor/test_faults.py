"""The doctor against real sockets, files, locks and servers: each fault is named, health is not."""

import asyncio
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from types import SimpleNamespace

import pytest

from backstay.core.clock import SystemClock
from backstay.core.errors import Fault
from backstay.core.settings import Secret
from backstay.core.tokens import Issuer, SharedSecret
from backstay.core.validators import Jwt
from backstay.doctor import session
from backstay.doctor.examine import examine, probes_for
from backstay.systems import guides
from backstay.up.ports import free_port

GUIDES = guides()


async def diagnose(target):
    """As the command does it: what does not pass is asked again, with more patience."""
    answer = await asyncio.to_thread(session.diagnose, GUIDES, session.Question(target))
    return answer.verdict


async def only_finding(target):
    verdict = await diagnose(target)
    assert [one.guide for one in verdict.unclear] == []
    assert len(verdict.findings) == 1, [one.says for one in verdict.findings]
    return verdict.findings[0]


async def test_a_healthy_world_is_silent(world):
    verdict = await diagnose(world.target())
    assert (verdict.status, verdict.findings, verdict.unclear) == ("healthy", (), ())


async def test_queue_process_dead(world):
    await world.kill("queue")
    finding = await only_finding(world.target())
    assert finding.cause == "queue-dead"
    assert "killed by signal 9" in finding.says
    assert finding.fixes[0].command == f"backstay restart queue --data {world.data}"


async def test_queue_process_gave_up(world):
    await world.kill("queue", "gave_up", "CORE065: it stopped on an error of its own", 1)
    finding = await only_finding(world.target())
    assert finding.cause == "queue-gave-up"


async def test_queue_that_hangs(world):
    await world.servers["queue"].stop()

    async def mute(reader, writer):
        await reader.read(-1)

    path = world.runtime / "queue.ctl"
    server = await asyncio.start_unix_server(mute, str(path))
    finding = await only_finding(world.target())
    server.close()
    assert finding.cause == "queue-hangs"


async def test_queue_store_not_writable(world):
    (world.data / "queue.db").chmod(0o444)
    world.answers["queue"]["queue.store"] |= {
        "writable": False,
        "code": "CORE041",
        "error": "it cannot be opened for writing",
    }
    finding = await only_finding(world.target())
    assert finding.cause == "store-not-writable"
    assert "mode 0444" in finding.says


async def test_queue_store_not_writable_at_start(world):
    (world.data / "queue.db").chmod(0o444)
    await world.kill("queue", "gave_up", "CORE041: queue.db cannot be opened for writing", 1)
    finding = await only_finding(world.target())
    assert finding.cause == "store-not-writable"
    assert len(finding.follows) == 1


async def test_queue_store_deleted(world):
    (world.data / "queue.db").unlink()
    world.answers["queue"]["queue.store"] |= {"writable": False, "code": "CORE046"}
    assert (await only_finding(world.target())).cause == "store-gone"


async def test_no_worker_serves_a_command(world):
    waiting = world.command(ready=3, oldest_ready_age=9.0, last_claim_age=-1.0, waiting_claims=0)
    world.answers["queue"]["queue.commands"]["commands"]["PACK_ORDER"] = waiting
    finding = await only_finding(world.target())
    assert finding.cause == "no-worker"
    assert "no worker serves PACK_ORDER: nobody ever asked for its tasks, 3 wait" in finding.says
    assert finding.fixes[0].command == "codeq worker start --events PACK_ORDER"


async def test_the_worker_beside_the_app_is_down(world):
    waiting = world.command(ready=1, oldest_ready_age=9.0, last_claim_age=12.0, waiting_claims=0)
    world.answers["queue"]["queue.commands"]["commands"]["PACK_ORDER"] = waiting
    world.processes["packer"] |= {"state": "gave_up", "pid": None}
    world.write_state()
    finding = await only_finding(world.target())
    assert finding.cause == "worker-down"
    assert finding.fixes[0].command == f"backstay restart packer --data {world.data}"


async def test_a_worker_at_work_is_no_fault(world):
    busy = world.command(
        ready=5, in_progress=1, oldest_ready_age=30.0, last_claim_age=20.0, waiting_claims=0
    )
    world.answers["queue"]["queue.commands"]["commands"]["PACK_ORDER"] = busy
    assert (await diagnose(world.target())).status == "healthy"


def opened(world, reason, error):
    world.breakers[0] |= {
        "state": "open",
        "consecutive_failures": 5,
        "reason": reason,
        "next_probe_at": "2026-01-01T00:01:00Z",
    }
    world.answers["app"]["app.integrations"]["integrations"]["Payments"] = {"last_error": error}


async def test_payment_service_down(world):
    opened(world, "Payments.charge: 127.0.0.1:9 does not accept connections", "refused")
    world.payments.stop()
    finding = await only_finding(world.target())
    assert finding.cause == "service-down"
    assert finding.fixes[0].command == f"backstay restart payments --data {world.data}"


async def test_payment_service_slow(world):
    opened(world, "Payments.charge did not answer within 2s", "")
    finding = await only_finding(world.target())
    assert finding.cause == "target-slow"
    assert "Payments is too slow" in finding.says


async def test_payment_service_slow_before_the_breaker_opens(world):
    world.answers["app"]["app.integrations"]["integrations"]["Payments"] = {
        "last_error": "timeout",
        "timeouts_last_minute": 3,
    }
    assert (await only_finding(world.target())).cause == "target-slow"


async def test_app_database_locked_by_another_program(world):
    path = world.data / "app.db"
    hold = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "db.execute('BEGIN EXCLUSIVE'); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"held\n"
    world.answers["app"]["app.database"] |= {"reading": "CORE042", "error": "locked"}
    finding = await only_finding(world.target())
    holder.communicate()
    assert finding.cause == "database-locked"
    assert f"process {holder.pid} holds a write lock" in finding.says


async def test_app_database_gone(world):
    shutil.move(world.data / "app.db", world.data / "elsewhere.db")
    world.answers["app"]["app.database"] |= {"reading": "gone"}
    finding = await only_finding(world.target())
    assert finding.cause == "database-gone"
    assert finding.fixes[0].command == f"backstay down --data {world.data}"


def refusing(world, secret):
    """The gateway judges tokens with `secret`, as the real one does."""
    validator = Jwt(SharedSecret(secret), "backstay", "backstay", SystemClock())

    def answer(headers):
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        if not token:
            return 200, {}
        try:
            asyncio.run(validator.validate(token))
        except Fault as fault:
            return fault.entry.status, {"code": fault.entry.code, "error": fault.message}
        return 200, {}

    world.token_answer = answer


def minted(secret, ttl=600.0):
    return Issuer(secret, "backstay", "backstay", SystemClock()).mint("alice", ttl=ttl)


async def test_wrong_jwt_secret(world):
    refusing(world, world.issuer)
    token = minted(Secret("quite-another-secret-of-32-chars"))
    finding = await only_finding(world.target(token=token))
    assert finding.cause == "wrong-jwt-secret"


async def test_wrong_jwt_secret_of_a_strict_gateway_and_this_shell(world, monkeypatch):
    refusing(world, Secret("the-gateways-own-secret-32-chars"))
    world.settings[0] |= {"source": "env"}
    monkeypatch.setenv("JWT_SECRET", "the-secret-of-this-shell-32-char")
    finding = await only_finding(world.target())
    assert finding.cause == "wrong-jwt-secret"
    assert "secret-of-this-shell" not in str(finding)


async def test_expired_token(world):
    refusing(world, world.issuer)
    finding = await only_finding(world.target(token=minted(world.issuer, ttl=-3600)))
    assert finding.cause == "expired-token"
    assert re.search(r"expired at 20\d\d-", finding.says)


async def test_a_good_token_is_no_fault(world):
    refusing(world, world.issuer)
    assert (await diagnose(world.target(token=minted(world.issuer)))).status == "healthy"


async def test_an_error_text_alone_names_the_expired_token(world):
    finding = await only_finding(
        world.target(text='{"code":"AUTH002","error":"token has expired"}')
    )
    assert finding.cause == "expired-token"


async def test_port_taken_by_another_program(world):
    await world.end()
    script = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', 0));"
        "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    port = int(other.stdout.readline())
    finding = await only_finding(world.target(base_url=f"http://127.0.0.1:{port}"))
    other.communicate()
    assert finding.cause == "port-taken"
    assert f"port {port}" in finding.says
    assert f"(pid {other.pid})" in finding.says


async def test_nothing_runs_and_it_says_so(world):
    await world.end()
    finding = await only_finding(world.target())
    assert finding.cause == "stopped"
    assert finding.fixes[0].command == f"backstay up {world.program} --data {world.data}" or (
        "backstay up" in finding.fixes[0].command
    )


async def test_a_killed_supervisor_is_told_from_a_stopped_one(world):
    for name in list(world.servers):
        await world.kill(name, "ready")
    world.write_state(pid=world.processes["queue"]["pid"])
    world.lock.release()
    world.web.stop()
    finding = await only_finding(world.target())
    assert finding.cause == "killed"


async def test_a_folder_where_nothing_ever_was(tmp_path, world):
    target = world.target(
        data=tmp_path / "no",
        runtime=tmp_path / "no" / "run",
        base_url=f"http://127.0.0.1:{free_port()}",
    )
    assert (await only_finding(target)).cause == "not-started"


@pytest.mark.parametrize(
    ("free", "size", "cause"),
    [
        (1 << 20, 1 << 30, "disk-nearly-full"),
        (80 << 20, 1 << 30, "disk-nearly-full"),
        (100 << 30, 2000 << 30, None),
        (200 << 20, 1 << 30, None),
    ],
)
async def test_disk_nearly_full(world, monkeypatch, free, size, cause):
    real = os.statvfs(world.data)
    block = 4096
    fake = SimpleNamespace(
        f_bavail=free // block,
        f_blocks=size // block,
        f_frsize=block,
        f_favail=1000,
        f_files=2000,
        f_flag=real.f_flag,
    )
    monkeypatch.setattr(os, "statvfs", lambda path: fake)
    verdict = await diagnose(world.target())
    assert [one.cause for one in verdict.findings] == ([cause] if cause else [])


async def test_several_faults_at_once_are_each_named(world):
    await world.kill("queue")
    opened(world, "refused", "refused")
    world.payments.stop()
    refusing(world, world.issuer)
    token = minted(world.issuer, ttl=-3600)
    verdict = await diagnose(world.target(token=token))
    assert {one.cause for one in verdict.findings} == {
        "queue-dead",
        "service-down",
        "expired-token",
    }
    assert verdict.unclear == ()


async def test_a_probe_that_hangs_is_late_and_spoils_nothing(world):
    world.answers["queue"]["queue.commands"] = "hang"
    verdict = await diagnose(world.target())
    assert verdict.status == "unclear"
    assert [one.guide for one in verdict.unclear] == ["no-worker"]


async def test_secrets_do_not_become_evidence(world):
    opened(world, "POST http://user:hunter22@pay/ token=abc123 refused", "refused")
    evidence = await examine(probes_for(GUIDES, GUIDES), world.target(), SystemClock())
    assert "hunter22" not in str(evidence)
    assert "abc123" not in str(evidence)


_MAIL = """
import socket
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    connection, _ = server.accept()
    connection.sendall(b"220 mail ready\\r\\n")
    connection.close()
"""


async def test_a_listener_that_is_not_http_is_a_foreign_one(world):
    # A process of its own: this one stands for the world's.
    mail = subprocess.Popen([sys.executable, "-c", _MAIL], stdout=subprocess.PIPE, text=True)
    try:
        assert mail.stdout is not None
        port = int(mail.stdout.readline())
        verdict = await diagnose(world.target(base_url=f"http://127.0.0.1:{port}"))
    finally:
        mail.kill()
        mail.wait()
        mail.stdout.close()
    assert [one.cause for one in verdict.findings] == ["port-taken"]
    assert f"(pid {mail.pid})" in str(verdict.findings[0].evidence)


def test_the_database_of_the_world_is_a_real_one(world):
    with sqlite3.connect(world.data / "app.db") as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
