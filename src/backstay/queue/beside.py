"""What stands beside tasks, put together: bounds, the calendar, subscriptions, result callbacks.
Out come the routes, services and loops of it.
"""

from collections.abc import Sequence

from backstay.core.egress import EgressRules
from backstay.core.process import Process
from backstay.core.server import Listen
from backstay.core.service import Loop, Service
from backstay.queue.api.calls import Call
from backstay.queue.api.deliveries import DeliveryFace
from backstay.queue.api.periodics import PeriodicFace
from backstay.queue.api.policies import PolicyFace
from backstay.queue.api.reading import Limits
from backstay.queue.api.subscriptions import SubscriptionFace
from backstay.queue.health import callbacks_check, callbacks_probe
from backstay.queue.loops.callbacks import Callbacks, Tries
from backstay.queue.loops.cron import Cron
from backstay.queue.loops.notices import Notices
from backstay.queue.metrics import QueueMetrics
from backstay.queue.outgoing import Outgoing
from backstay.queue.service.callbacks import CallbackAdmin
from backstay.queue.service.periodics import Periodics
from backstay.queue.service.policies import Policies
from backstay.queue.service.subscriptions import Subscriptions
from backstay.queue.settings import QueueSettings
from backstay.queue.store import Engine


class Beside:
    """Fills the process's checks, probes and breakers."""

    def __init__(
        self, process: Process[QueueSettings], engine: Engine, metrics: QueueMetrics
    ) -> None:
        settings, clock = process.loaded.settings, process.clock
        self._process = process
        self._engine = engine
        self._outgoing = Outgoing(
            clock,
            EgressRules(_near(settings)),
            settings.webhook_hmac_secret,
            settings.webhook_timeout_seconds,
            process.breakers,
            process.tracer,
        )
        tries = Tries(
            settings.result_webhook_max_attempts,
            settings.result_webhook_base_backoff_seconds,
            settings.result_webhook_max_backoff_seconds,
        )
        self._callbacks = Callbacks(engine, self._outgoing, clock, metrics, tries)
        cleanup = settings.subscription_cleanup_interval_seconds
        self._notices = Notices(engine, self._outgoing, clock, process.ids, metrics, cleanup)
        self._cron = Cron(engine, clock, process.ids, metrics.created)
        process.board_checks.append(callbacks_check(self._callbacks, engine))
        process.probes["queue.callbacks"] = lambda: callbacks_probe(self._callbacks, engine)

    def calls(self, limits: Limits) -> list[Call]:
        """The routes."""
        engine, clock, ids = self._engine, self._process.clock, self._process.ids
        interval = self._process.loaded.settings.subscription_min_interval_seconds
        subscriptions = Subscriptions(engine, clock, self._notices.look)
        callbacks = CallbackAdmin(engine, clock, self._callbacks.wake.set)
        return [
            *PolicyFace(Policies(engine, clock)).calls(),
            *PeriodicFace(Periodics(engine, clock), clock, limits).calls(),
            *SubscriptionFace(subscriptions, clock, ids, interval).calls(),
            *DeliveryFace(callbacks).calls(),
        ]

    def parts(self) -> Sequence[Service | Loop]:
        """To be started after the store and drained before it."""
        return [self._outgoing, self._cron, self._callbacks, self._notices]


def _near(settings: QueueSettings) -> tuple[str, ...]:
    """Addresses that are not public and may be called all the same. Where nobody needs a token,
    whoever creates a task is at this machine: calls to it are what they are trying out."""
    allowed = settings.webhook_egress_allow
    alone = not Listen.parse(settings.address).path and not settings.judged
    return (*allowed, "loopback") if alone else allowed
