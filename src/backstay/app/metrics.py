"""What the app counts besides its HTTP requests (core.asgi) and its workflows (flow.metrics)."""

from backstay.app.store.session import Database
from backstay.core.metrics import Registry
from backstay.core.system import Metric

METRICS = (
    Metric("db_connections_in_use", "gauge", "Connections of the pool that work right now"),
    Metric("db_connections_open", "gauge", "Connections of the pool that are open"),
    Metric("db_connections_max", "gauge", "Connections that the pool may open"),
    Metric("db_commits", "gauge", "Commits of the writer since the start"),
    Metric("db_commit_seconds", "gauge", "Seconds spent in those commits"),
    Metric("db_wal_bytes", "gauge", "Size of the write-ahead log after the last commit"),
)


def watch(registry: Registry, database: Database) -> None:
    """Make the declared series live: they are read when somebody asks."""
    registry.declare(METRICS)
    registry.gauge("db_connections_in_use").read(lambda: database.pool().in_use)
    registry.gauge("db_connections_open").read(lambda: database.pool().open_connections)
    registry.gauge("db_connections_max").read(lambda: database.pool().max_connections)
    registry.gauge("db_commits").read(lambda: database.stats().commits)
    registry.gauge("db_commit_seconds").read(lambda: database.stats().commit_seconds)
    registry.gauge("db_wal_bytes").read(lambda: database.stats().wal_bytes)
