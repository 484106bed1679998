"""Counting is cheap and bounded; what is rendered, and merged, is a valid exposition."""

import math
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from backstay.core import asgi
from backstay.core.metrics import OTHER, Registry, RequestMeter, merge
from backstay.core.system import Metric
from backstay.core.virtual import VirtualClock

DECLARED = (
    Metric("tasks_total", "counter", "Tasks\nof a \\ queue", ("command", "status")),
    Metric("plain_total", "counter", "No labels"),
    Metric("depth", "gauge", "Depth", ("command",)),
    Metric("uptime", "gauge", "One number"),
    Metric("wait_seconds", "histogram", "Wait", ("route",), (0.1, 1.0)),
)


def registry(cap: int = 1000) -> Registry:
    return Registry(DECLARED, VirtualClock(now=1000.0), cap)


def samples(exposition: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    found = {}
    for family in text_string_to_metric_families(exposition.decode()):
        for one in family.samples:
            key = (one.name, tuple(sorted(one.labels.items())))
            assert key not in found
            found[key] = one.value
    return found


def test_counters_count_by_label_and_begin_at_zero_without():
    metrics = registry()
    metrics.counter("tasks_total").inc("PACK", "ok")
    metrics.counter("tasks_total").inc("PACK", "ok", by=2)
    seen = samples(metrics.render())
    assert seen["tasks_total", (("command", "PACK"), ("status", "ok"))] == 3
    assert seen["plain_total", ()] == 0
    assert metrics.counter("tasks_total").value("PACK", "ok") == 3


def test_gauges_are_set_or_read_at_the_scrape():
    metrics = registry()
    metrics.gauge("depth").set("A", value=4)
    metrics.gauge("depth").add("A", by=-1)
    level = [5.5]
    metrics.gauge("uptime").read(lambda: level[0])
    assert samples(metrics.render())["depth", (("command", "A"),)] == 3
    level[0] = 6.5
    assert samples(metrics.render())["uptime", ()] == 6.5
    metrics.gauge("depth").read(lambda: {("B",): 1.0})
    assert ("depth", (("command", "A"),)) not in samples(metrics.render())


def test_a_reader_that_fails_takes_only_its_own_metric_away():
    metrics = registry()
    metrics.gauge("uptime").read(lambda: 1 / 0)
    seen = samples(metrics.render())
    assert ("uptime", ()) not in seen
    assert ("plain_total", ()) in seen


def test_histogram_buckets_are_inclusive_and_cumulative():
    metrics = registry()
    for value in (0.1, 0.5, 1.0, 7.0):
        metrics.histogram("wait_seconds").observe("/x", value=value)
    seen = samples(metrics.render())
    bucket = {
        dict(labels)["le"]: value
        for (name, labels), value in seen.items()
        if name == "wait_seconds_bucket"
    }
    assert bucket == {"0.1": 1, "1": 3, "+Inf": 4} or bucket == {"0.1": 1, "1.0": 3, "+Inf": 4}
    assert seen["wait_seconds_count", (("route", "/x"),)] == 4
    assert seen["wait_seconds_sum", (("route", "/x"),)] == pytest.approx(8.6)


def test_cardinality_is_bounded_and_nothing_is_lost():
    metrics = registry(cap=10)
    for number in range(1000):
        metrics.counter("tasks_total").inc(f"C{number}", "ok")
        metrics.histogram("wait_seconds").observe(f"/{number}", value=0.5)
    seen = samples(metrics.render())
    counted = {key: value for key, value in seen.items() if key[0] == "tasks_total"}
    assert len(counted) == 11
    assert sum(counted.values()) == 1000
    assert counted["tasks_total", (("command", OTHER), ("status", OTHER))] == 990
    assert seen["wait_seconds_count", (("route", OTHER),)] == 990


@given(st.text(), st.floats())
def test_any_label_text_and_number_survives_the_exposition(text, value):
    metrics = registry()
    metrics.gauge("depth").set(text, value=value)
    seen = samples(metrics.render())["depth", (("command", text),)]
    assert seen == value or (math.isnan(seen) and math.isnan(value))


def test_process_metrics_are_there():
    seen = samples(registry().render())
    assert seen["process_start_time_seconds", ()] == 1000.0
    assert seen["process_resident_memory_bytes", ()] > 5_000_000
    assert seen["process_cpu_seconds_total", ()] > 0
    before = seen["process_open_fds", ()]
    reading, writing = os.pipe()
    assert samples(registry().render())["process_open_fds", ()] == before + 2
    os.close(reading)
    os.close(writing)


def test_requests_are_counted_by_route_and_status():
    metrics = Registry(asgi.METRICS, VirtualClock())
    meter = RequestMeter(metrics)
    meter.answered("GET", "/x/{id}", 200, 0.02)
    seen = samples(metrics.render())
    labels = (("method", "GET"), ("path", "/x/{id}"))
    assert seen["http_requests_total", (*labels, ("status", "200"))] == 1
    assert seen["http_request_duration_seconds_count", labels] == 1


def test_mistakes_of_the_caller_are_loud():
    metrics = registry()
    with pytest.raises(KeyError):
        metrics.counter("absent")
    with pytest.raises(TypeError):
        metrics.counter("depth")
    with pytest.raises(ValueError, match="command, status"):
        metrics.counter("tasks_total").inc("only-one")
    with pytest.raises(ValueError, match="declared twice"):
        metrics.declare([Metric("depth", "counter", "x")])


def test_merge_tells_systems_apart_and_joins_families():
    one, two = registry(), registry()
    one.counter("tasks_total").inc('A"b', "ok")
    two.counter("tasks_total").inc('A"b', "ok", by=5)
    two.histogram("wait_seconds").observe("/x", value=0.5)
    merged = merge({"queue": one.render(), "app": two.render()})
    seen = samples(merged)
    labels = (("command", 'A"b'), ("status", "ok"))
    assert seen["tasks_total", (*labels, ("system", "queue"))] == 1
    assert seen["tasks_total", (*labels, ("system", "app"))] == 5
    assert seen["plain_total", (("system", "queue"),)] == 0
    assert seen["wait_seconds_count", (("route", "/x"), ("system", "app"))] == 1
    text = merged.decode()
    assert text.count("# TYPE tasks_total ") == 1
    assert text.count("# HELP tasks_total ") == 1


def test_merge_keeps_a_system_label_of_a_part_under_another_name():
    merged = merge({"gateway": b'up{system="queue",x="1"} 1\nnot a sample at all here\n'})
    assert merged == b'up{system="gateway",exported_system="queue",x="1"} 1\n'


@given(st.lists(st.floats(0, 5) | st.sampled_from([0.1, 1.0]), min_size=1, max_size=30))
def test_many_observations_at_once_count_like_each_alone(values: list[float]):
    together, alone = (registry().histogram("wait_seconds") for _ in range(2))
    together.observe_all("/x", values=values)
    for value in values:
        alone.observe("/x", value=value)
    *counts, total = [line.rpartition(" ") for line in together.lines()][:-1]
    *mine, _ = [line.rpartition(" ") for line in alone.lines()][:-1]
    assert counts == mine
    assert float(total[2]) == pytest.approx(sum(values))
    assert list(together.lines())[-1] == list(alone.lines())[-1]
