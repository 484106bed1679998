"""The command line's own troubles: codeq that is not found, and servers that are not there."""

import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from tests.faults.consulting import assert_named, assert_silent, path_without_codeq
from tests.queue.support import run_codeq, serving

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


def test_who_has_codeq_on_the_path_is_left_in_peace(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        assert_silent(server)


def complaint(url: str) -> str:
    """What codeq itself says when it finds no server there."""
    done = run_codeq("--base-url", url, "task", "list", env={"CODEQ_TIMEOUT": "1"})
    assert done.returncode == 4, done.stdout + done.stderr
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
        said = f"timeout: the queue at {url} did not answer within 10 s (QUEUE041)"
        assert_named(tmp_path / "data", "server-mute", "--only", "codeq-no-server", said)


def test_somebody_else_answers(tmp_path: Path) -> None:
    with another_server() as url:
        said = f"error QUEUE044: what answers at {url} is not this queue"
        assert_named(tmp_path / "data", "not-a-queue", "--only", "codeq-no-server", said)


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
