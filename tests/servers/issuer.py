"""An issuer of tokens that serves its public keys over HTTP, rotates them, and lies when told to."""

import json
import sys
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from joserfc import jwt
from joserfc.jwk import ECKey, Key, OctKey, RSAKey

Lie = Literal[
    "", "500", "slow", "huge", "broken", "no set", "empty", "html", "elsewhere", "loop", "cut"
]
HUGE = 3 * 1_048_576


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that had enough of a lie is no error of the test."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class JwksIssuer:
    """Serves `jwks_url` from a thread on a free loopback port. What it says is in `published`;
    `lie` makes it answer otherwise; `asked` counts the requests for keys."""

    name = "https://issuer.test"
    audience = "codeq-worker"

    def __init__(self) -> None:
        self.published: list[dict[str, Any]] = []
        self.lie: Lie = ""
        self.elsewhere = ""
        self.asked = 0
        self.released = threading.Event()
        self._keys: dict[str, Key] = {}
        self._latest = ""
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.jwks_url = f"{self.url}/jwks"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.rotate()

    def add(self, kid: str, kind: Literal["RSA", "EC"] = "RSA", *, publish: bool = True) -> str:
        """A new signing key, which later tokens are signed with."""
        made = RSAKey.generate_key(2048) if kind == "RSA" else ECKey.generate_key("P-256")
        self._keys[kid] = made
        self._latest = kid
        if publish:
            self.published.append({**made.as_dict(private=False), "kid": kid, "use": "sig"})
        return kid

    def rotate(self) -> str:
        """A new key; those before are withdrawn. Gives its kid."""
        self.published = []
        return self.add(f"key-{len(self._keys) + 1}")

    def publish_secret(self, kid: str, secret: str) -> None:
        """The mistake of a set that holds a shared secret."""
        self.published.append({**OctKey.import_key(secret).as_dict(), "kid": kid, "alg": "HS256"})

    def public_pem(self, kid: str) -> bytes:
        """What an attacker of the algorithm has in hand."""
        return self._keys[kid].as_pem(private=False)

    def private_members(self, kid: str) -> dict[str, Any]:
        """All of a key, as it must never be published."""
        return {**self._keys[kid].as_dict(private=True), "kid": kid}

    def mint(
        self,
        kid: str | None = None,
        *,
        algorithm: str = "RS256",
        named: object = ...,
        header: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A token of the latest key, or of `kid`; `named=None` leaves the kid out, another value
        lies about it. A claim of None is left out."""
        signer = kid or self._latest
        head: dict[str, Any] = {"alg": algorithm, "kid": signer if named is ... else named}
        now = int(time.time())
        body = {
            "iss": self.name, "aud": self.audience, "sub": "worker-1", "iat": now, "exp": now + 600,
            "scope": "codeq:claim codeq:result", "eventTypes": ["RENDER"], **claims,
        }  # fmt: skip
        return jwt.encode(
            {
                name: value
                for name, value in {**head, **(header or {})}.items()
                if value is not None
            },
            {name: value for name, value in body.items() if value is not None},
            self._keys[signer],
            algorithms=[algorithm],
        )

    def stop(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


def _handler(issuer: JwksIssuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/moved":
                self._redirect("/jwks")
                return
            issuer.asked += 1
            lie = issuer.lie
            if lie == "slow":
                issuer.released.wait(30)
            if lie in ("elsewhere", "loop"):
                self._redirect(issuer.elsewhere if lie == "elsewhere" else self.path)
                return
            body = _lies(issuer).get(lie) or json.dumps({"keys": issuer.published}).encode()
            self.send_response(500 if lie == "500" else 200)
            self.send_header("Content-Type", "text/html" if lie == "html" else "application/json")
            self.send_header("Content-Length", str(len(body) + (100 if lie == "cut" else 0)))
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                return  # it was told more than it wanted to hear
            if lie == "cut":
                self.close_connection = True

        def _redirect(self, where: str) -> None:
            self.send_response(302)
            self.send_header("Location", where)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    return Handler


def _lies(issuer: JwksIssuer) -> dict[str, bytes]:
    return {
        "huge": json.dumps({"keys": issuer.published, "padding": "x" * HUGE}).encode(),
        "broken": b'{"keys": [{"kty": "RSA", ',
        "no set": b'{"keys": {"kty": "RSA"}}',
        "empty": b'{"keys": []}',
        "html": b"<html>Please log in</html>",
    }
