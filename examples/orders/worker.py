"""The packing table: an outside worker that serves PACK_ORDER, as a user would write one.

It may be killed at any moment. The queue hands the order out again when its lease ends, and the
parcel number follows from the order alone, so packing twice still gives one parcel.
"""

import asyncio
import hashlib
from typing import Any

from backstay.queue.worker import Worker

worker = Worker.from_env()


def parcel_of(order: str) -> str:
    """Ten characters that depend on nothing but the order's id."""
    return "P-" + hashlib.sha256(order.encode()).hexdigest()[:10].upper()


@worker.task("PACK_ORDER")
async def pack(payload: dict[str, Any]) -> dict[str, str]:
    """Payload: `order` and its `lines`. The answer is what `steps.pack` means in the workflow."""
    await asyncio.sleep(0)  # a real table would take its time here
    return {"parcel": parcel_of(payload["order"])}


if __name__ == "__main__":
    worker.run()
