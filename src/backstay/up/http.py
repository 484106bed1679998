"""The few HTTP requests the supervisor makes itself: is an extra process ready, take the seed.

The standard library's client on a thread: the supervisor stays small, and none of this is hot.
"""

import http.client
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def post_unix(
    path: Path, target: str, body: bytes, headers: Mapping[str, str], timeout: float
) -> tuple[int, bytes]:
    """Status and body. Raises OSError or http.client.HTTPException when nobody answers."""
    connection = UnixConnection(path, timeout)
    try:
        connection.request("POST", target, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def answers_well(url: str, timeout: float) -> bool:
    """Whether a GET of `url` gives a status below 400."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status < http.HTTPStatus.BAD_REQUEST
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
