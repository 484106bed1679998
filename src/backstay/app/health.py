"""Whether the database answers, by a ping; and what the doctor may ask about it."""

import asyncio

import structlog

from backstay.app.store.session import Database
from backstay.core.clock import Clock
from backstay.core.errors import Fault, Plain
from backstay.core.health import Check, Finding

_log = structlog.get_logger("app.health")

DEADLINE = 2.0
"""Seconds for one ping (seed C2)."""
_PROBE_DEADLINE = 0.8
_SLOW = 0.25


class DatabaseHealth:
    """The check `database` and the probe `app.database`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def check(self) -> Check:
        """Critical: without the database nothing is served."""
        return Check("database", critical=True, deadline=DEADLINE + 0.5, every=2.0, run=self.find)

    async def find(self) -> Finding:
        """Ping it. A failure is logged as `database ping failed`."""
        details = self._database.pool().plain()
        try:
            await asyncio.wait_for(self._database.ping(), DEADLINE)
        except TimeoutError:
            error = f"no answer within {DEADLINE:g} s"
        except Fault as fault:
            error = fault.message
            details["code"] = fault.entry.code
        except Exception as failure:  # noqa: BLE001 - a broken database is a finding
            error = f"{type(failure).__name__}: {failure}"
        else:
            return Finding("pass", details)
        _log.error("database ping failed", error=error, path=self._database.where)
        return Finding("fail", details, error)

    async def probe(self) -> dict[str, Plain]:
        """Facts for the doctor. `reading` is ok, slow, late, gone, moved, or the code of the
        fault that a ping met (CORE040 full, CORE041 not writable, CORE042 locked, …); `behind` is
        by how many seconds this process came late itself."""
        facts: dict[str, Plain] = {
            "write_seconds": -1.0,
            "error": "",
            "pool": self._database.pool().plain(),
        }
        began = self._clock.tick()
        try:
            await asyncio.wait_for(self._database.ping(), _PROBE_DEADLINE)
            took = round(self._clock.tick() - began, 6)
            facts |= {"reading": "slow" if took > _SLOW else "ok", "write_seconds": took}
        except TimeoutError:
            facts |= {"reading": "late", "error": f"no write within {_PROBE_DEADLINE:g} s"}
            # A deadline that was itself met late: this process had no time, whatever the database.
            facts["behind"] = round(self._clock.tick() - began - _PROBE_DEADLINE, 3)
        except Fault as fault:
            facts |= {"reading": fault.entry.code, "error": fault.message}
        except Exception as failure:  # noqa: BLE001 - a broken database is a reading
            facts |= {"reading": "error", "error": f"{type(failure).__name__}: {failure}"}
        return facts | self._database.whereabouts()
