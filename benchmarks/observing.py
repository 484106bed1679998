"""What it costs to be looked at: spans (off and on), a CPU profile, a heap census; and a token.

python benchmarks/observing.py [RUNS]: medians of RUNS (5), CPU time of this process throughout, so
that a busy machine counts little. Spans that are on go to a port where nobody listens, as to a
collector that is away: their sending is the SDK's own thread and not in the figure.
"""

import asyncio
import logging
import statistics
import sys
import threading
import time
from collections.abc import Callable

from backstay.core.clock import CpuClock, SystemClock
from backstay.core.metrics_process import resident_bytes
from backstay.core.profiling.cpu import Sampler
from backstay.core.profiling.heap import Heap
from backstay.core.settings import Secret
from backstay.core.tokens import Issuer, SharedSecret
from backstay.core.tracing import OFF, Tracer
from backstay.core.validators import Jwt

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
THREADS = 20
OBJECTS = 200_000


def each(work: Callable[[], object], times: int) -> float:
    """Nanoseconds of this thread's CPU for one call."""
    began = time.thread_time_ns()
    for _ in range(times):
        work()
    return (time.thread_time_ns() - began) / times


def span(tracer: Tracer) -> None:
    with tracer.span("work", PARENT, rows=3) as begun:
        begun.set(more=1)


def sampled_share() -> float:
    """The sampler's CPU as a share of one core, with threads that wait beside it."""
    done = threading.Event()
    threads = [threading.Thread(target=done.wait) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    cpu, loop = CpuClock(), asyncio.new_event_loop()
    sampler = Sampler("bench", loop, cpu)
    sampler.start()
    time.sleep(2)
    share = (cpu.of_thread(sampler.native_id or 0) or 0.0) / 2
    sampler.stop()
    sampler.finish(0, 2)
    done.set()
    loop.close()
    return share


def census() -> float:
    """CPU milliseconds for each 100,000 objects."""
    things = [[number] for number in range(OBJECTS)]
    began = time.process_time()
    asyncio.run(Heap("bench", resident_bytes).profile(0, trace=None, default="inuse_space"))
    return (time.process_time() - began) * 1000 / (len(things) / 100_000)


def known_token() -> float:
    """Microseconds for a token that was seen before."""
    clock, secret = SystemClock(), Secret("a-shared-secret-of-32-characters!")
    token = Issuer(secret, "b", "b", clock).mint("x", ["a", "b"])
    judge = Jwt(SharedSecret(secret), "b", "b", clock)

    async def many() -> float:
        await judge.validate(token)
        began = time.thread_time_ns()
        for _ in range(20_000):
            await judge.validate(token)
        return (time.thread_time_ns() - began) / 20_000 / 1000

    return asyncio.run(many())


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    rows: list[tuple[str, str, Callable[[], float]]] = [
        ("asking whether tracing is on", "ns", lambda: each(lambda: OFF.on, 200_000)),
        ("a span, tracing off", "ns", lambda: each(lambda: span(OFF), 100_000)),
        ("a known token", "us", known_token),
        (f"CPU profile, {THREADS} threads, of one core", "%", lambda: 100 * sampled_share()),
        ("heap census, 100,000 objects more", "ms", census),
    ]
    try:
        from backstay.core.tracing_otel import OtelTracer
    except ModuleNotFoundError:
        print("tracing on: not measured, backstay[otel] is not installed")
    else:
        logging.disable()
        on = OtelTracer("bench", "http://127.0.0.1:1/v1/traces", 1.0)
        rows.insert(2, ("a span, tracing on", "us", lambda: each(lambda: span(on), 1500) / 1000))
    for name, unit, measure in rows:
        print(f"{name:<42} {statistics.median(measure() for _ in range(runs)):9.2f} {unit}")


if __name__ == "__main__":
    main()
