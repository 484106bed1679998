"""The queue does not answer."""

from backstay.core.guide import Symptom
from backstay.core.process_guide import process_guide

QUEUE_DEAD = process_guide(
    "queue",
    seed="codeq: API server",
    symptoms=(
        Symptom("text", r"/v1/codeq.*(50[234]|refused|unreachable)", "the queue's routes fail"),
        Symptom("text", r"codeq.*(refused|not reachable|unreachable|no answer)", "no queue"),
    ),
    keeps="accepted tasks are in queue.db and are served once the process runs again",
    inside=("queue.store", "queue.commands"),
)
