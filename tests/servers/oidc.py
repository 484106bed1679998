"""An OpenID provider that somebody else wrote, with its own keys: the wheel `oidc-provider-mock`."""

import base64
import http.client
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.servers.running import Running

from backstay.up.ports import free_port

CLIENT = "orders"
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_BACK = "http://127.0.0.1/back"


def binary() -> Path | None:
    """Its command, if the wheel is installed."""
    found = Path(sys.executable).with_name("oidc-provider-mock")
    return found if found.exists() else None


class OidcProvider:
    """A process on a free loopback port. Its id tokens name no kid."""

    def __init__(self, command: Path, folder: Path) -> None:
        self.port = free_port()
        words = [str(command), "--host", "127.0.0.1", "--port", str(self.port)]
        self.running = Running(words, folder / "oidc.log")
        self.running.wait_until(self._answers)
        about = json.loads(self._ask("GET", "/.well-known/openid-configuration")[1])
        self.issuer: str = about["issuer"]
        self.jwks_url: str = about["jwks_uri"]

    def id_token(self, sub: str) -> str:
        """Sign `sub` in by the code flow."""
        wish = {"client_id": CLIENT, "redirect_uri": _BACK, "response_type": "code"}
        query = urlencode({**wish, "scope": "openid", "state": "x"})
        headers, _ = self._ask("POST", f"/oauth2/authorize?{query}", {"sub": sub})
        code = parse_qs(urlsplit(headers["location"]).query)["code"][0]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": _BACK}
        _, body = self._ask("POST", "/oauth2/token", form)
        return str(json.loads(body)["id_token"])

    def _ask(self, method: str, path: str, form: dict[str, str] | None = None) -> tuple[Any, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        basic = base64.b64encode(f"{CLIENT}:secret".encode()).decode()
        headers = {**_FORM, "Authorization": f"Basic {basic}"} if form else {}
        try:
            connection.request(method, path, urlencode(form) if form else None, headers)
            answer = connection.getresponse()
            return answer.headers, answer.read()
        finally:
            connection.close()

    def _answers(self) -> bool:
        try:
            self._ask("GET", "/jwks")
        except OSError:
            return False
        return True
