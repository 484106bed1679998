"""Integrations of a small program, called as a step calls them, on a service that keeps what it gets."""

from collections.abc import Callable

from tests.app.outside.service import Service

from backstay.app.cache.store import MemoryCache
from backstay.app.flow.integrations import Integrations
from backstay.app.flow.metrics import FlowMetrics
from backstay.app.flow.model import Outcome
from backstay.app.flow.turn import Claim
from backstay.app.outside.target import Tools
from backstay.app.unsupported import problems
from backstay.core.breaker import Breaker
from backstay.core.clock import SystemClock
from backstay.core.metrics import Registry
from backstay.lang.api import check_text
from backstay.lang.program import Program

CLOCK = SystemClock()
ENV: dict[str, str | None] = {
    "TOKEN": "token-of-the-shop",
    "USER": "ada",
    "PASSWORD": "correct horse",
    "KEY": "key-of-the-shop",
    "SECRET": "secret of the hmac",
    "CLIENT": "shop client",
    "CLIENT_SECRET": "shop:secret",
}


Made = Callable[[str], "Calls"]


class Calls:
    def __init__(self, program: Program, service: Service) -> None:
        self.breakers: dict[str, Breaker] = {}
        env = {**ENV, "URL": service.url, "TOKEN_URL": f"{service.url}/token"}
        metrics = FlowMetrics(Registry((), CLOCK))
        self.integrations = Integrations(CLOCK, metrics, self.breakers, env)
        self.integrations.equip(Tools(cache=MemoryCache(CLOCK)))
        self.integrations.add(program)

    async def __call__(self, operation: str, payload: str = "{}", seconds: float = 5.0) -> Outcome:
        target = f"S.{operation}"
        return await self.integrations.call(
            Claim("e", "w", "forward", 0, -1, "s", 1, "t", "e/s", target, payload, seconds)
        )


def checked(members: str) -> Program:
    text = f'integration S {{ type: rest\n base_url: env("URL")\n {members} }}'
    program, found = check_text("app.cai", text)
    assert program is not None, found
    assert problems(program) == []
    return program
