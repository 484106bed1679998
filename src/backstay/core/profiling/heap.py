"""What the memory is used for: a census of objects by type, or allocations by place when traced.

Python keeps no account of what was allocated and freed again. `alloc_…` therefore are lower bounds:
what was alive at the first look, plus all growth between later looks; they never go down.
"""

import ast
import asyncio
import gc
import sys
import tracemalloc
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from backstay.core.profiling.pprof import Frame, ProfileBuilder, ValueType

KINDS = (
    ValueType("alloc_objects", "count"),
    ValueType("alloc_space", "bytes"),
    ValueType("inuse_objects", "count"),
    ValueType("inuse_space", "bytes"),
)
TRACED_FRAMES = 25
_CENSUS = "objects by type; alloc_… are lower bounds; ?trace=1 begins to note where they are made"
_TRACED = "allocations since tracing began, by place; alloc_… are lower bounds; ?trace=0 ends it"
_LEAVES = Frame("[not tracked: str, bytes, numbers, and memory outside Python]")

_Stack = tuple[Frame, ...]
_Living = dict[_Stack, tuple[int, int]]


class Heap:
    """Remembers what it saw, for `alloc_…`. `resident` gives the bytes the process holds now."""

    def __init__(self, system: str, resident: Callable[[], int]) -> None:
        self._system = system
        self._resident = resident
        self._one = asyncio.Lock()
        self._before: _Living = {}
        self._made: dict[_Stack, tuple[int, int]] = {}

    async def profile(self, at: float, *, trace: bool | None, default: str) -> bytes:
        """A pprof profile. `trace` begins or ends the noting of places, None lets it be; `default`
        is the kind that pprof shows first."""
        if trace is not None and trace != tracemalloc.is_tracing():
            self._switch(on=trace)
        traced = tracemalloc.is_tracing()
        async with self._one:
            # In a thread, which gives way to the loop every few milliseconds.
            living = await asyncio.to_thread(_by_place if traced else self._by_type)
            return await asyncio.to_thread(self._written, living, at, traced, default)

    def _switch(self, *, on: bool) -> None:
        if on:
            tracemalloc.start(TRACED_FRAMES)
        else:
            tracemalloc.stop()
        # The two ways of counting have nothing in common.
        self._before, self._made = {}, {}

    def _written(self, living: _Living, at: float, traced: bool, default: str) -> bytes:
        space = ValueType("space", "bytes")
        builder = ProfileBuilder(
            KINDS, period=(space, 1), default=default, comment=_TRACED if traced else _CENSUS
        )
        for stack, (count, size) in living.items():
            objects, space_made = self._made.get(stack, (0, 0))
            count_before, size_before = self._before.get(stack, (0, 0))
            objects += max(0, count - count_before)
            space_made += max(0, size - size_before)
            self._made[stack] = (objects, space_made)
        for stack, (objects, space_made) in self._made.items():
            count, size = living.get(stack, (0, 0))
            builder.add(stack, [objects, space_made, count, size], {"system": self._system})
        self._before = living
        return builder.encode(at)

    def _by_type(self) -> _Living:
        counts: dict[type, list[int]] = {}
        tracked = gc.get_objects()
        for thing in tracked:
            known = counts.setdefault(type(thing), [0, 0])
            known[0] += 1
            known[1] += _size(thing)
        living: _Living = {}
        for kind, (count, size) in counts.items():
            _count(living, _type_stack(kind), count, size)
        rest = self._resident() - sum(size for _, size in living.values())
        blocks = sys.getallocatedblocks() - len(tracked)
        living[(_LEAVES,)] = (max(0, blocks), max(0, rest))
        return living


def _size(thing: object) -> int:
    try:
        return sys.getsizeof(thing)
    except Exception:  # noqa: BLE001 - an object's own __sizeof__; its size is unknown, not zero work
        return 0


def _type_stack(kind: type) -> _Stack:
    module = str(getattr(kind, "__module__", "?"))
    package = module.partition(".")[0]
    return (Frame(f"{module}.{kind.__qualname__}"), Frame(f"package {package}"))


def _by_place() -> _Living:
    living: _Living = {}
    own = [
        tracemalloc.Filter(inclusive=False, filename_pattern=file, all_frames=True)
        for file in (__file__, str(tracemalloc.__file__))
    ]
    for found in tracemalloc.take_snapshot().filter_traces(own).statistics("traceback"):
        # The innermost is the last.
        stack = tuple(
            Frame(_function_at(one.filename, one.lineno), one.filename, one.lineno)
            for one in reversed(found.traceback)
        )
        _count(living, stack, found.count, found.size)
    return living


def _count(living: _Living, stack: _Stack, count: int, size: int) -> None:
    before = living.get(stack, (0, 0))
    living[stack] = (before[0] + count, before[1] + size)


def _function_at(file: str, line: int) -> str:
    """The function that a line belongs to: tracemalloc knows only files and lines."""
    starts, names = _functions_of(file)
    place = bisect_right(starts, line) - 1
    return f"{Path(file).stem}.{names[place]}" if place >= 0 else Path(file).stem


@lru_cache(maxsize=512)
def _functions_of(file: str) -> tuple[Sequence[int], Sequence[str]]:
    """For each change of the innermost function its first line and the name from there on."""
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return (), ()
    changes: dict[int, str] = {0: "<module>"}

    def visit(node: ast.AST, outer: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                own = child.name if outer == "<module>" else f"{outer}.{child.name}"
                after = changes.get(end := (child.end_lineno or child.lineno) + 1, outer)
                changes[child.lineno] = own
                visit(child, own)
                changes[end] = after
            else:
                visit(child, outer)

    visit(tree, "<module>")
    ordered = sorted(changes)
    return ordered, [changes[line] for line in ordered]
