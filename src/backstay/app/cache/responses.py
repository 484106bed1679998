"""`cache: 5m` of an endpoint: its answers, kept by what they depend on.

An answer belongs to a method, an address with its query, and a reader: if nothing on the way asks
who the reader is, to all who have the same roles and scopes, otherwise to this principal alone with
all that its token claims. So nobody is shown what was made for somebody else.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from backstay.app.cache.reads import Reads, reads_of
from backstay.app.cache.store import Cache
from backstay.app.errors import UNFIT
from backstay.app.plan.endpoints import PREFIX
from backstay.core.context import Principal
from backstay.core.errors import Fault
from backstay.core.metrics import Counter, Registry
from backstay.core.system import Metric
from backstay.core.web import Endpoint as Route
from backstay.core.web import Handler, Later, Request, Response
from backstay.lang.program import Action, Constant, Endpoint, Expr, Program, Settings

METRICS = (
    Metric(
        "cache_requests_total",
        "counter",
        "Requests of endpoints with a cache: hit, miss, or away when the cache did not answer",
        ("path", "result"),
    ),
)
MOST = 1024 * 1024
"""Bytes of the largest answer that is kept."""
USUAL = 300.0
"""Seconds for `cache: memory` and its like, which say nothing of the time."""

_CONDITIONAL = ("if-none-match", "if-match", "if-modified-since")
_OF_THE_TOKEN = frozenset({"exp", "iat", "nbf", "jti"})
"""Claims that differ from token to token of one person, and that no answer is made of."""
_KINDS = ("", "memory", "redis")


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    content_type: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes


_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(_Kept).decode


class Caching:
    """Puts the cache in front of the routes whose endpoints want it. `tables` are what it has to
    hear of. Raises APP005 for a cache that could not be right."""

    def __init__(self, program: Program, cache: Cache, registry: Registry) -> None:
        self._cache = cache
        self._program = program.hash
        self._requests = registry.counter("cache_requests_total")
        usual = _usual(program)
        self._wanted: dict[tuple[str, str], tuple[float, Reads]] = {}
        for endpoint in program.endpoints:
            if endpoint.cache is not None:
                where = f"{endpoint.method} {endpoint.path}"
                seconds = seconds_of(endpoint.cache, usual, where)
                _refuse_what_changes(endpoint, where)
                place = (endpoint.method, PREFIX + endpoint.path)
                self._wanted[place] = (seconds, reads_of(program, endpoint))
        self.tables = frozenset(
            table for _, reads in self._wanted.values() for table in reads.tables
        )

    def over(self, routes: Sequence[Route]) -> list[Route]:
        """The same routes, with the cache where it is wanted."""
        return [self._route(route) for route in routes]

    def _route(self, route: Route) -> Route:
        wanted = self._wanted.get((route.method, route.path))
        if wanted is None:
            return route
        handler = _handler(route, *wanted, self._program, self._cache, self._requests)
        return msgspec.structs.replace(route, handler=handler)


def _handler(
    route: Route, seconds: float, reads: Reads, program: str, cache: Cache, count: Counter
) -> Handler:
    async def handle(request: Request) -> Response | Later:
        if any(name in request.headers for name in _CONDITIONAL):
            return await route.handler(request)
        key = key_of(program, route.method, request, reads)
        found = await cache.look(key, reads.tables)
        if found.value is not None:
            count.inc(route.path, "hit")
            kept = _DECODE(found.value)
            headers = [*kept.headers, (b"x-cache", b"hit")]
            return Response(200, kept.body, kept.content_type, headers)
        answer = await route.handler(request)
        count.inc(route.path, "miss" if found.stamp else "away")
        if isinstance(answer, Later) or answer.status != 200:
            return answer
        if found.stamp and len(answer.body) <= MOST:
            kept = _Kept(answer.content_type, list(answer.headers), answer.body)
            await cache.put(key, found.stamp, _ENCODE(kept), seconds)
        headers = [*answer.headers, (b"x-cache", b"miss")]
        return msgspec.structs.replace(answer, headers=headers)

    return handle


def key_of(program: str, method: str, request: Request, reads: Reads) -> str:
    """What an answer depends on, as a digest: a key holds no names of people. `program` is the hash
    of the one that is served: another may answer otherwise, and let in others."""
    query = sorted((name, list(texts)) for name, texts in request.query.items())
    # An answer may say for which origin it is.
    headers = [request.headers.get(name) for name in ("origin", *reads.headers)]
    who = _reader(request.ctx.principal, alone=reads.by_user)
    raw = msgspec.json.encode((program, method, request.path, query, headers, who))
    return hashlib.sha256(raw).hexdigest()


def _reader(who: Principal, *, alone: bool) -> tuple[Any, ...]:
    group = (who.kind, sorted(who.roles), sorted(who.scopes))
    if not alone:
        return group
    claims = {name: value for name, value in who.claims.items() if name not in _OF_THE_TOKEN}
    return (*group, who.sub, who.tenant, sorted(claims.items()))


def _refuse_what_changes(endpoint: Endpoint, where: str) -> None:
    if endpoint.method == "GET" and not isinstance(endpoint.does, Action):
        return
    problem = "an answer of do { … } is not kept: it may change something"
    instead = "leave cache out, or answer returns: ENTITY or returns: paginated(ENTITY)"
    raise Fault(UNFIT, where=where, problem=problem, instead=instead)


def _usual(program: Program) -> float:
    given = dict(program.settings).get("cache")
    return USUAL if given is None else seconds_of(given, USUAL, "config: cache")


def prefix_of(program: Program) -> str:
    """What the keys in a shared cache begin with: `config { cache: redis { prefix: "shop:" } }`."""
    given = dict(program.settings).get("cache")
    prefix = _plain(dict(given.values).get("prefix")) if given is not None else None
    return prefix if isinstance(prefix, str) and prefix else f"codeai:{program.name}:"


def seconds_of(settings: Settings, usual: float, where: str) -> float:
    """`5m`, `redis { ttl: 5m, prefix: "shop:" }`, `{ ttl: 5m }`. Raises APP005."""
    values = dict(settings.values)
    known = {"", "0", "ttl", "prefix"}
    given = values.get("", values.get("0", values.get("ttl")))
    seconds = usual if given is None else _plain(given)
    unknown = sorted(values.keys() - known)
    fine = isinstance(seconds, int | float) and seconds > 0
    if settings.label not in _KINDS or unknown or not fine:
        what = unknown[0] if unknown else settings.label
        problem = f"'{what}' is nothing that a cache can be told" if what else "it needs a time"
        raise Fault(UNFIT, where=where, problem=problem, instead="write cache: 5m")
    return float(seconds)  # type: ignore[arg-type]


def _plain(expr: Expr | None) -> object:
    return expr.value if isinstance(expr, Constant) else None
