"""A circuit breaker people can see and reset; one type for gateway, integrations and webhooks.

States and defaults are those of decision 12 and seed C16: five consecutive failures open it,
after 60 s up to three probes are let through at once, three successes close it, one failure opens
it again. A rejected call never touches the target.
"""

from collections import deque
from collections.abc import Callable
from typing import Literal

import msgspec
import structlog

from backstay.core.clock import Clock, rfc3339
from backstay.core.errors import ErrorEntry, Fault, Plain

State = Literal["closed", "open", "half-open"]
Watcher = Callable[[str, State, State], None]

_log = structlog.get_logger("core.breaker")

CIRCUIT_OPEN = ErrorEntry(
    code="CORE020",
    message="circuit breaker is open",
    cause="calls to {target} failed {failures} times in a row, the last time with: {reason}",
    fix="mend {target}; probed again in {retry_after} s, or: backstay gateway reset {target}",
    status=503,
    retryable=True,
)


class BreakerSettings(msgspec.Struct, frozen=True):
    """`failure_threshold` consecutive failures open it; `open_seconds` later it is half-open;
    `half_open_requests` is both how many probes may run at once and how many must succeed. With a
    `window` of seconds the failures need not be consecutive: those within it count."""

    failure_threshold: int = 5
    open_seconds: float = 60.0
    half_open_requests: int = 3
    window: float = 0.0


class BreakerView(msgspec.Struct, frozen=True):
    """What a person sees; times are wall times."""

    target: str
    state: State
    consecutive_failures: int
    total_failures: int
    rejected: int
    reason: str
    opened_at: str
    next_probe_at: str

    def plain(self) -> dict[str, Plain]:
        """As JSON for `/health` and the control socket."""
        return dict(msgspec.to_builtins(self))


class Breaker:
    """One per target. Use `admit`, then exactly one of `succeed`, `fail` or `abandon`."""

    def __init__(
        self, target: str, clock: Clock, settings: BreakerSettings, watcher: Watcher | None = None
    ) -> None:
        self.target = target
        self._clock = clock
        self._settings = settings
        self._watcher = watcher
        self._state: State = "closed"
        self._failures = 0
        self._recent: deque[float] = deque()
        self._total_failures = 0
        self._rejected = 0
        self._reason = ""
        self._opened_tick = 0.0
        self._opened_at = 0.0
        self._probing = 0
        self._probe_successes = 0
        self._generation = 0

    def configure(self, settings: BreakerSettings) -> None:
        """Other settings from now on; the state and what was counted stay."""
        self._settings = settings

    @property
    def state(self) -> State:
        """Half-open begins by time, also when nobody calls."""
        if self._state == "open" and self._wait_left() <= 0:
            self._move("half-open")
        return self._state

    def admit(self) -> int:
        """Let one call through. Returns a ticket for its outcome; raises CORE020 when open."""
        state = self.state
        if state == "half-open" and self._probing < self._settings.half_open_requests:
            self._probing += 1
            return self._generation
        if state == "closed":
            return self._generation
        self._rejected += 1
        raise Fault(
            CIRCUIT_OPEN,
            target=self.target,
            failures=self._failures,
            reason=self._reason,
            retry_after=max(1, round(self._wait_left())),
        )

    def succeed(self, ticket: int) -> None:
        """The admitted call worked (a 4xx other than 408 and 429 is work, too)."""
        if ticket != self._generation:
            return
        if self._state == "closed":
            self._failures = 0
            return
        self._probing -= 1
        self._probe_successes += 1
        if self._probe_successes >= self._settings.half_open_requests:
            self._move("closed")

    def fail(self, ticket: int, reason: str) -> None:
        """The admitted call failed. `reason` is shown to people: no secrets."""
        self._total_failures += 1
        if ticket != self._generation:
            return
        self._failures += 1
        self._reason = reason
        half_open = self._state == "half-open"
        if half_open or self._counted() >= self._settings.failure_threshold:
            self._opened_tick = self._clock.tick()
            self._opened_at = self._clock.now()
            self._move("open")

    def abandon(self, ticket: int) -> None:
        """The caller gave up before an outcome was known: a half-open place becomes free again."""
        if ticket == self._generation and self._state == "half-open":
            self._probing -= 1

    def reset(self) -> None:
        """Close at once, by a person's decision (G11)."""
        if self._state != "closed":
            self._move("closed")
        self._failures = 0
        self._recent.clear()

    def view(self) -> BreakerView:
        """A snapshot for health, control socket and console."""
        state = self.state
        opened = state != "closed"
        next_probe = self._opened_at + self._settings.open_seconds
        return BreakerView(
            target=self.target,
            state=state,
            consecutive_failures=self._failures,
            total_failures=self._total_failures,
            rejected=self._rejected,
            reason=self._reason if opened else "",
            opened_at=rfc3339(self._opened_at) if opened else "",
            next_probe_at=rfc3339(next_probe) if state == "open" else "",
        )

    def _counted(self) -> int:
        """The failures that count, this one included."""
        window = self._settings.window
        if not window:
            return self._failures
        tick = self._clock.tick()
        self._recent.append(tick)
        while self._recent[0] < tick - window:
            self._recent.popleft()
        return len(self._recent)

    def _wait_left(self) -> float:
        return self._opened_tick + self._settings.open_seconds - self._clock.tick()

    def _move(self, to: State) -> None:
        was, self._state = self._state, to
        # Outcomes of calls admitted before this change say nothing about the state after it.
        self._generation += 1
        self._probing = 0
        self._probe_successes = 0
        if to == "closed":
            self._failures = 0
            self._recent.clear()
        # The seed's text log line needs `from=` and `to=` first, in this order (C17).
        _log.info(
            "circuit breaker state changed",
            **{"from": was, "to": to, "target": self.target, "reason": self._reason},
        )
        if self._watcher:
            self._watcher(self.target, was, to)
