"""`rate_limit: 100 per 1m` and `timeout: 2s` of endpoints, in front of everything else they do.

A rate is counted here, for each caller on his own (all who are nobody share one), so two replicas
admit twice as much: a limit of a whole installation is the gateway's. One of a middleware is
counted over all endpoints that use it. A read that takes too long is ended; a write goes on, as
only its database can know whether it was done.
"""

import asyncio
import math
from collections.abc import Sequence

import msgspec
import structlog

from backstay.app.errors import TOO_FAST, TOO_SLOW
from backstay.app.plan import middleware
from backstay.app.plan.endpoints import PREFIX
from backstay.core.clock import Clock
from backstay.core.context import Principal
from backstay.core.errors import Fault
from backstay.core.limits import CallerBuckets
from backstay.core.web import Endpoint as Route
from backstay.core.web import Handler, Later, Request, Response
from backstay.lang.program import Endpoint, Program, Rate

_log = structlog.get_logger("app.bounds")
_Caller = tuple[str, str, str]


class Limiter:
    """The rate of one endpoint, or of all that share a middleware."""

    def __init__(self, rate: Rate, clock: Clock) -> None:
        self._rate = rate
        self._buckets: CallerBuckets[_Caller] = CallerBuckets(
            clock, rate.count / rate.seconds, rate.count
        )

    def admit(self, who: Principal) -> None:
        """Raises APP065 (429) with the seconds to wait."""
        wait = self._buckets.of((who.kind, who.tenant, who.sub)).take()
        if wait > 0:
            count, seconds = self._rate.count, self._rate.seconds
            after = math.ceil(wait)
            raise Fault(TOO_FAST, count=count, seconds=seconds, retry_after=after)


class Bounds:
    """Puts the bounds of a program's endpoints in front of its routes."""

    def __init__(self, program: Program, clock: Clock) -> None:
        self._endpoints: dict[tuple[str, str], Endpoint] = {
            (each.method, PREFIX + each.path): each for each in program.endpoints
        }
        self._shared = {
            name: Limiter(rate, clock) for name, rate in middleware.rates(program).items()
        }
        self._clock = clock

    def over(self, routes: Sequence[Route]) -> list[Route]:
        """The same routes, bounded where it is said."""
        return [self._bounded(route) for route in routes]

    def _bounded(self, route: Route) -> Route:
        endpoint = self._endpoints.get((route.method, route.path))
        if endpoint is None:
            return route
        handler = route.handler
        if endpoint.timeout > 0:
            handler = _timed(handler, endpoint.timeout, ends=route.method == "GET")
        if endpoint.rate_limit is not None:
            handler = _limited(handler, Limiter(endpoint.rate_limit, self._clock))
        for name in dict.fromkeys(endpoint.middleware):
            if name in self._shared:
                handler = _limited(handler, self._shared[name])
        return msgspec.structs.replace(route, handler=handler)


def _limited(handler: Handler, limiter: Limiter) -> Handler:
    async def limited(request: Request) -> Response | Later:
        limiter.admit(request.ctx.principal)
        return await handler(request)

    return limited


def _timed(handler: Handler, seconds: float, *, ends: bool) -> Handler:
    under_way: set[asyncio.Future[Response | Later]] = set()

    async def timed(request: Request) -> Response | Later:
        task = asyncio.ensure_future(handler(request))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if done:
            return task.result()
        if ends:
            task.cancel()
        else:
            task.add_done_callback(lambda late: _told(late, request))
        raise Fault(TOO_SLOW, path=request.path, seconds=seconds)

    return timed


def _told(late: "asyncio.Future[Response | Later]", request: Request) -> None:
    """How a write ended whose client was told that nobody knows."""
    facts = {"request_id": request.ctx.request_id, "path": request.path}
    failure = None if late.cancelled() else late.exception()
    if late.cancelled() or failure is not None:
        _log.warning("late request failed", error=str(failure or "cancelled"), **facts)
    else:
        _log.warning("late request done", **facts)
