"""The command line's own troubles: codeq that is not found, and servers that are not there."""

import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from tests.faults.consulting import (
    HEALTHY,
    apply,
    assert_mended,
    assert_named,
    assert_silent,
    causes,
    consult,
    path_without_codeq,
)
from tests.queue.support import run_codeq, serving
from tests.servers.valkey import RedisServer

from backstay.up.ports import free_port

NOT_FOUND = "bash: codeq: command not found"


def test_codeq_is_not_on_the_path(tmp_path: Path) -> None:
    lost = {"PATH": path_without_codeq()}
    assert shutil.which("codeq", path=lost["PATH"]) is None
    found = assert_named(
        tmp_path / "data", "not-on-path", "--only", "codeq-not-found", NOT_FOUND, env=lost
    )
    folder = str(Path(sys.executable).parent)
    assert found["fixes"][0]["command"] == f'export PATH="$PATH:{folder}"'
    # The fix is the fix.
    assert shutil.which("codeq", path=f"{lost['PATH']}:{folder}")


def test_codeq_is_not_installed(tmp_path: Path) -> None:
    """A Backstay that runs, beside which no codeq lies."""
    place = tmp_path / "other"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    (packages,) = place.glob("lib/python*/site-packages")
    ours = sysconfig.get_path("purelib")
    (packages / "backstay.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    asked = ("--only", "codeq-not-found", NOT_FOUND)
    known = {"env": {"PATH": path_without_codeq()}, "python": place / "bin" / "python"}
    found = assert_named(tmp_path / "data", "not-installed", *asked, **known)
    assert str(place / "bin") in found["says"]
    assert found["evidence"][0]["reading"] == "missing"
    assert found["fixes"][0]["command"] == "pip install --force-reinstall backstay"
    # What that leaves behind; the rest is the shell's PATH.
    shutil.copy(Path(sys.executable).with_name("codeq"), place / "bin" / "codeq")
    assert_named(tmp_path / "data", "not-on-path", *asked, **known)
    known["env"] = {"PATH": f"{path_without_codeq()}:{place / 'bin'}"}
    code, verdict = consult(tmp_path / "data", *asked, **known)
    assert (code, causes(verdict)) == (HEALTHY, [])


def test_who_has_codeq_on_the_path_is_left_in_peace(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        assert_silent(server)


def complaint(url: str, patience: str = "1") -> str:
    """What codeq itself says when it finds no server there, or none that is well."""
    wait = {"CODEQ_TIMEOUT_SECONDS": patience}
    done = run_codeq("--base-url", url, "task", "list", env=wait)
    assert done.returncode in (1, 4), done.stdout + done.stderr
    return str(done.stderr)


def test_nobody_listens(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    found = assert_named(
        tmp_path / "data", "nobody-listens", "--only", "codeq-no-server", complaint(url)
    )
    assert url in found["says"]


def test_a_name_that_does_not_resolve(tmp_path: Path) -> None:
    said = complaint("http://no-such-host.invalid:8080")
    assert_named(tmp_path / "data", "name-unknown", "--only", "codeq-no-server", said)


def test_a_server_that_never_answers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        asked = ("--only", "codeq-no-server", complaint(url))
        assert_named(tmp_path / "data", "server-mute", *asked)


def test_somebody_else_answers(tmp_path: Path) -> None:
    with another_server() as url:
        asked = ("--only", "codeq-no-server", complaint(url))
        assert_named(tmp_path / "data", "not-a-queue", *asked)


@pytest.mark.parametrize(("patience", "code"), [("1", "QUEUE041"), ("30", "QUEUE042")])
def test_a_queue_that_says_it_is_not_well(
    tmp_path: Path, redis_server: RedisServer, patience: str, code: str
) -> None:
    """Its store hangs, so a command ends without an answer, or is refused after a while."""
    with serving(tmp_path / "data", env={"REDIS_ADDR": redis_server.address}) as server:
        redis_server.running.process.send_signal(signal.SIGSTOP)
        try:
            said = complaint(server.base_url, patience)
            assert code in said
            # On another machine nothing is known but its answers; on its own, why it is unwell.
            found = assert_named(
                tmp_path / "elsewhere", "queue-unwell", "--only", "codeq-no-server", said
            )
            assert found["evidence"][0]["reading"] == "unwell"
            assert '"status":"unhealthy"' in apply(found, "look-at-server").replace(" ", "")
            near = assert_named(server, "redis-hangs", said)
            assert found["says"] in near["follows"]
        finally:
            redis_server.running.process.send_signal(signal.SIGCONT)
        assert_mended(server, said)


def test_a_server_that_is_there_is_no_fault(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        assert_silent(server, "--only", "codeq-no-server", f"codeq {server.base_url} timed out")


@contextmanager
def another_server() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<h1>It works!</h1>")

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
