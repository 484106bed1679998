"""litequeue, made as durable as ours: a put, a pop and a done for each task."""

from typing import Any

from litequeue import LiteQueue
from timed import PAYLOAD, arguments, timed, told

folder, tasks, _batch = arguments()
queue = LiteQueue(str(folder / "lite.db"))
queue.conn.execute("PRAGMA synchronous = FULL")


def cycles(times: list[float]) -> None:
    for _ in range(tasks):
        timed(times, lambda: queue.put(PAYLOAD))
        found: Any = timed(times, queue.pop)
        timed(times, lambda found=found: queue.done(found.message_id))


told(tasks, cycles)
