"""How a worker works, in code or by the environment."""

import os
from collections.abc import Mapping

import msgspec

from backstay.core.errors import Fault
from backstay.queue.errors import BAD_ARGUMENT


class WorkerSettings(msgspec.Struct, frozen=True):
    """Seconds. `concurrency` tasks at once, and never more claimed than that. `heartbeat` 0 means
    a third of the lease. `wait` is how long one question for work may stay open (30 at most).
    `grace` is how long what runs may go on after the worker was told to stop.

    `patient` false: the first question must succeed; true: a queue that is not there yet is waited
    for. Credentials that are refused end the worker at the first question in both cases.
    """

    concurrency: int = 1
    lease: float = 60.0
    wait: float = 10.0
    heartbeat: float = 0.0
    grace: float = 25.0
    patient: bool = True

    @property
    def rhythm(self) -> float:
        """Seconds between heartbeats."""
        return self.heartbeat or self.lease / 3


def settings_from(env: Mapping[str, str]) -> WorkerSettings:
    """CODEQ_CONCURRENCY, CODEQ_LEASE_SECONDS, CODEQ_GRACE_SECONDS. Raises QUEUE052 naming the
    variable."""
    usual = WorkerSettings()
    return WorkerSettings(
        concurrency=max(1, int(_number(env, "CODEQ_CONCURRENCY", usual.concurrency))),
        lease=_number(env, "CODEQ_LEASE_SECONDS", usual.lease),
        grace=_number(env, "CODEQ_GRACE_SECONDS", usual.grace),
    )


def settings_from_env() -> WorkerSettings:
    """As `settings_from` this process's environment."""
    return settings_from(os.environ)


def _number(env: Mapping[str, str], name: str, usual: float) -> float:
    text = env.get(name) or ""
    try:
        value = float(text) if text else usual
    except ValueError:
        value = 0.0
    if value > 0:
        return value
    raise Fault(BAD_ARGUMENT, name=name, reason=f"{text!r} is not a number above 0")
