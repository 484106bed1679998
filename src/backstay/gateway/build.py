"""From settings to the running parts of a gateway. Everything is handed in; nothing is fetched."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from backstay import __version__
from backstay.core.asgi import Judge
from backstay.core.breaker import Breaker, State
from backstay.core.clock import Clock, Ids
from backstay.core.health import Board, Check
from backstay.core.metrics import Registry
from backstay.core.profiling.api import Profiles
from backstay.core.server import Listen
from backstay.core.service import Loop, Service
from backstay.core.tracing import OFF, Tracer
from backstay.gateway import tracing
from backstay.gateway.exchange import Exchange, Observer, Stage
from backstay.gateway.gate import ClientLimits, Gate, waiting_pool
from backstay.gateway.health import Health, Systems
from backstay.gateway.loops import Housekeeping
from backstay.gateway.observers import AccessLog, Counting
from backstay.gateway.own import OwnRoutes
from backstay.gateway.pool import Pool, PoolLimits
from backstay.gateway.profiles import SystemProfiles
from backstay.gateway.relay import Timeouts
from backstay.gateway.service import Gateway
from backstay.gateway.settings import GatewaySettings, Upstream
from backstay.gateway.stages import identity, route, trust
from backstay.gateway.stages.breaker import BreakerStage
from backstay.gateway.stages.rate import RateLimit

_STATES: Mapping[State, int] = {"closed": 0, "half-open": 1, "open": 2}


class Parts(msgspec.Struct):
    """A gateway, ready to be run once `checks` are on the board it was given."""

    gateway: Gateway
    checks: list[Check]
    breakers: dict[str, Breaker]
    pools: dict[str, Pool]
    access: AccessLog
    housekeeping: Housekeeping

    @property
    def all(self) -> Sequence[Service | Loop]:
        """In start order."""
        return [self.access, self.housekeeping, self.gateway]


def assemble(
    settings: GatewaySettings,
    upstreams: Sequence[Upstream],
    judge: Judge,
    clock: Clock,
    ids: Ids,
    registry: Registry,
    board: Board,
    profiles: Profiles,
    tracer: Tracer = OFF,
) -> Parts:
    """Needs a running event loop; opens nothing. `board` is the process's, read for `/health`."""
    pools = _pools(settings, upstreams)
    breakers = _breakers(settings, upstreams, clock, registry)
    # What a breaker knows of a process that was replaced says nothing of the new one: without
    # this a restarted system would stay cut off for the rest of the open time (G10).
    systems = Systems(upstreams, lambda name: breakers[name].reset())
    guard = BreakerStage(breakers)
    access = AccessLog(clock)
    parts: list[Parts] = []
    health = Health(board, systems, breakers)
    ready = lambda: parts[0].gateway.ready() and board.ready()  # noqa: E731
    shown = SystemProfiles(profiles, upstreams, settings.profiling)
    listen = Listen.parse(settings.listen)
    guarded = not (settings.metrics_open or listen.loopback)
    own = OwnRoutes(health, breakers, upstreams, registry, ready, shown, guarded=guarded)
    stages = _stages(
        settings,
        upstreams,
        judge,
        clock,
        ids,
        registry,
        own,
        guard,
        systems.was_never_there,
        tracer,
    )
    observers: list[Observer] = [guard.observe, Counting(registry), access]
    if tracer.on:
        observers.append(tracing.end)
    timeouts = Timeouts(total=settings.unary_timeout, idle=settings.idle_timeout)
    gate = Gate(clock, _client_limits(settings), timeouts, stages, observers, pools)
    _gauges(registry, gate, pools, breakers)
    every = list(pools.values())
    gateway = Gateway(gate, listen, every, clock, access.flush, settings.drain_delay)
    keeper = Housekeeping(every, clock)
    parts.append(Parts(gateway, systems.checks(), breakers, pools, access, keeper))
    return parts[0]


