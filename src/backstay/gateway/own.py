"""What the gateway serves itself: health, metrics, breakers, and what there is (`GET /`)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import msgspec

from backstay import __version__
from backstay.core.breaker import Breaker
from backstay.core.control import ask
from backstay.core.errors import Fault
from backstay.core.metrics import Registry, merge
from backstay.gateway.errors import NO_BREAKER, WRONG_METHOD
from backstay.gateway.exchange import Answer, Decision, Exchange
from backstay.gateway.health import Health
from backstay.gateway.profiles import SystemProfiles
from backstay.gateway.settings import RouteSpec, Upstream

_PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"
_BREAKERS = "/v1/gateway/breakers"
_SCRAPE_DEADLINE = 2.0
_UNJUDGED = frozenset(
    {"/health", "/health/live", "/health/ready", "/healthz", "/livez", "/readyz", "/startupz"}
)

Handler = Callable[[Exchange], Answer | Awaitable[Answer]]


class OwnRoutes:
    """The last Stage: answers what `claim` has taken."""

    def __init__(
        self,
        health: Health,
        breakers: Mapping[str, Breaker],
        upstreams: Sequence[Upstream],
        registry: Registry,
        ready: Callable[[], bool],
        profiles: SystemProfiles,
        *,
        guarded: bool = False,
    ) -> None:
        """`guarded`: the metrics are for admins."""
        self._health = health
        self._breakers = breakers
        self._upstreams = {upstream.name: upstream for upstream in upstreams}
        self._registry = registry
        self._ready = ready
        self._get: Mapping[str, Handler] = {
            "/": self._index,
            "/health": self._report,
            "/health/live": _alive,
            "/healthz": _alive,
            "/livez": _alive,
            "/health/ready": self._readiness,
            "/readyz": self._readiness,
            "/startupz": self._readiness,
            "/metrics": self._metrics,
            _BREAKERS: self._list,
            **profiles.handlers(),
        }
        self._specs = {path: RouteSpec(path) for path in self._get} | dict(profiles.specs())
        if guarded:
            self._specs["/metrics"] = RouteSpec("/metrics", auth="admin")
        self._reset_spec = RouteSpec(f"{_BREAKERS}/{{target}}/reset", auth="admin")

    @property
    def prefixes(self) -> list[str]:
        """The paths, for people who asked for another."""
        return sorted([*self._get, self._reset_spec.prefix])

    def claim(self, exchange: Exchange) -> bool:
        """Whether the path is the gateway's own; sets the route."""
        path = exchange.path
        spec = self._specs.get(path)
        if spec is None and path.startswith(f"{_BREAKERS}/") and path.endswith("/reset"):
            spec = self._reset_spec
        if spec is None:
            return False
        exchange.route = spec
        exchange.unjudged = path in _UNJUDGED
        return True

    def __call__(self, exchange: Exchange) -> Decision:
        if exchange.upstream is not None:
            return None
        if exchange.route is self._reset_spec:
            _only(exchange, "POST")
            return self._reset(exchange)
        _only(exchange, "GET", "HEAD")
        return self._get[exchange.path](exchange)

    def _index(self, _: Exchange) -> Answer:
        routes = [
            {"prefix": route.prefix, "upstream": name, "kind": route.kind, "auth": route.auth}
            for name, upstream in self._upstreams.items()
            for route in upstream.routes
        ]
        body = {"service": "gateway", "version": __version__}
        return _json({**body, "routes": routes, "own": self.prefixes})

    def _report(self, _: Exchange) -> Answer:
        report = self._health.report()
        return _json(report, report.http_status)

    def _readiness(self, _: Exchange) -> Answer:
        ready = self._ready()
        return _json({"status": "ready" if ready else "not ready"}, 200 if ready else 503)

    def _list(self, _: Exchange) -> Answer:
        return _json({"data": list(self._health.breakers().values())})

    async def _metrics(self, _: Exchange) -> Answer:
        """One exposition of all processes; a silent system is missing in it and in `up`-style
        health, and must not take the others' numbers with it."""
        names = [name for name, upstream in self._upstreams.items() if upstream.control]
        parts = await asyncio.gather(*(self._scrape(name) for name in names))
        found = {name: part for name, part in zip(names, parts, strict=True) if part}
        body = merge({"gateway": self._registry.render(), **found})
        return Answer(200, body, _PROMETHEUS)

    async def _scrape(self, name: str) -> bytes:
        control = Path(self._upstreams[name].control)
        try:
            text = await ask(control, "/metrics", _SCRAPE_DEADLINE)
        except Fault:
            return b""
        return str(text).encode()

    async def _reset(self, exchange: Exchange) -> Answer:
        """G11: by a person's decision, without a restart. `queue` or `app/payments`."""
        target = exchange.path.removeprefix(f"{_BREAKERS}/").removesuffix("/reset")
        own = self._breakers.get(target)
        if own is not None:
            own.reset()
        else:
            await self._reset_of_system(target)
        known = self._health.breakers()
        state = {**known.get(target, {"target": target}), "state": "closed"}
        return _json(state)

    async def _reset_of_system(self, target: str) -> None:
        known = self._health.breakers()
        system, _, name = target.partition("/")
        upstream = self._upstreams.get(system)
        if target not in known or upstream is None:
            raise Fault(NO_BREAKER, target=target[:100], known=", ".join(known) or "none")
        await ask(Path(upstream.control), f"POST /breakers/{quote(name, safe='')}/reset")


def _alive(_: Exchange) -> Answer:
    return _json({"status": "alive"})


def _only(exchange: Exchange, *methods: str) -> None:
    if exchange.method not in methods:
        allowed = ", ".join(methods)
        path = exchange.path[:200]
        raise Fault(WRONG_METHOD, path=path, method=exchange.method, allowed=allowed)


def _json(value: object, status: int = 200) -> Answer:
    return Answer(status, msgspec.json.encode(value))
