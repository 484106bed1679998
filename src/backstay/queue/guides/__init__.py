"""Troubleshooting guides of the queue: its process, its store, its workers."""

from backstay.core.guide import Guide
from backstay.queue.guides.process import QUEUE_DEAD
from backstay.queue.guides.store import QUEUE_STORE
from backstay.queue.guides.workers import NO_WORKER

GUIDES: tuple[Guide, ...] = (QUEUE_DEAD, QUEUE_STORE, NO_WORKER)
