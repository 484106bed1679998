"""What the gateway knows of the systems behind it: asked in the background, answered from memory.

`/health` never waits for a system (G1). One check per system, `database` and `cache` lifted from
wherever they live, and `circuit_breaker` with every breaker of every process (G5, G9).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from backstay.core.breaker import Breaker, BreakerView
from backstay.core.control import ControlSilent, ask
from backstay.core.errors import Fault, Plain
from backstay.core.health import Board, Check, Finding, Outcome, Report
from backstay.gateway.settings import Upstream

Entry = Mapping[str, Plain]
EVERY = 2.0
DEADLINE = 1.0
_OUTCOMES: Mapping[str, Outcome] = {
    "healthy": "pass",
    "degraded": "warn",
    "unhealthy": "fail",
    "skipped": "skip",
    "unknown": "unknown",
}
_WORST: Sequence[Outcome] = ("fail", "unknown", "warn", "pass", "skip")
# What a system calls its database is its own affair; the queue's is a store.
_LIFTED: Mapping[str, Sequence[str]] = {"database": ("database", "store"), "cache": ("cache",)}


class SystemReport(msgspec.Struct, frozen=True):
    """The last word of one system. `checks` and `breakers` are empty while it is silent."""

    status: str = "unknown"
    checks: Mapping[str, Entry] = {}
    breakers: Sequence[BreakerView] = ()


class _Heard(msgspec.Struct):
    """A `health.Report` as it comes from another process, as far as it is needed here."""

    status: str
    checks: dict[str, dict[str, Any]] = {}


class Systems:
    """Asks each upstream's control socket and remembers what it said."""

    def __init__(
        self, upstreams: Sequence[Upstream], renewed: Callable[[str], None] = lambda _: None
    ) -> None:
        """`renewed` is called with a system's name when another process of it is ready."""
        self.upstreams = {upstream.name: upstream for upstream in upstreams}
        self.last: dict[str, SystemReport] = {}
        self._renewed = renewed
        self._pids: dict[str, int] = {}
        self._absent: set[str] = set()

    def was_never_there(self, name: str) -> bool:
        """Whether an optional system has no control socket and, since this process began, never
        had one: it was not wanted, rather than just restarted."""
        return name in self._absent

    def checks(self) -> list[Check]:
        """One check per system."""
        return [
            Check(name, upstream.critical, DEADLINE, EVERY, self._asking(upstream))
            for name, upstream in self.upstreams.items()
        ]

    def lifted(self) -> dict[str, Entry]:
        """`database` and `cache` of whichever systems have one, by what they said last."""
        return {part: self._lift(names) for part, names in _LIFTED.items()}

    def breakers(self) -> dict[str, Entry]:
        """The breakers of the systems as `system/target`."""
        return {
            f"{name}/{view.target}": shown(view)
            for name, report in self.last.items()
            for view in report.breakers
        }

    def _asking(self, upstream: Upstream) -> Callable[[], Awaitable[Finding]]:
        async def run() -> Finding:
            if not upstream.control:
                return await _connects(upstream)
            try:
                report = await self._ask(upstream)
            except ControlSilent as silent:
                self.last.pop(upstream.name, None)
                if silent.why == "missing" and upstream.optional:
                    if upstream.name not in self._pids:
                        self._absent.add(upstream.name)
                    return Finding("skip", error="not started")
                return Finding("fail", error=silent.cause)
            except (Fault, msgspec.MsgspecError) as bad:
                self.last.pop(upstream.name, None)
                return Finding("fail", error=str(bad))
            self.last[upstream.name] = report
            self._absent.discard(upstream.name)
            failing = [
                f"{name}: {entry.get('error', entry.get('status'))}"
                for name, entry in report.checks.items()
                if entry.get("status") not in ("healthy", "skipped")
            ]
            facts: dict[str, Plain] = {
                "status": report.status,
                "checks": {name: dict(entry) for name, entry in report.checks.items()},
            }
            return Finding(_OUTCOMES.get(report.status, "unknown"), facts, "; ".join(failing))

        return run

    async def _ask(self, upstream: Upstream) -> SystemReport:
        control = Path(upstream.control)
        live, checks, breakers = await asyncio.gather(
            *(ask(control, route, DEADLINE) for route in ("/live", "/checks", "/breakers"))
        )
        if live["ready"] and self._pids.get(upstream.name) != live["pid"]:
            self._pids[upstream.name] = live["pid"]
            self._renewed(upstream.name)
        report = msgspec.convert(checks, _Heard)
        views = msgspec.convert(breakers, tuple[BreakerView, ...])
        return SystemReport(report.status, report.checks, views)

    def _lift(self, names: Sequence[str]) -> Entry:
        found = {
            system: entry
            for system, report in self.last.items()
            for name, entry in report.checks.items()
            if name in names
        }
        if not found:
            return {"status": "skipped", "duration": "0s", "critical": False}
        worst = min(found.values(), key=lambda entry: _WORST.index(_outcome(entry)))
        lifted: dict[str, Plain] = {
            "status": worst.get("status"),
            "duration": worst.get("duration"),
            "critical": False,
            "details": {system: dict(entry) for system, entry in found.items()},
        }
        errors = [
            f"{system}: {entry['error']}" for system, entry in found.items() if "error" in entry
        ]
        if errors:
            lifted["error"] = "; ".join(errors)
        return lifted


class Health:
    """The answer to `/health`: the board's snapshot with the breakers as they are now."""

    def __init__(self, board: Board, systems: Systems, breakers: Mapping[str, Breaker]) -> None:
        self._board = board
        self._systems = systems
        self._breakers = breakers

    def report(self) -> Report:
        """No I/O, no waiting."""
        report = self._board.report()
        breakers = self.breakers()
        tripped = [name for name, view in breakers.items() if view["state"] != "closed"]
        entry: dict[str, Plain] = {
            "status": "degraded" if tripped else "healthy",
            "duration": "0s",
            "critical": False,
            "details": {name: dict(view) for name, view in breakers.items()},
        }
        if tripped:
            entry["error"] = f"not closed: {', '.join(tripped)}"
        status = "degraded" if tripped and report.status == "healthy" else report.status
        checks = {**report.checks, **self._systems.lifted(), "circuit_breaker": entry}
        return msgspec.structs.replace(report, status=status, checks=checks)

    def breakers(self) -> dict[str, Entry]:
        """Every breaker by name: the gateway's own by upstream, the others as `system/target`."""
        own = {name: shown(breaker.view()) for name, breaker in self._breakers.items()}
        return {**own, **self._systems.breakers()}


def _outcome(entry: Entry) -> Outcome:
    return _OUTCOMES.get(str(entry.get("status")), "unknown")


def shown(view: BreakerView) -> Entry:
    """A breaker as JSON; its state is spelled as in G9 (`half_open`)."""
    return {**view.plain(), "state": view.state.replace("-", "_")}


async def _connects(upstream: Upstream) -> Finding:
    """A system without a control socket: does anybody accept connections there?"""
    where = upstream.where
    try:
        if where.path is not None:
            _, writer = await asyncio.open_unix_connection(str(where.path))
        else:
            _, writer = await asyncio.open_connection(where.host, where.port)
    except OSError as failed:
        return Finding("fail", error=failed.strerror or type(failed).__name__)
    writer.close()
    return Finding("pass")
