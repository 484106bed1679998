"""The queue put together: its declarations, and the services and loops of its process."""

from collections.abc import Sequence

import structlog

from backstay.core.asgi import METRICS as HTTP_METRICS
from backstay.core.asgi import App
from backstay.core.metrics import RequestMeter
from backstay.core.process import Process
from backstay.core.server import HttpServer, Listen
from backstay.core.service import Loop, Service
from backstay.core.system import System
from backstay.queue.api import PREFIX
from backstay.queue.api.admin import Admin, Open
from backstay.queue.api.calls import endpoints as served
from backstay.queue.api.producers import Producers
from backstay.queue.api.rates import RateLimits
from backstay.queue.api.reading import Limits
from backstay.queue.api.workers import Workers
from backstay.queue.auth import trust_of
from backstay.queue.beside import Beside
from backstay.queue.errors import ERRORS
from backstay.queue.health import (
    StoreHealth,
    audit_probe,
    commands_probe,
    policies_probe,
    store_probe,
)
from backstay.queue.loops.gauges import Gauges
from backstay.queue.loops.mover import Mover
from backstay.queue.metrics import METRICS, QueueMetrics
from backstay.queue.openapi import document
from backstay.queue.service import Bulk, Queue
from backstay.queue.service.policies import Policies
from backstay.queue.settings import QueueSettings
from backstay.queue.store import ServedEngine
from backstay.queue.store.choose import engine_of

_log = structlog.get_logger("queue")


class Store:
    """The engine as a Service: open before everything, closed after everything."""

    name = "store"

    def __init__(self, engine: ServedEngine) -> None:
        self._engine = engine
        self._open = False

    async def start(self) -> None:
        await self._engine.open()
        self._open = True

    def ready(self) -> bool:
        return self._open

    async def drain(self, seconds: float) -> None:
        """Nothing to finish: what was answered is durable."""

    async def stop(self) -> None:
        self._open = False
        await self._engine.close()


class Gate:
    """The last service to start and the first to drain: sends waiting claims home, so that the
    HTTP server below it has nothing long left to wait for."""

    name = "gate"

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def start(self) -> None:
        """Open from the beginning."""

    def ready(self) -> bool:
        return True

    async def drain(self, seconds: float) -> None:  # noqa: ARG002 - a Service's signature
        self._queue.drain()

    async def stop(self) -> None:
        self._queue.drain()


async def build(process: Process[QueueSettings]) -> Sequence[Service | Loop]:
    """The services and loops of `codeq-server`; fills the process's checks, probes and backups."""
    settings = process.loaded.settings
    clock = process.clock
    listen = Listen.parse(settings.address)
    trust = trust_of(settings, listen, clock)
    for key in settings.without_effect():
        _log.warning("setting without effect", key=key)
    engine = engine_of(settings, clock, process.dice, process.ids)
    process.registry.declare(HTTP_METRICS)
    metrics = QueueMetrics(process.registry, clock)
    queue = Queue(engine, clock, process.ids, metrics)
    limits = Limits(
        settings.default_lease_seconds,
        settings.max_attempts_default,
        settings.max_payload_bytes,
        settings.require_lease_token,
    )
    health = StoreHealth(engine, clock)
    gauges = Gauges(engine, queue, metrics, health, clock)
    bulk = Bulk(engine, clock)
    beside = Beside(process, engine, metrics)
    calls = [
        *Producers(queue, bulk, clock, process.ids, limits).calls(),
        *Workers(queue, clock, limits).calls(),
        *Admin(queue, bulk, Policies(engine, clock), clock, settings.data).calls(),
        *beside.calls(limits),
    ]
    rates = RateLimits(settings.rates(), clock, metrics.rate_limited)
    opened = Open(
        health,
        gauges,
        process.registry,
        lambda: document(calls, opened.calls()),
        guarded=not (settings.metrics_open or listen.loopback),
    )
    endpoints = [
        *served(calls, PREFIX, rates),
        *served(opened.calls(), "", rates),
        *process.profiles.endpoints(settings.profiling),
    ]
    meter = RequestMeter(process.registry)
    app = App("queue", endpoints, trust, clock, process.ids, meter, tracer=process.tracer)
    process.board_checks.append(health.check())
    process.probes["queue.commands"] = lambda: commands_probe(queue, engine, clock)
    process.probes["queue.policies"] = lambda: policies_probe(engine)
    process.probes["queue.audit"] = lambda: audit_probe(engine)
    process.probes["queue.store"] = lambda: store_probe(health, settings)
    if not settings.redis_addr:
        process.backups["queue.db"] = engine.backup
    return [
        Store(engine),
        *beside.parts(),
        Mover(engine, clock),
        gauges,
        HttpServer(app, listen, settings.max_connections),
        Gate(queue),
    ]


SYSTEM = System(
    name="queue",
    settings=QueueSettings,
    errors=ERRORS,
    metrics=METRICS,
    build=build,
)
