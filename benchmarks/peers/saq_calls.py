"""SAQ's own calls on Redis: 64 callers who enqueue, dequeue and finish, for some seconds."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable
from typing import Any

from redis.asyncio import Redis
from saq.job import Status
from saq.queue.redis import RedisQueue
from timed import PAYLOAD, RESULT

address, seconds = sys.argv[1], float(sys.argv[2])
times: list[float] = []


async def timed(call: Awaitable[Any]) -> Any:
    began = time.perf_counter()
    found = await call
    times.append(time.perf_counter() - began)
    return found


async def main() -> None:
    host, _, port = address.partition(":")
    queue = RedisQueue(Redis(host=host, port=int(port)), name="bench", max_concurrent_ops=64)
    await queue.connect()
    began, cpu = time.perf_counter(), time.process_time()

    async def one() -> int:
        done = 0
        while time.perf_counter() < began + seconds:
            await timed(queue.enqueue("noop", payload=PAYLOAD))
            job = await timed(queue.dequeue(timeout=5))
            if job is not None:
                await timed(job.finish(Status.COMPLETE, result=RESULT))
                done += 1
        return done

    done = sum(await asyncio.gather(*(one() for _ in range(64))))
    took, used = time.perf_counter() - began, time.process_time() - cpu
    await queue.disconnect()
    times.sort()
    figures = {"rate": done / took, "cpu": used / done, "done": done}
    shares = {"p50": times[len(times) // 2], "p99": times[int(len(times) * 0.99)]}
    print(json.dumps(figures | {name: value * 1e3 for name, value in shares.items()}))


asyncio.run(main())
