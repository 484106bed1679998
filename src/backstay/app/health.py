"""Whether the database answers, by a real write; and what the doctor may ask about it."""

import asyncio
from pathlib import Path

import apsw
import structlog

from backstay.app.store.pool import Pool
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

    def __init__(self, pool: Pool, path: Path, clock: Clock) -> None:
        self._pool = pool
        self._path = path
        self._clock = clock
        self._file: tuple[int, int] | None = None

    def opened(self) -> None:
        """Remember which file was opened: another one at its path is another database."""
        self._file = _identity(self._path)

    def check(self) -> Check:
        """Critical: without the database nothing is served."""
        return Check("database", critical=True, deadline=DEADLINE + 0.5, every=2.0, run=self.find)

    async def find(self) -> Finding:
        """Ping it. A failure is logged as `database ping failed`."""
        details = self._pool.stats().plain()
        try:
            await asyncio.wait_for(self._pool.write(_touch), DEADLINE)
        except TimeoutError:
            error = f"no answer within {DEADLINE:g} s"
        except Fault as fault:
            error = fault.message
            details["code"] = fault.entry.code
        except Exception as failure:  # noqa: BLE001 - a broken database is a finding
            error = f"{type(failure).__name__}: {failure}"
        else:
            return Finding("pass", details)
        _log.error("database ping failed", error=error, path=str(self._path))
        return Finding("fail", details, error)

    async def probe(self) -> dict[str, Plain]:
        """Facts for the doctor. `reading` is ok, slow, late, gone, moved, or the code of the
        fault that a real write met (CORE040 full, CORE041 not writable, CORE042 locked, …)."""
        here = _identity(self._path)
        facts: dict[str, Plain] = {
            "path": str(self._path),
            "exists": here is not None,
            "same_inode": here is not None and here == self._file,
            "write_seconds": -1.0,
            "error": "",
            "pool": self._pool.stats().plain(),
        }
        began = self._clock.tick()
        try:
            await asyncio.wait_for(self._pool.write(_touch), _PROBE_DEADLINE)
            took = round(self._clock.tick() - began, 6)
            facts |= {"reading": "slow" if took > _SLOW else "ok", "write_seconds": took}
        except TimeoutError:
            facts |= {"reading": "late", "error": f"no write within {_PROBE_DEADLINE:g} s"}
        except Fault as fault:
            facts |= {"reading": fault.entry.code, "error": fault.message}
        except Exception as failure:  # noqa: BLE001 - a broken database is a reading
            facts |= {"reading": "error", "error": f"{type(failure).__name__}: {failure}"}
        if not facts["exists"]:
            facts["reading"] = "gone"
        elif not facts["same_inode"]:
            facts["reading"] = "moved"
        return facts


def _touch(conn: apsw.Connection) -> None:
    """A row is written and synced: a ping that only reads is answered from memory."""
    conn.execute(
        "UPDATE backstay_programs SET loaded_at = loaded_at"
        " WHERE rowid = (SELECT max(rowid) FROM backstay_programs)"
    )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
