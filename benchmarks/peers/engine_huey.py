"""huey's SQLite storage with its fsync on: a claim deletes the task, so there is no lease; the
result is stored by itself."""

from huey.storage import SqliteStorage
from timed import PAYLOAD, RESULT, arguments, timed, told

folder, tasks, _batch = arguments()
storage = SqliteStorage(filename=str(folder / "huey.db"), fsync=True)


def cycles(times: list[float]) -> None:
    for number in range(tasks):
        timed(times, lambda: storage.enqueue(PAYLOAD.encode()))
        timed(times, storage.dequeue)
        timed(times, lambda n=number: storage.put_data(str(n).encode(), RESULT.encode()))


told(tasks, cycles)
