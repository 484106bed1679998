"""Where every asyncio task and every thread is, and what it waits for, in Go's words.

A suspended task shows only its outermost coroutine; the chain of what it awaits is followed to
where it really waits.
"""

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from types import CodeType, FrameType
from typing import Any, NamedTuple

from backstay.core.profiling.pprof import Frame, ProfileBuilder, ValueType

_DEPTH = 100
_OWN = "backstay."
LOOKED = 4

# (module, function) → the reason, looked up from the innermost frame outwards; "" is any function.
_REASONS: dict[tuple[str, str], str] = {
    ("asyncio.tasks", "sleep"): "sleep",
    ("backstay.core.clock", "SystemClock.sleep"): "sleep",
    ("asyncio.queues", "Queue.put"): "chan send",
    ("asyncio.queues", ""): "chan receive",
    ("asyncio.locks", "Lock.acquire"): "semacquire",
    ("asyncio.locks", "Semaphore.acquire"): "semacquire",
    ("asyncio.locks", ""): "chan receive",
    ("asyncio.tasks", "wait_for"): "chan receive",
    ("asyncio.tasks", ""): "select",
    ("asyncio.taskgroups", ""): "select",
    ("asyncio.streams", ""): "IO wait",
    ("asyncio.selector_events", ""): "IO wait",
    ("aiohttp", ""): "IO wait",
    ("granian", ""): "IO wait",
    ("asyncpg", ""): "IO wait",
    ("redis", ""): "IO wait",
    ("queue", "Queue.put"): "chan send",
    ("queue", ""): "chan receive",
    ("concurrent.futures.thread", ""): "chan receive",
    ("concurrent.futures._base", ""): "chan receive",
    ("threading", "Thread.join"): "chan receive",
    ("threading", ""): "semacquire",
    ("selectors", ""): "IO wait",
    ("socket", ""): "IO wait",
    ("socketserver", ""): "IO wait",
    ("asyncio.runners", ""): "IO wait",
    ("asyncio.base_events", ""): "IO wait",
}


class Stack(NamedTuple):
    """One task or thread. `kind` is `task` or `thread`; `frames` begin with the innermost."""

    kind: str
    name: str
    reason: str
    frames: tuple[Frame, ...]


def all_stacks() -> list[Stack]:
    """Of the running loop's tasks and of every thread. Call it in the loop."""
    tasks = sorted(asyncio.all_tasks(), key=lambda task: (len(task.get_name()), task.get_name()))
    return [*(_of_task(task) for task in tasks), *_threads()]


def as_profile(stacks: Sequence[Stack], system: str, at: float) -> bytes:
    """A pprof profile that counts equal stacks."""
    kind = ValueType("goroutine", "count")
    builder = ProfileBuilder([kind], period=(kind, 1))
    counted = Counter((stack.frames, stack.kind, stack.reason) for stack in stacks)
    for (frames, what, reason), count in counted.items():
        labels = {"system": system, "kind": what, "state": reason}
        builder.add(frames or (Frame(f"[{what}]"),), [count], labels)
    return builder.encode(at)


def as_counts(stacks: Sequence[Stack]) -> str:
    """Go's `debug=1`: a first line with the total, then equal stacks with their number."""
    lines = [f"goroutine profile: total {len(stacks)}"]
    counted = Counter((stack.frames, stack.reason) for stack in stacks)
    for (frames, reason), count in counted.most_common():
        lines.append(f"{count} @ {reason}")
        lines += [f"#\t{frame.name}\t{frame.file}:{frame.line}" for frame in frames]
        lines.append("")
    return "\n".join(lines) + "\n"


def as_text(stacks: Sequence[Stack]) -> str:
    """Go's `debug=2`: each stack begins with a line `goroutine N [reason]:`."""
    parts: list[str] = []
    for number, stack in enumerate(stacks, 1):
        lines = [f"goroutine {number} [{stack.reason}]:"]
        for frame in stack.frames:
            lines += [f"{frame.name}(...)", f"\t{frame.file}:{frame.line}"]
        lines.append(f"{stack.kind} {stack.name!r}")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def own_place(task: "asyncio.Task[Any]") -> str:
    """The innermost function of ours that a task stands in: `app.store.sqlite.SqliteDatabase.read`;
    "" for a task of others."""
    for code, _, module in _chain(task.get_coro()):
        if module.startswith(_OWN):
            return f"{module.removeprefix(_OWN)}.{code.co_qualname}"
    return ""


def frames_of(frame: FrameType | None) -> Iterator[tuple[CodeType, int, str]]:
    """Code, line and module from the innermost frame outwards; not more than a hundred."""
    for _ in range(_DEPTH):
        if frame is None:
            return
        # A frame between two lines has none.
        yield frame.f_code, frame.f_lineno or 0, str(frame.f_globals.get("__name__", "?"))
        frame = frame.f_back


def named(code: CodeType, line: int, module: str) -> Frame:
    """As pprof shows it: `package.module.Class.method`."""
    return Frame(f"{module}.{code.co_qualname}", code.co_filename, line)


def waits(frames: Sequence[tuple[str, str]]) -> str:
    """The reason for which (module, function) pairs, innermost first, wait; "" when they do not
    look like waiting."""
    for module, function in frames[:LOOKED]:
        names = [module, module.partition(".")[0]]
        for key in ((names[0], function), (names[0], ""), (names[1], "")):
            if key in _REASONS:
                return _REASONS[key]
    return ""


def _of_task(task: "asyncio.Task[Any]") -> Stack:
    raw = list(_chain(task.get_coro()))
    if task is asyncio.current_task():
        reason = "running"
    elif getattr(task, "_fut_waiter", task) is None:
        # It waits for nothing but its turn.
        reason = "runnable"
    else:
        reason = waits(_pairs(raw)) or "chan receive"
    return Stack("task", task.get_name(), reason, tuple(named(*one) for one in raw))


def _chain(awaited: Any) -> Iterator[tuple[CodeType, int, str]]:
    """From the innermost coroutine outwards: what a coroutine awaits is its `cr_await`."""
    outer: list[tuple[CodeType, int, str]] = []
    for _ in range(_DEPTH):
        frame = _first(awaited, "cr_frame", "gi_frame", "ag_frame")
        if frame is None:
            break
        outer.append(next(frames_of(frame)))
        awaited = _first(awaited, "cr_await", "gi_yieldfrom", "ag_await")
    return reversed(outer)


def _first(thing: Any, *names: str) -> Any:
    return next((found for name in names if (found := getattr(thing, name, None))), None)


def _threads() -> Iterator[Stack]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    own = threading.get_ident()
    for ident, frame in sys._current_frames().items():
        raw = list(frames_of(frame))
        reason = "running" if ident == own else waits(_pairs(raw)) or "running"
        yield Stack(
            "thread", names.get(ident, str(ident)), reason, tuple(named(*one) for one in raw)
        )


def _pairs(raw: Sequence[tuple[CodeType, int, str]]) -> list[tuple[str, str]]:
    return [(module, code.co_qualname) for code, _, module in raw]