def _pools(settings: GatewaySettings, upstreams: Sequence[Upstream]) -> dict[str, Pool]:
    """One pool for each upstream, and one of their own for its routes on which clients wait: idle
    workers in long polls must not keep everybody else out. Its size is what clients may open."""
    limits = _pool_limits(settings)
    size = max(settings.pool_size, settings.max_connections - settings.pool_size)
    waiting = msgspec.structs.replace(limits, size=size)
    pools: dict[str, Pool] = {}
    for upstream in upstreams:
        pools[upstream.name] = Pool(upstream.name, upstream.where, limits)
        if any(spec.kind != "unary" for spec in upstream.routes):
            pools[waiting_pool(upstream.name)] = Pool(upstream.name, upstream.where, waiting)
    return pools


def _stages(
    settings: GatewaySettings,
    upstreams: Sequence[Upstream],
    judge: Judge,
    clock: Clock,
    ids: Ids,
    registry: Registry,
    own: OwnRoutes,
    guard: BreakerStage,
    never_there: Callable[[str], bool],
    tracer: Tracer,
) -> list[Stage]:
    """The policies in their order."""
    table = route.table_of(upstreams, settings.max_body)
    stages: list[Stage] = [
        identity.request_id(ids),
        _refuse_malformed,
        route.match(table, own.claim, own.prefixes),
        *([tracing.begin(tracer)] if tracer.on else []),
        trust.judge(judge),
        identity.debug,
        trust.authorize,
        route.refuse_switched_off(never_there),
        route.limit_body,
    ]
    if settings.rate_limit > 0:
        refused = registry.counter("gateway_rate_limited_total")
        stages.append(RateLimit(clock, settings.rate_limit, settings.rate_burst, refused))
    return [*stages, guard, own]


def _refuse_malformed(exchange: Exchange) -> None:
    if exchange.fault is not None:
        raise exchange.fault


def _breakers(
    settings: GatewaySettings, upstreams: Sequence[Upstream], clock: Clock, registry: Registry
) -> dict[str, Breaker]:
    changes = registry.counter("gateway_breaker_changes_total")

    def changed(target: str, _: State, to: State) -> None:
        changes.inc(target, to)

    return {
        upstream.name: Breaker(upstream.name, clock, settings.breaker, changed)
        for upstream in upstreams
    }


def _gauges(
    registry: Registry, gate: Gate, pools: Mapping[str, Pool], breakers: Mapping[str, Breaker]
) -> None:
    """Everything that is read at the scrape instead of being counted."""

    def per_pool(read: Callable[[Pool], int]) -> Callable[[], Mapping[tuple[str, ...], float]]:
        return lambda: {(name,): read(pool) for name, pool in pools.items()}

    registry.gauge("gateway_connections").read(lambda: len(gate.connections))
    registry.gauge("gateway_requests_in_flight").read(lambda: gate.in_flight)
    registry.gauge("gateway_pool_in_use").read(per_pool(lambda pool: pool.in_use))
    registry.gauge("gateway_pool_idle").read(per_pool(lambda pool: pool.idle))
    registry.gauge("gateway_pool_waiting").read(per_pool(lambda pool: pool.waiting))
    registry.gauge("gateway_pool_size").read(per_pool(lambda pool: pool.limits.size))
    registry.gauge("gateway_breaker_state").read(
        lambda: {(name,): _STATES[breaker.state] for name, breaker in breakers.items()}
    )
    registry.gauge("gateway_breaker_rejected").read(
        lambda: {(name,): breaker.view().rejected for name, breaker in breakers.items()}
    )
    registry.gauge("gateway_build_info").set(__version__, value=1)


def _pool_limits(settings: GatewaySettings) -> PoolLimits:
    return PoolLimits(
        size=settings.pool_size,
        wait=settings.pool_wait,
        connect=settings.connect_timeout,
        max_head=settings.max_header_bytes,
    )


def _client_limits(settings: GatewaySettings) -> ClientLimits:
    return ClientLimits(
        connections=settings.max_connections,
        header_bytes=settings.max_header_bytes,
        headers=settings.max_headers,
        header_timeout=settings.header_timeout,
        keep_alive_timeout=settings.keep_alive_timeout,
    )
