"""Dramatiq on Redis: eight threads, as its command line makes them by default, its own retries."""

import time

import dramatiq
from counted import Counted, arguments, sendings
from dramatiq.brokers.redis import RedisBroker

step, url, tasks = arguments()
broker = RedisBroker(url=url)
dramatiq.set_broker(broker)
counted = Counted(tasks)


@dramatiq.actor
def noop(sent: float) -> None:
    counted.tick(sent)


if step in ("fill", "send"):
    for sent in sendings(step, tasks):
        noop.send(sent)
else:
    dramatiq.Worker(broker, worker_threads=8).start()
    time.sleep(600)
