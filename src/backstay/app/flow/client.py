"""The workflow and job routes from outside: what `codeai workflow` and `codeai job` speak with."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from backstay.app.flow.errors import SERVER_DENIED, SERVER_REFUSED
from backstay.core.clock import Clock
from backstay.core.egress import EgressRules
from backstay.core.errors import Fault
from backstay.core.http import Client

_PREFIX = "/api/v1"


class FlowClient:
    """Belongs to one event loop. `base_url` is `http://host:port`."""

    def __init__(self, clock: Clock, base_url: str, token: str = "") -> None:
        self._base = base_url.rstrip("/") + _PREFIX
        # The address was typed by the person who runs this, not chosen by a program.
        self._client = Client(clock, EgressRules(("loopback", "private")))
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        /,
        more: Mapping[str, str] | None = None,
        **query: str | int,
    ) -> dict[str, Any]:
        """The answer's JSON. `body` is JSON, too; `more` are headers besides. Raises APP212,
        APP213, or CORE030 to CORE038 when nobody answers."""
        asked = urlencode({name: value for name, value in query.items() if value != ""})
        url = f"{self._base}{path}" + (f"?{asked}" if asked else "")
        headers = self._headers | ({"Content-Type": "application/json"} if body else {})
        headers |= more or {}
        answer = await self._client.request(method, url, headers, body)
        try:
            found = msgspec.json.decode(answer.body, type=dict[str, Any])
        except (msgspec.DecodeError, msgspec.ValidationError):
            found = {}
        if answer.status < 300:
            return found
        entry = SERVER_DENIED if answer.status in (401, 403) else SERVER_REFUSED
        raise Fault(
            entry,
            address=self._base,
            status=answer.status,
            said=str(found.get("detail") or found.get("error") or "no explanation"),
            code=str(found.get("code") or "-"),
            advice=str(found.get("fix") or "see the answer"),
        )

    async def close(self) -> None:
        await self._client.close()
