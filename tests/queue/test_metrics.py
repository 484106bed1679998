"""What a scrape tells: every command and tenant, bounded, and when nobody looks after a queue."""

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.queue.support import Server, serving, until
from tests.queue.test_auth import EVERYTHING, KEY, minted

from backstay.core.errors import Fault
from backstay.core.metrics import Registry
from backstay.core.virtual import CountingIds, FixedDice, VirtualClock
from backstay.queue.health import StoreHealth
from backstay.queue.loops.gauges import Gauges
from backstay.queue.metrics import MOST_NAMES, QueueMetrics
from backstay.queue.model import QueueStats, Rules, Task
from backstay.queue.operations import Create
from backstay.queue.service import Queue
from backstay.queue.store.sqlite import SqliteEngine

REFERENCE = (
    "codeq_task_created_total",
    "codeq_task_claimed_total",
    "codeq_task_completed_total",
    "codeq_lease_expired_total",
    "codeq_rate_limit_hits_total",
    "codeq_task_processing_latency_seconds",
    "codeq_queue_depth",
    "codeq_dlq_depth",
)


class Scraped:
    def __init__(self) -> None:
        self.clock = VirtualClock(now=1_000_000.0)
        self.registry = Registry((), self.clock)
        self.metrics = QueueMetrics(self.registry, self.clock)

    def value(self, name: str, **labels: str) -> float | None:
        for family in text_string_to_metric_families(self.registry.render().decode()):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        return None


def scrape(server: Server) -> str:
    return server.get("/metrics", prefix="").body.decode()


def stats(command: str, tenant: str = "t", **fields: float) -> QueueStats:
    depths = {"ready": 0, "delayed": 0, "in_progress": 0, "dead": 0, **fields}
    return QueueStats(tenant, command, **depths)  # type: ignore[arg-type]


def test_the_names_of_the_reference_are_there_and_parse(server: Server):
    text = scrape(server)
    for name in REFERENCE:
        assert f"# TYPE {name} " in text
    assert list(text_string_to_metric_families(text))


def test_past_a_number_of_names_they_are_counted_as_other():
    scraped = Scraped()
    for n in range(MOST_NAMES + 50):
        scraped.metrics.created(f"C{n}")
        scraped.metrics.completed(f"C{n}", "COMPLETED", 1.0)
    assert scraped.value("codeq_task_created_total", command="C0") == 1
    assert scraped.value("codeq_task_created_total", command=f"C{MOST_NAMES}") is None
    assert scraped.value("codeq_task_created_total", command="other") == 50
    done = {"command": "other", "status": "COMPLETED"}
    assert scraped.value("codeq_task_completed_total", **done) == 50
    every = [stats(f"C{n}", f"T{n}", ready=2, oldest_ready_at=999_000.0 - n) for n in range(300)]
    scraped.metrics.depths(every, {}, {})
    assert scraped.value("codeq_queue_depth", command="other", queue="ready") == 200
    assert scraped.value("codeq_oldest_ready_age_seconds", command="other") == 1299.0
    assert scraped.value("codeq_tenant_queue_depth", tenant="other", queue="ready") == 200
    text = scraped.registry.render().decode()
    assert len(set(re.findall(r'command="([^"]+)"', text))) == MOST_NAMES + 1


async def test_a_queue_that_nobody_polls_is_told_with_how_long_already():
    scraped = Scraped()
    await scraped.clock.advance(100.0)
    waits = stats("A", ready=1, oldest_ready_at=scraped.clock.now() - 60.0)
    for polled, waiting, expected in (
        ({}, {}, 60.0),
        ({"A": scraped.clock.now() - 20.0}, {}, 20.0),
        ({"": scraped.clock.now() - 5.0}, {}, 5.0),
        ({"B": scraped.clock.now()}, {}, 60.0),
        ({}, {"A": 1}, 0.0),
    ):
        scraped.metrics.depths([waits], polled, waiting)
        assert scraped.value("codeq_unattended_seconds", command="A") == expected
    scraped.metrics.depths([stats("A", in_progress=3)], {}, {})
    assert scraped.value("codeq_unattended_seconds", command="A") == 0.0


def test_the_wait_for_a_worker_counts_from_when_the_task_was_due():
    scraped = Scraped()
    times = {"created_at": 10.0, "updated_at": 10.0, "due_at": 70.0, "claimed_at": 72.0}
    scraped.metrics.claimed(Task("i", "t", "A", "1", "leased", **times))
    assert scraped.value("codeq_task_wait_seconds_sum", command="A") == 2.0


async def test_the_store_is_not_up_while_writes_fail_though_it_can_be_read(tmp_path: Path):
    """The store may not grow: health's tiny write goes through, that of a large task does not."""
    scraped = Scraped()
    engine = SqliteEngine(tmp_path / "q.db", Rules(), scraped.clock, FixedDice(), "process")
    await engine.open()
    health = StoreHealth(engine, scraped.clock)
    queue = Queue(engine, scraped.clock, CountingIds(), scraped.metrics)
    gauges = Gauges(engine, queue, scraped.metrics, health, scraped.clock)
    await gauges.refresh()
    assert scraped.value("codeq_store_up") == 1
    await engine._db.write(lambda db: db.pragma("max_page_count", db.pragma("page_count")))
    with pytest.raises(Fault, match="full"):
        await engine.apply([Create("id", "t", "A", "x" * 500_000)], scraped.clock.now())
    assert (await health.finding()).outcome == "pass"
    await gauges.refresh()
    assert scraped.value("codeq_store_up") == 0
    await scraped.clock.advance(5.0)
    await gauges.refresh()
    assert scraped.value("codeq_store_up") == 1
    await engine.close()


def test_every_tenant_and_every_command_is_counted(tmp_path: Path):
    with serving(tmp_path / "data", env={"JWT_SECRET": KEY}) as server:
        for tenant, command in (("acme", "PRINT"), ("globex", "PRINT"), ("globex", "SHIP")):
            who = minted(EVERYTHING, tenant=tenant)
            server.post("/tasks", {"command": command, "payload": 1}, **who)
        worker = minted(EVERYTHING, tenant="acme")
        body = {"commands": ["PRINT"], "leaseSeconds": 0.2}
        assert server.post("/tasks/claim", body, **worker).status == 200
        until(lambda: 'codeq_lease_expired_total{command="PRINT"} 1' in scrape(server))
        text = scrape(server)
        assert 'codeq_task_created_total{command="PRINT"} 2' in text
        assert 'codeq_queue_depth{command="SHIP",queue="ready"} 1' in text
        assert 'codeq_tenant_queue_depth{tenant="globex",queue="ready"} 2' in text
        assert 'codeq_tenant_claimed_total{tenant="acme"} 1' in text
        lonely = re.search(r'codeq_unattended_seconds\{command="SHIP"\} ([\d.]+)', text)
        assert lonely is not None
        assert float(lonely[1]) > 0
