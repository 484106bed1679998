"""Troubleshooting guides of the queue: every entry of codeQ's own guide, as data."""

from backstay.core.guide import Guide
from backstay.queue.guides.chart import HELM_INSTALL
from backstay.queue.guides.command import COMMAND_MISSING, NO_SERVER
from backstay.queue.guides.held import TASKS_LATE, WORKER_IDLE
from backstay.queue.guides.load import QUEUE_AUDIT, QUEUE_MEMORY, QUEUE_SLOW
from backstay.queue.guides.process import QUEUE_DEAD
from backstay.queue.guides.redis import QUEUE_REDIS
from backstay.queue.guides.start import QUEUE_START
from backstay.queue.guides.store import QUEUE_STORE
from backstay.queue.guides.tokens import KEYS, SCOPES, TOKENS
from backstay.queue.guides.work import LEASES, RETRIES
from backstay.queue.guides.workers import NO_WORKER

GUIDES: tuple[Guide, ...] = (
    QUEUE_DEAD,
    QUEUE_STORE,
    QUEUE_REDIS,
    NO_WORKER,
    COMMAND_MISSING,
    NO_SERVER,
    TOKENS,
    KEYS,
    SCOPES,
    QUEUE_START,
    QUEUE_MEMORY,
    QUEUE_SLOW,
    WORKER_IDLE,
    LEASES,
    RETRIES,
    QUEUE_AUDIT,
    TASKS_LATE,
    HELM_INSTALL,
)
