"""The queue put together: its declarations, and the services and loops of its process."""

from collections.abc import Sequence

from backstay.core.asgi import METRICS as HTTP_METRICS
from backstay.core.asgi import App
from backstay.core.clock import Clock
from backstay.core.dev_issuer import AUDIENCE, ISSUER, read_dev_issuer
from backstay.core.egress import EgressRules
from backstay.core.metrics import RequestMeter
from backstay.core.process import Process
from backstay.core.server import HttpServer, Listen
from backstay.core.service import Loop, Service
from backstay.core.system import System
from backstay.core.tokens import SharedSecret
from backstay.core.trust import Trust, require_auth_for
from backstay.core.validators import Jwt
from backstay.queue.api import PREFIX
from backstay.queue.api.admin import Admin, Open
from backstay.queue.api.calls import endpoints as served
from backstay.queue.api.deliveries import DeliveryFace
from backstay.queue.api.periodics import PeriodicFace
from backstay.queue.api.policies import PolicyFace
from backstay.queue.api.producers import Producers
from backstay.queue.api.rates import RateLimits
from backstay.queue.api.reading import Limits
from backstay.queue.api.subscriptions import SubscriptionFace
from backstay.queue.api.workers import Workers
from backstay.queue.errors import ERRORS
from backstay.queue.health import (
    StoreHealth,
    callbacks_check,
    callbacks_probe,
    commands_probe,
    store_probe,
)
from backstay.queue.loops.callbacks import Callbacks, Tries
from backstay.queue.loops.cron import Cron
from backstay.queue.loops.gauges import Gauges
from backstay.queue.loops.mover import Mover
from backstay.queue.loops.notices import Notices
from backstay.queue.metrics import METRICS, QueueMetrics
from backstay.queue.openapi import document
from backstay.queue.outgoing import Outgoing
from backstay.queue.service import Bulk, Queue
from backstay.queue.service.callbacks import CallbackAdmin
from backstay.queue.service.periodics import Periodics
from backstay.queue.service.policies import Policies
from backstay.queue.service.subscriptions import Subscriptions
from backstay.queue.settings import QueueSettings
from backstay.queue.store.sqlite import SqliteEngine


class Store:
    """The engine as a Service: open before everything, closed after everything."""

    name = "store"

    def __init__(self, engine: SqliteEngine) -> None:
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
    trust = _trust(settings, listen, clock)
    engine = SqliteEngine(
        settings.store, settings.rules(), clock, process.dice, settings.durability
    )
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
    gauges = Gauges(engine, queue, metrics, clock)
    bulk = Bulk(engine, clock)
    egress = EgressRules(_near(settings, listen))
    secret = settings.webhook_hmac_secret
    outgoing = Outgoing(clock, egress, secret, settings.webhook_timeout_seconds, process.breakers)
    tries = Tries(
        settings.result_webhook_max_attempts,
        settings.result_webhook_base_backoff_seconds,
        settings.result_webhook_max_backoff_seconds,
    )
    callbacks = Callbacks(engine, outgoing, clock, metrics, tries)
    notices = Notices(
        engine,
        outgoing,
        clock,
        process.ids,
        metrics,
        settings.subscription_cleanup_interval_seconds,
    )
    calls = [
        *Producers(queue, bulk, clock, process.ids, limits).calls(),
        *Workers(queue, limits).calls(),
        *Admin(queue, bulk, clock, settings.data).calls(),
        *PolicyFace(Policies(engine, clock)).calls(),
        *PeriodicFace(Periodics(engine, clock), clock, limits).calls(),
        *SubscriptionFace(
            Subscriptions(engine, clock, notices.look),
            clock,
            process.ids,
            settings.subscription_min_interval_seconds,
        ).calls(),
        *DeliveryFace(CallbackAdmin(engine, clock, callbacks.wake.set)).calls(),
    ]
    rates = RateLimits(settings.rates(), clock, metrics.rate_limited)
    opened = Open(health, gauges, process.registry, lambda: document(calls, opened.calls()))
    endpoints = [
        *served(calls, PREFIX, rates),
        *served(opened.calls(), "", rates),
    ]
    meter = RequestMeter(process.registry)
    app = App("queue", endpoints, trust, clock, process.ids, meter)
    process.board_checks += [health.check(), callbacks_check(callbacks, engine)]
    process.probes["queue.commands"] = lambda: commands_probe(queue, engine, clock)
    process.probes["queue.callbacks"] = lambda: callbacks_probe(callbacks, engine)
    process.probes["queue.store"] = lambda: store_probe(health, settings.store)
    process.backups["queue.db"] = engine.backup
    return [
        Store(engine),
        outgoing,
        Mover(engine, clock),
        Cron(engine, clock, process.ids),
        callbacks,
        notices,
        gauges,
        HttpServer(app, listen),
        Gate(queue),
    ]


def _near(settings: QueueSettings, listen: Listen) -> tuple[str, ...]:
    """Addresses that are not public and may be called all the same. Where nobody needs a token,
    whoever creates a task is at this machine: calls to it are what they are trying out."""
    alone = not listen.path and not settings.jwt_secret
    return (*settings.webhook_egress_allow, "loopback") if alone else settings.webhook_egress_allow


def _trust(settings: QueueSettings, listen: Listen, clock: Clock) -> Trust:
    """Behind the gateway it believes; alone it judges: strictly with JWT_SECRET, else on loopback
    only, where tokens of the development issuer are verified and nobody needs one."""
    if listen.path:
        return Trust.socket()
    if settings.jwt_secret:
        issuer, audience = settings.jwt_issuer, settings.jwt_audience
        return Trust.strict(Jwt(SharedSecret(settings.jwt_secret), issuer, audience, clock))
    require_auth_for(str(listen), None)
    secret = read_dev_issuer(settings.data)
    return Trust.loopback(Jwt(SharedSecret(secret), ISSUER, AUDIENCE, clock) if secret else None)


SYSTEM = System(
    name="queue",
    settings=QueueSettings,
    errors=ERRORS,
    metrics=METRICS,
    build=build,
)
