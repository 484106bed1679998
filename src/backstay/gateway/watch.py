"""One deadline per connection that may move with every request and seldom costs a timer."""

import asyncio
from collections.abc import Callable

_NEVER = float("inf")


class Watch:
    """Calls `act` once the deadline has passed. Setting a later one costs an assignment: the armed
    timer finds out when it fires."""

    __slots__ = ("_act", "_armed", "_due", "_handle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
        self._loop = loop
        self._act = act
        self._due = _NEVER
        self._armed = _NEVER
        self._handle: asyncio.TimerHandle | None = None

    def set(self, seconds: float) -> None:
        """Let the deadline be `seconds` from now, in place of any other."""
        self._due = due = self._loop.time() + seconds
        if due < self._armed:
            if self._handle is not None:
                self._handle.cancel()
            self._arm(due)

    def off(self) -> None:
        """No deadline."""
        self._due = _NEVER

    def close(self) -> None:
        """No deadline ever again; frees the timer."""
        self._due = _NEVER
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self, due: float) -> None:
        self._armed = due
        self._handle = self._loop.call_at(due, self._fire)

    def _fire(self) -> None:
        self._handle = None
        self._armed = _NEVER
        if self._due == _NEVER:
            return
        # The loop's timers have the grain of a millisecond.
        if self._loop.time() < self._due - 0.0015:
            self._arm(self._due)
            return
        self._due = _NEVER
        self._act()
