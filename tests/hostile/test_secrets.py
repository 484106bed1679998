"""What is secret is in no file, no answer and no output; what is stored is its user's alone."""

import base64
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.e2e.stack import Stack, until
from tests.hostile.attack import SECRET, bearer, post, send, serving, token

REMOTE = Path(__file__).with_name("remote.cai")
PASSWORD = "giraffe-password-9876"
BEARING = "okapi-token-5544332211"
PAIR = base64.b64encode(f"svc:{PASSWORD}".encode())
NEEDLES = (
    *(SECRET.encode(), PASSWORD.encode(), BEARING.encode(), PAIR),
    *(base64.b64encode(text.encode())[:-4] for text in (SECRET, PASSWORD, BEARING)),
)


class Indiscreet(BaseHTTPRequestHandler):
    """Refuses, and says the credentials back."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        said = f"bad credentials: {self.headers.get('Authorization')}".encode()
        self.send_response(401)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    remote = ThreadingHTTPServer(("127.0.0.1", 0), Indiscreet)
    threading.Thread(target=remote.serve_forever, daemon=True).start()
    port = remote.server_port
    more = {
        "REMOTE_URL": f"http://svc:{PASSWORD}@127.0.0.1:{port}",
        "BEARING_URL": f"http://127.0.0.1:{port}",
        "BEARING_TOKEN": BEARING,
    }
    with serving(tmp_path_factory.mktemp("secret"), REMOTE, more) as found:
        yield found
    remote.shutdown()


def executions(stack: Stack) -> bytes:
    return send(stack.port, "GET", "/api/v1/executions", bearer(token("a", "admin"))).body


def test_no_secret_is_told_or_written(stack: Stack):
    given = token("a", "admin")
    assert post(stack.port, "/api/v1/pings", {"name": "x"}).status == 201
    until(lambda: executions(stack).count(b'"failed"') >= 2, 15, lambda: str(executions(stack)))
    send(stack.port, "GET", f"/api/v1/products?name={SECRET}", bearer(given))
    send(stack.port, "GET", f"/{given}", [("Authorization", f"Bearer x.{given}")])
    told = [executions(stack), stack.ask("GET", "/metrics").body, stack.ask("GET", "/health").body]
    bundle = stack.data.parent / "bundle.json"
    for words in (["config", "show"], ["status"], ["doctor", "--bundle", str(bundle)]):
        done = stack.command(*words, timeout=60)
        told.append((done.stdout + done.stderr).encode())
    assert bundle.exists()
    written = [path.read_bytes() for path in stack.data.parent.rglob("*") if path.is_file()]
    for needle in (*NEEDLES, given[60:100].encode()):
        assert not any(needle in text for text in (*told, *written)), needle


def test_an_api_key_is_written_nowhere_however_it_was_sent(stack: Stack):
    """Decision 4: the gateway passes `X-API-Key`, since the app judges by it."""
    wanted = {"name": "depot", "scopes": ["admin"]}
    made = post(stack.port, "/api/v1/admin/keys", wanted, bearer(token("a", "admin")))
    key = str(made.json["key"])
    assert send(stack.port, "GET", "/api/v1/executions", [("X-API-Key", key)]).status == 200
    for target, headers in (
        ("/api/v1/executions", bearer(key)),
        (f"/api/v1/{key}", []),
        (f"/{key}/x?api_key={key}", []),
        ("/v1/codeq/tasks", [("X-API-Key", key)]),
        ("/api/v1/executions", [("X-API-Key", f"{key}x")]),
        ("/api/v1/executions", [("X-Request-ID", key)]),
    ):
        send(stack.port, "GET", target, headers)
    bundle = stack.data.parent / "keys.json"
    told = stack.command("doctor", "--bundle", str(bundle), timeout=60)
    until(lambda: "/v1/codeq/tasks" in stack.output.read_text(), 10, lambda: "not in the log yet")
    written = [path.read_bytes() for path in stack.data.parent.rglob("*") if path.is_file()]
    assert key not in told.stdout + told.stderr
    assert not any(key.encode() in each for each in written)


def test_what_is_stored_is_its_users_alone(stack: Stack):
    open_to_others = {
        str(path): oct(path.stat().st_mode)
        for path in (stack.data, *stack.data.rglob("*"))
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    }
    assert open_to_others == {}
