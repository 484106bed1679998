"""The aiohttp session behind `core.http`, in a module of its own: aiohttp costs half a second to
import, and most commands make no call.
"""

import socket
from pathlib import Path
from types import SimpleNamespace

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from backstay.core.egress import EgressRules


class EgressRefusedError(OSError):
    """The name resolves to nothing that may be connected to."""

    def __init__(self, address: str) -> None:
        super().__init__(f"{address} may not be connected to")
        self.address = address


class GuardedResolver(AbstractResolver):
    """Resolves names and leaves out what the rules refuse; the connection is then made to exactly
    the addresses that were judged."""

    def __init__(self, rules: EgressRules) -> None:
        self._rules = rules
        self._plain = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._plain.resolve(host, port, family)
        allowed = [one for one in found if self._rules.permit(one["host"])]
        if found and not allowed:
            raise EgressRefusedError(found[0]["host"])
        return allowed

    async def close(self) -> None:
        await self._plain.close()


def open_session(
    rules: EgressRules, connections: int, unix: Path | None, agent: str
) -> aiohttp.ClientSession:
    """A session without cookies, proxies or retries of what may have arrived."""
    connector: aiohttp.BaseConnector
    if unix is not None:
        connector = aiohttp.UnixConnector(str(unix), limit=connections)
    else:
        connector = aiohttp.TCPConnector(
            limit=connections, resolver=GuardedResolver(rules), family=socket.AF_UNSPEC
        )
    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(_note_sent)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": agent},
        trace_configs=[trace],
        auto_decompress=True,
        # A body of unknown kind is sent as such; "octet-stream" would be refused as no JSON.
        skip_auto_headers=("Content-Type",),
    )


async def _note_sent(
    _session: aiohttp.ClientSession,
    context: SimpleNamespace,
    _params: aiohttp.TraceRequestHeadersSentParams,
) -> None:
    context.trace_request_ctx.sent = True
