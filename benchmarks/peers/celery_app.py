"""Celery on Redis with acks_late, the only setting under which a killed worker loses nothing."""

from celery import Celery
from counted import Counted, arguments, sendings

step, url, tasks = arguments()
app = Celery("noop", broker=url)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_redirect_stdouts=False,
)
counted = Counted(tasks)


@app.task(name="noop")
def noop(sent: float) -> None:
    counted.tick(sent)


if step in ("fill", "send"):
    for sent in sendings(step, tasks):
        noop.delay(sent)
else:
    app.worker_main(["--quiet", "worker", "--pool=solo", "--loglevel=ERROR", "--without-gossip"])
