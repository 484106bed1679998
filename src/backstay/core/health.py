"""Health as a snapshot: checks run in the background, an answer never waits for one.

The JSON is that of seed C24. A check that does not answer in time is a failure with its own
words; one that never ran is `unknown`, which is not green.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

import msgspec

from backstay.core.clock import Clock, rfc3339
from backstay.core.duration import format_duration
from backstay.core.errors import Plain

_SOON = 0.2
Outcome = Literal["pass", "warn", "fail", "skip", "unknown"]
Status = Literal["healthy", "degraded", "unhealthy"]


class Finding(msgspec.Struct, frozen=True):
    """What a check saw. `at` is wall time, `took` is seconds."""

    outcome: Outcome
    facts: Mapping[str, Plain] = {}
    error: str = ""
    at: float = 0.0
    took: float = 0.0


class Check(msgspec.Struct, frozen=True):
    """A question asked every `every` seconds and given up after `deadline` seconds.

    A failing critical check makes the process unhealthy (503); any other makes it degraded.
    """

    name: str
    critical: bool
    deadline: float
    every: float
    run: Callable[[], Awaitable[Finding]]


class Report(msgspec.Struct, frozen=True):
    """The body of `/health`. `checks` is open: a system may add keys of its own to each."""

    status: Status
    timestamp: str
    version: str
    uptime: str
    checks: Mapping[str, Mapping[str, Plain]]

    @property
    def http_status(self) -> int:
        return 503 if self.status == "unhealthy" else 200


class Board:
    """Runs checks as a Loop and answers from the last findings."""

    name = "health"

    def __init__(self, clock: Clock, version: str, checks: list[Check]) -> None:
        self._clock = clock
        self._version = version
        self._began = clock.tick()
        self._checks = checks
        self._found: dict[str, tuple[float, Finding]] = {}
        self.wake = asyncio.Event()

    async def step(self) -> float | None:
        """Run what is due, all at once. Returns the tick of the next one."""
        tick = self._clock.tick()
        due = [check for check in self._checks if self._next(check) <= tick]
        await asyncio.gather(*(self._ask(check) for check in due))
        return min((self._next(check) for check in self._checks), default=None)

    def finding(self, name: str) -> Finding:
        """The last finding of a check, `unknown` before its first run."""
        return self._found.get(name, (0.0, Finding("unknown", error="not checked yet")))[1]

    def ready(self) -> bool:
        """Whether no critical check fails or is still unknown."""
        return all(
            self.finding(check.name).outcome in ("pass", "warn", "skip")
            for check in self._checks
            if check.critical
        )

    def report(self, max_age: float = 30.0) -> Report:
        """The snapshot. A finding older than `max_age` seconds (beyond its period) is stale."""
        checks: dict[str, Mapping[str, Plain]] = {}
        status: Status = "healthy"
        for check in self._checks:
            finding = self._fresh(check, max_age)
            checks[check.name] = self._entry(check, finding)
            status = _worse(status, finding.outcome, critical=check.critical)
        return Report(
            status=status,
            timestamp=rfc3339(self._clock.now())[:19] + "Z",
            version=self._version,
            uptime=format_duration(float(int(self._clock.tick() - self._began))),
            checks=checks,
        )

    def _next(self, check: Check) -> float:
        asked = self._found.get(check.name)
        if asked is None:
            return 0.0
        # Nothing was learnt: asked again soon, so that a start is not "unknown" for a whole period.
        unknown = asked[1].outcome == "unknown"
        return asked[0] + (min(check.every, _SOON) if unknown else check.every)

    def _fresh(self, check: Check, max_age: float) -> Finding:
        asked = self._found.get(check.name)
        if asked and self._clock.tick() - asked[0] > check.every + max_age:
            return Finding("unknown", error=f"no answer for {max_age + check.every:.0f} s")
        return self.finding(check.name)

    async def _ask(self, check: Check) -> None:
        began = self._clock.tick()
        try:
            finding = await asyncio.wait_for(check.run(), check.deadline)
        except TimeoutError:
            finding = Finding("fail", error=f"no answer within {format_duration(check.deadline)}")
        except Exception as failure:  # noqa: BLE001 - a broken check is a finding, not a crash
            finding = Finding("fail", error=str(failure) or type(failure).__name__)
        ended = self._clock.tick()
        stamped = msgspec.structs.replace(finding, at=self._clock.now(), took=ended - began)
        self._found[check.name] = (ended, stamped)

    def _entry(self, check: Check, finding: Finding) -> Mapping[str, Plain]:
        entry: dict[str, Plain] = {
            "status": _SHOWN[finding.outcome],
            "duration": format_duration(round(finding.took, 6)),
            "critical": check.critical,
        }
        if finding.error:
            entry["error"] = finding.error
        if finding.facts:
            entry["details"] = dict(finding.facts)
        return entry


_SHOWN: Mapping[Outcome, str] = {
    "pass": "healthy",
    "warn": "degraded",
    "fail": "unhealthy",
    "skip": "skipped",
    "unknown": "unknown",
}


def _worse(status: Status, outcome: Outcome, *, critical: bool) -> Status:
    if outcome in ("pass", "skip"):
        return status
    if outcome == "fail" and critical:
        return "unhealthy"
    return "unhealthy" if status == "unhealthy" else "degraded"
