"""The SDK for workers: functions by command, leases kept, results delivered, drained on SIGTERM.

```python
worker = Worker.from_env()

@worker.task("PACK_ORDER")
async def pack(payload: Order, job: Job) -> dict:
    return {"parcel": "P-1"}

worker.run()
```
A task may be delivered more than once: make the effect depend on the payload alone.
Tests of such functions: `backstay.queue.testing`.
"""

from backstay.core.backoff import Backoff
from backstay.queue.worker.job import Job, current_job
from backstay.queue.worker.settings import WorkerSettings
from backstay.queue.worker.shift import ANY
from backstay.queue.worker.verdicts import Reject, Release, Retry
from backstay.queue.worker.worker import Worker

__all__ = [
    "ANY",
    "Backoff",
    "Job",
    "Reject",
    "Release",
    "Retry",
    "Worker",
    "WorkerSettings",
    "current_job",
]
