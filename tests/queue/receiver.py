"""Somebody else's HTTP server, on a real socket of this machine: polite, slow, lying or dead."""

import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Call:
    """One request as it came."""

    def __init__(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.path = path
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """`behave(handler, call)` answers; without one everything is 204. Use as a context manager."""

    def __init__(
        self, behave: Callable[[BaseHTTPRequestHandler, Call], None] | None = None
    ) -> None:
        self.behave = behave or status(204)
        self.calls: list[Call] = []
        self.released = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                call = Call(self.path, headers, body)
                receiver.calls.append(call)
                try:
                    receiver.behave(self, call)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                """Tests look at `calls`."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    @property
    def bodies(self) -> list[Any]:
        return [call.json for call in list(self.calls)]


Behaviour = Callable[[BaseHTTPRequestHandler, Call], None]


def status(code: int, **headers: str) -> Behaviour:
    def answer(handler: BaseHTTPRequestHandler, _: Call) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        if code != 204:
            handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def in_turn(*each: Behaviour) -> Behaviour:
    """One after the other; the last one for good."""
    left = list(each)

    def answer(handler: BaseHTTPRequestHandler, call: Call) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(handler, call)

    return answer


def hanging(receiver_of: Callable[[], "Receiver"]) -> Behaviour:
    """Takes the request and says nothing until the test is over."""

    def answer(handler: BaseHTTPRequestHandler, _: Call) -> None:
        receiver_of().released.wait(60)
        handler.close_connection = True

    return answer


def endless(handler: BaseHTTPRequestHandler, _: Call) -> None:
    """Says 200, promises ten gigabytes and keeps sending."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(10 * 2**30))
    handler.end_headers()
    chunk = b"x" * 65_536
    for _unused in range(10 * 2**30 // len(chunk)):
        handler.wfile.write(chunk)


def no_http(handler: BaseHTTPRequestHandler, _: Call) -> None:
    """Answers with what is no HTTP."""
    handler.wfile.write(b"220 mail.example.com ESMTP\r\n")
    handler.wfile.flush()
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_WR)
