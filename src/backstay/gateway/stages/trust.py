"""Who asks (judged once, here), and whether the route is for them."""

from collections.abc import Coroutine, Generator
from typing import Any

from backstay.core.asgi import Judge
from backstay.core.context import Principal
from backstay.core.errors import Fault
from backstay.core.faults import AUTH_MISSING
from backstay.gateway.errors import NEEDS_ADMIN
from backstay.gateway.exchange import Answer, Decision, Exchange, Stage


def judge(trust: Judge) -> Stage:
    """Sets the principal. Probes of this process itself pass unjudged: a kubelet asks by IP."""

    def stage(exchange: Exchange) -> Decision:
        if exchange.unjudged:
            return None
        verdict = trust.judge(exchange.peer, exchange.method, exchange.fields)
        return _at_once(exchange, verdict)

    return stage


def authorize(exchange: Exchange) -> None:
    """The route's own, coarse lock: `token` wants somebody, `admin` the scope. Systems judge the
    rest themselves."""
    route = exchange.route
    if route is None or route.auth == "public":
        return
    who = exchange.principal
    if who.kind == "anonymous":
        raise Fault(AUTH_MISSING)
    if route.auth == "admin" and not who.may("admin"):
        raise Fault(NEEDS_ADMIN, path=exchange.path, who=who.sub or who.kind)


def _at_once(exchange: Exchange, verdict: Coroutine[Any, Any, Principal]) -> Decision:
    """Nearly every judgement is made from memory: one step of the coroutine, without the task that
    would cost more than the judgement. One that must wait goes on in a task."""
    try:
        waits_for = verdict.send(None)
    except StopIteration as done:
        exchange.principal = done.value
        return None
    return _later(exchange, _Rest(verdict, waits_for))


async def _later(exchange: Exchange, rest: "_Rest") -> Answer | None:
    exchange.principal = await rest
    return None


class _Rest:
    """What is left of a coroutine after its first step."""

    def __init__(self, coroutine: Coroutine[Any, Any, Principal], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, Principal]:
        waits_for = self._waits_for
        try:
            while True:
                try:
                    given = yield waits_for
                except BaseException as thrown:  # noqa: BLE001 - it is the coroutine's to handle
                    waits_for = self._coroutine.throw(thrown)
                else:
                    waits_for = self._coroutine.send(given)
        except StopIteration as done:
            principal: Principal = done.value
            return principal
