"""What the queue counts and shows. Names are codeQ's where it has them."""

from collections.abc import Iterable, Mapping, Sequence

from backstay.core.clock import Clock
from backstay.core.metrics import OTHER, Gauge, Registry
from backstay.core.sqlite import Stats
from backstay.core.system import Metric
from backstay.queue.model import QueueStats, Subscription, Task
from backstay.queue.operations import Leased

MOST_NAMES = 200
"""Commands, and tenants, that are told apart; what comes after is counted as `other`."""

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
    Metric(
        "codeq_task_wait_seconds",
        "histogram",
        "Seconds from when a task could be claimed to its delivery",
        ("command",),
        (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
    ),
    Metric("codeq_tenant_claimed_total", "counter", "Deliveries of a tenant's tasks", ("tenant",)),
    Metric(
        "codeq_tenant_queue_depth",
        "gauge",
        "Tasks of a tenant waiting or in progress",
        ("tenant", "queue"),
    ),
    Metric(
        "codeq_tenant_oldest_ready_age_seconds",
        "gauge",
        "Age of a tenant's oldest ready task: what fairness keeps alike",
        ("tenant",),
    ),
    Metric(
        "codeq_unattended_seconds",
        "gauge",
        "How long a queue has had ready tasks while nobody polled it",
        ("command",),
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
    Metric("codeq_store_up", "gauge", "1 while the store answers and takes writes, else 0"),
    Metric("codeq_store_commits_total", "counter", "Durable commits of the store"),
    Metric("codeq_store_commit_seconds_total", "counter", "Seconds spent committing"),
    Metric("codeq_store_wal_bytes", "gauge", "Size of the write-ahead log"),
)


class Names(dict[str, str]):
    """A name by itself, or `other` once there are too many: every series of a command has the same
    label, and memory is bounded whatever commands and tenants are called."""

    def __init__(self, most: int = MOST_NAMES) -> None:
        super().__init__()
        self._most = most

    def __missing__(self, name: str) -> str:
        if len(self) >= self._most:
            return OTHER
        self[name] = name
        return name


class QueueMetrics:
    """The numbers of one process."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        registry.declare(METRICS)
        self._clock = clock
        self._started = clock.now()
        self._commands = Names()
        self._tenants = Names()
        self._created = registry.counter("codeq_task_created_total")
        self._claimed = registry.counter("codeq_task_claimed_total")
        self._completed = registry.counter("codeq_task_completed_total")
        self._requeued = registry.counter("codeq_task_requeued_total")
        self._dead = registry.counter("codeq_task_dead_total")
        self._expired = registry.counter("codeq_lease_expired_total")
        self._limited = registry.counter("codeq_rate_limit_hits_total")
        self._latency = registry.histogram("codeq_task_processing_latency_seconds")
        self._waited = registry.histogram("codeq_task_wait_seconds")
        self._tenant_claimed = registry.counter("codeq_tenant_claimed_total")
        self._tenant_depth = registry.gauge("codeq_tenant_queue_depth")
        self._tenant_oldest = registry.gauge("codeq_tenant_oldest_ready_age_seconds")
        self._unattended = registry.gauge("codeq_unattended_seconds")
        self._depth = registry.gauge("codeq_queue_depth")
        self._dlq = registry.gauge("codeq_dlq_depth")
        self._oldest = registry.gauge("codeq_oldest_ready_age_seconds")
        self._polled = registry.gauge("codeq_last_claim_age_seconds")
        self._waiting = registry.gauge("codeq_waiting_claims")
        self._called = registry.counter("codeq_webhook_deliveries_total")
        self._subscribed = registry.gauge("codeq_subscriptions_active")
        self._store_up = registry.gauge("codeq_store_up")
        self._up: bool | None = None
        self._commits = registry.counter("codeq_store_commits_total")
        self._commit_seconds = registry.counter("codeq_store_commit_seconds_total")
        self._wal = registry.gauge("codeq_store_wal_bytes")

    def created(self, command: str) -> None:
        self._created.inc(self._commands[command])

    def claimed(self, task: Task) -> None:
        """A delivery, and how long it was waited for."""
        command = self._commands[task.command]
        self._claimed.inc(command)
        self._tenant_claimed.inc(self._tenants[task.tenant])
        since = max(task.due_at, task.created_at)
        self._waited.observe(command, value=max(0.0, task.claimed_at - since))

    def claimed_together(self, leased: Leased, at: float) -> None:
        """Deliveries at this wall time, of tasks of one queue."""
        command = self._commands[leased.command]
        self._claimed.inc(command, by=leased.count)
        self._tenant_claimed.inc(self._tenants[leased.tenant], by=leased.count)
        waited = [max(0.0, at - since) for since in leased.since]
        self._waited.observe_all(command, values=waited)

    def completed_together(self, command: str, seconds: Sequence[float]) -> None:
        """Successes; the `seconds` of each since its creation."""
        command = self._commands[command]
        self._completed.inc(command, "COMPLETED", by=len(seconds))
        self._latency.observe_all(command, "COMPLETED", values=seconds)

    def completed(self, command: str, status: str, seconds: float) -> None:
        """A result; `seconds` since the creation of the task."""
        command = self._commands[command]
        self._completed.inc(command, status)
        self._latency.observe(command, status, value=seconds)

    def requeued(self, command: str, how: str) -> None:
        self._requeued.inc(self._commands[command], how)

    def died(self, command: str) -> None:
        self._dead.inc(self._commands[command])

    def expired(self, command: str) -> None:
        self._expired.inc(self._commands[command])

    def rate_limited(self, scope: str, operation: str) -> None:
        self._limited.inc(scope, operation)

    def called(self, kind: str, command: str, outcome: str) -> None:
        """One try: `kind` task_result or queue_ready; `outcome` success, failure or refused."""
        self._called.inc(kind, self._commands[command], outcome)

    def subscribed(self, living: Sequence[Subscription]) -> None:
        """Who wants to be told; `*` is any command."""
        self._subscribed.clear()
        for one in living:
            for command in one.commands or ("*",):
                self._subscribed.add(self._commands[command], by=1)

    def store_up(self, *, up: bool) -> bool:
        """Whether that is news."""
        news = self._up != up
        self._up = up
        self._store_up.set(value=float(up))
        return news

    def stored(self, stats: Stats) -> None:
        """The store's own totals."""
        self._commits.inc(by=stats.commits - self._commits.value())
        self._commit_seconds.inc(by=stats.commit_seconds - self._commit_seconds.value())
        self._wal.set(value=stats.wal_bytes)

    def depths(
        self, queues: Sequence[QueueStats], polled: Mapping[str, float], waiting: Mapping[str, int]
    ) -> None:
        """The gauges over all tenants. `polled` are the times of last claims by command, "" one of
        any; `waiting` counts claims that wait now."""
        for gauge in (self._depth, self._dlq, self._tenant_depth, self._waiting):
            gauge.clear()
        now = self._clock.now()
        for queue in queues:
            self._count(self._depth, self._commands[queue.command], queue)
            self._count(self._tenant_depth, self._tenants[queue.tenant], queue)
            self._dlq.add(self._commands[queue.command], by=queue.dead)
        for command, count in waiting.items():
            self._waiting.add(self._commands[command], by=count)
        ready = [queue for queue in queues if queue.oldest_ready_at]
        ages = [(queue, now - queue.oldest_ready_at) for queue in ready]
        asked = {command: now - at for command, at in polled.items() if command}
        _show_worst(self._oldest, [(self._commands[q.command], age) for q, age in ages])
        _show_worst(self._tenant_oldest, [(self._tenants[q.tenant], age) for q, age in ages])
        _show_worst(self._polled, [(self._commands[name], age) for name, age in asked.items()])
        lonely = [
            (self._commands[queue.command], self._alone(queue, now, polled, waiting))
            for queue in queues
        ]
        _show_worst(self._unattended, lonely)

    def _count(self, gauge: Gauge, name: str, queue: QueueStats) -> None:
        gauge.add(name, "ready", by=queue.ready)
        gauge.add(name, "delayed", by=queue.delayed)
        gauge.add(name, "in_progress", by=queue.in_progress)
        gauge.add(name, "dlq", by=queue.dead)

    def _alone(
        self,
        queue: QueueStats,
        now: float,
        polled: Mapping[str, float],
        waiting: Mapping[str, int],
    ) -> float:
        """Seconds without anybody who asks, counted while there is something to ask for. A queue
        that is paused is meant to wait."""
        if not queue.oldest_ready_at or queue.paused or waiting.get(queue.command):
            return 0.0
        asked = max(
            polled.get(queue.command, 0.0),
            polled.get("", 0.0),
            queue.last_claim_at,
            self._started,
        )
        return max(0.0, min(now - queue.oldest_ready_at, now - asked))


def _show_worst(gauge: Gauge, seen: Iterable[tuple[str, float]]) -> None:
    """The largest of each name; several names may be `other`."""
    worst: dict[str, float] = {}
    for name, seconds in seen:
        worst[name] = max(worst.get(name, 0.0), seconds)
    gauge.clear()
    for name, seconds in worst.items():
        gauge.set(name, value=seconds)
