"""The queue from outside: one method per route, typed answers, Faults that name the address.

`QueueClient` for asyncio, `SyncQueueClient` for everything else, with the same methods. What may
safely be repeated is repeated; see `transport.py` for what that is.
"""

from backstay.queue.api.wire import AttemptView, OutcomeView, QueueView, ResultView, TaskView
from backstay.queue.client.aio import DEFAULT_BASE_URL, QueueClient
from backstay.queue.client.blocking import SyncQueueClient
from backstay.queue.client.transport import Refused
from backstay.queue.client.views import (
    Beat,
    DeliveryView,
    Ended,
    PeriodicView,
    PolicyView,
    SubscriptionView,
    TaskPage,
    new_task,
)

__all__ = [
    "DEFAULT_BASE_URL",
    "AttemptView",
    "Beat",
    "DeliveryView",
    "Ended",
    "OutcomeView",
    "PeriodicView",
    "PolicyView",
    "QueueClient",
    "QueueView",
    "Refused",
    "ResultView",
    "SubscriptionView",
    "SyncQueueClient",
    "TaskPage",
    "TaskView",
    "new_task",
]
