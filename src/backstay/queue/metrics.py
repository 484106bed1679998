"""What the queue counts and shows. Names are codeQ's where it has them."""

from collections.abc import Mapping, Sequence

from backstay.core.clock import Clock
from backstay.core.metrics import Registry
from backstay.core.sqlite import Stats
from backstay.core.system import Metric
from backstay.queue.model import QueueStats, Subscription

METRICS: Sequence[Metric] = (
    Metric("codeq_task_created_total", "counter", "Tasks accepted", ("command",)),
    Metric("codeq_task_claimed_total", "counter", "Deliveries to workers", ("command",)),
    Metric("codeq_task_completed_total", "counter", "Tasks with a result", ("command", "status")),
    Metric("codeq_task_requeued_total", "counter", "Deliveries given back", ("command", "how")),
    Metric("codeq_task_dead_total", "counter", "Tasks that became dead letters", ("command",)),
    Metric("codeq_lease_expired_total", "counter", "Leases that ended alone", ("command",)),
    Metric(
        "codeq_task_processing_latency_seconds",
        "histogram",
        "Seconds from creation to the result",
        ("command", "status"),
        (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600),
    ),
    Metric(
        "codeq_rate_limit_hits_total",
        "counter",
        "Requests refused by a rate limit",
        ("scope", "operation"),
    ),
    Metric("codeq_queue_depth", "gauge", "Tasks waiting or in progress", ("command", "queue")),
    Metric("codeq_dlq_depth", "gauge", "Dead letters", ("command",)),
    Metric("codeq_oldest_ready_age_seconds", "gauge", "Age of the oldest ready task", ("command",)),
    Metric("codeq_last_claim_age_seconds", "gauge", "Since a worker last asked", ("command",)),
    Metric("codeq_waiting_claims", "gauge", "Claims that wait for work", ("command",)),
    Metric(
        "codeq_webhook_deliveries_total",
        "counter",
        "Calls to receivers of results and to subscribers",
        ("kind", "command", "outcome"),
    ),
    Metric("codeq_subscriptions_active", "gauge", "Living subscriptions", ("command",)),
    Metric("codeq_store_commits_total", "counter", "Durable commits of the store"),
    Metric("codeq_store_commit_seconds_total", "counter", "Seconds spent committing"),
    Metric("codeq_store_wal_bytes", "gauge", "Size of the write-ahead log"),
)


class QueueMetrics:
    """The numbers of one process."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        registry.declare(METRICS)
        self._clock = clock
        self._created = registry.counter("codeq_task_created_total")
        self._claimed = registry.counter("codeq_task_claimed_total")
        self._completed = registry.counter("codeq_task_completed_total")
        self._requeued = registry.counter("codeq_task_requeued_total")
        self._dead = registry.counter("codeq_task_dead_total")
        self._expired = registry.counter("codeq_lease_expired_total")
        self._limited = registry.counter("codeq_rate_limit_hits_total")
        self._latency = registry.histogram("codeq_task_processing_latency_seconds")
        self._depth = registry.gauge("codeq_queue_depth")
        self._dlq = registry.gauge("codeq_dlq_depth")
        self._oldest = registry.gauge("codeq_oldest_ready_age_seconds")
        self._polled = registry.gauge("codeq_last_claim_age_seconds")
        self._waiting = registry.gauge("codeq_waiting_claims")
        self._called = registry.counter("codeq_webhook_deliveries_total")
        self._subscribed = registry.gauge("codeq_subscriptions_active")
        self._commits = registry.counter("codeq_store_commits_total")
        self._commit_seconds = registry.counter("codeq_store_commit_seconds_total")
        self._wal = registry.gauge("codeq_store_wal_bytes")

    def created(self, command: str) -> None:
        self._created.inc(command)

    def claimed(self, command: str) -> None:
        self._claimed.inc(command)

    def completed(self, command: str, status: str, seconds: float) -> None:
        """A result; `seconds` since the creation of the task."""
        self._completed.inc(command, status)
        self._latency.observe(command, status, value=seconds)

    def requeued(self, command: str, how: str) -> None:
        self._requeued.inc(command, how)

    def died(self, command: str) -> None:
        self._dead.inc(command)

    def expired(self, command: str) -> None:
        self._expired.inc(command)

    def rate_limited(self, scope: str, operation: str) -> None:
        self._limited.inc(scope, operation)

    def called(self, kind: str, command: str, outcome: str) -> None:
        """One try: `kind` task_result or queue_ready; `outcome` success, failure or refused."""
        self._called.inc(kind, command, outcome)

    def subscribed(self, living: Sequence[Subscription]) -> None:
        """Who wants to be told; `*` is any command."""
        self._subscribed.clear()
        for one in living:
            for command in one.commands or ("*",):
                self._subscribed.add(command, by=1)

    def stored(self, stats: Stats) -> None:
        """The store's own totals."""
        self._commits.inc(by=stats.commits - self._commits.value())
        self._commit_seconds.inc(by=stats.commit_seconds - self._commit_seconds.value())
        self._wal.set(value=stats.wal_bytes)

    def depths(
        self, queues: Sequence[QueueStats], polled: Mapping[str, float], waiting: Mapping[str, int]
    ) -> None:
        """The gauges per command, over all tenants."""
        for gauge in (self._depth, self._dlq, self._oldest, self._polled, self._waiting):
            gauge.clear()
        now = self._clock.now()
        for queue in queues:
            command = queue.command
            self._depth.add(command, "ready", by=queue.ready)
            self._depth.add(command, "delayed", by=queue.delayed)
            self._depth.add(command, "in_progress", by=queue.in_progress)
            self._depth.add(command, "dlq", by=queue.dead)
            self._dlq.add(command, by=queue.dead)
        oldest: dict[str, float] = {}
        for queue in queues:
            if queue.oldest_ready_at:
                age = now - queue.oldest_ready_at
                oldest[queue.command] = max(oldest.get(queue.command, 0.0), age)
        for command, age in oldest.items():
            self._oldest.set(command, value=age)
        for command, at in polled.items():
            if command:
                self._polled.set(command, value=max(0.0, now - at))
        for command, count in waiting.items():
            self._waiting.set(command, value=count)
