"""Profiles at the gateway: its own, and with `?system=NAME` those of a system behind it, asked over
its control socket.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qs

import msgspec

from backstay.core.control import ask_raw
from backstay.core.errors import Fault
from backstay.core.process_errors import BAD_PROFILE
from backstay.core.profiling.api import KINDS, PREFIX, Access, Profiles, Wish, refuse_pages, wish_of
from backstay.core.system import Auth
from backstay.gateway.exchange import Answer, Exchange
from backstay.gateway.settings import RouteSpec, Upstream

_OWN = "gateway"
_GRACE = 10.0


class SystemProfiles:
    """Handlers by path, and the route of each."""

    def __init__(
        self, own: Profiles, upstreams: Sequence[Upstream], access: Access = "admin"
    ) -> None:
        self._own = own
        self._controls = {one.name: one.control for one in upstreams if one.control}
        self._auth: Access = access

    def handlers(self) -> Mapping[str, Callable[[Exchange], Awaitable[Answer]]]:
        """Path → what answers it; none when profiling is off."""
        if self._auth == "off":
            return {}
        return {f"{PREFIX}/{kind}": self._handler(kind) for kind in KINDS}

    def specs(self) -> Mapping[str, RouteSpec]:
        """Path → its route: for admins, or for anybody."""
        auth: Auth = "public" if self._auth == "open" else "admin"
        return {path: RouteSpec(path, kind="long", auth=auth) for path in self.handlers()}

    def _handler(self, kind: str) -> Callable[[Exchange], Awaitable[Answer]]:
        async def handler(exchange: Exchange) -> Answer:
            refuse_pages(exchange.fields)
            query = parse_qs(exchange.target.partition(b"?")[2].decode("latin-1"))
            wish = wish_of(query)
            system = query.get("system", [_OWN])[-1]
            if system != _OWN:
                return await self._of_system(system, kind, wish)
            made = await self._own.make(kind, wish)
            return Answer(200, made.body, made.content_type, made.headers)

        return handler

    async def _of_system(self, system: str, kind: str, wish: Wish) -> Answer:
        control = self._controls.get(system)
        if control is None:
            known = f"one of {', '.join([_OWN, *self._controls])}"
            raise Fault(BAD_PROFILE, name="system", given=system[:100], expected=known)
        body = msgspec.json.encode(wish)
        deadline = wish.seconds + _GRACE
        reply = await ask_raw(Path(control), f"POST /profile/{kind}", deadline, body=body)
        return Answer(200, reply.body, reply.content_type.encode())
