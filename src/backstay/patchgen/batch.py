"""Many intents at once: groups of them, some threads, one sync for each group, bounded memory.

There is no journal. A package's name is made of its content, so running the same batch again after
a crash finds what is there, leaves it, and makes the rest; nothing can be doubled or torn.
"""

import gc
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import msgspec

from backstay.core.errors import Fault
from backstay.patchgen.errors import InvalidIntent
from backstay.patchgen.errors import disk as errors
from backstay.patchgen.model import SIZE_LIMIT, Intent, Package, Placed, Writer
from backstay.patchgen.paths import reason_of
from backstay.patchgen.render import render
from backstay.patchgen.validate import require

COLLECT_EVERY = 100
"""Items between two runs of the garbage collector (P37)."""
GROUP = 256
"""Packages that share one sync."""


GROUP_BYTES = 4 * 1_048_576
"""Bytes of intents in one group: what waits for a slow disk is bounded in size, too."""


class Item(msgspec.Struct, frozen=True):
    """One intent of a batch: where it stands (`intents.jsonl:17`) and its bytes, or the fault that
    kept it from being read."""

    label: str
    data: bytes | Fault


class Outcome(msgspec.Struct, frozen=True):
    """What became of an item."""

    label: str
    result: Placed | Fault


class Tally(msgspec.Struct):
    """What a batch has done so far."""

    written: int = 0
    unchanged: int = 0
    planned: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        return self.written + self.unchanged + self.planned + self.failed

    def count(self, result: Placed | Fault) -> None:
        """One more."""
        name = "failed" if isinstance(result, Fault) else result.state
        setattr(self, name, getattr(self, name) + 1)


def run(
    items: Iterable[Item],
    writer: Writer,
    told: Callable[[Outcome, Tally], None],
    *,
    workers: int = 0,
    group: int = GROUP,
    strict: bool = False,
) -> Tally:
    """Make every package; `told` hears of each item, in this thread. At most `workers` (the CPUs,
    unless given) generations run at once, and as many groups wait: memory does not grow."""
    hands = min(workers or _cpus(), _cpus())
    tally = Tally()
    groups = _groups(items, group)
    # What lives now lives on: a collection need not look at it every time.
    gc.freeze()
    with ThreadPoolExecutor(hands, thread_name_prefix="patchgen") as pool:
        running: set[Future[list[Outcome]]] = set()
        for batch in islice(groups, hands * 2):
            running.add(pool.submit(_make, batch, writer, strict))
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for batch in islice(groups, len(done)):
                running.add(pool.submit(_make, batch, writer, strict))
            for outcome in (one for future in done for one in future.result()):
                tally.count(outcome.result)
                told(outcome, tally)
                if tally.total % COLLECT_EVERY == 0:
                    gc.collect()
    gc.unfreeze()
    return tally


def read_items(inputs: Iterable[str], stdin: BinaryIO) -> Iterator[Item]:
    """Intents from folders (their `*.json` files), files of one intent a line (`*.jsonl`,
    `*.ndjson`), files of one intent, and `-` (lines of standard input). A path that cannot be read
    is an item that failed."""
    for path in inputs:
        if path == "-":
            yield from _lines(stdin, "stdin")
        elif Path(path).is_dir():
            for name in sorted(entry.name for entry in os.scandir(path) if _is_intent(entry)):
                yield _file(Path(path) / name)
        elif path.endswith((".jsonl", ".ndjson")):
            yield from _lined_file(Path(path))
        else:
            yield _file(Path(path))


def _make(items: list[Item], writer: Writer, strict: bool) -> list[Outcome]:
    """Validate and render each, then let the writer place all of them together."""
    results: list[Placed | Fault | None] = []
    packages: list[Package] = []
    for item in items:
        made = _package(item, strict)
        results.append(made if isinstance(made, Fault) else None)
        if isinstance(made, Package):
            packages.append(made)
    try:
        placed = iter(writer.place(packages) if packages else ())
    except Fault as fault:
        placed = iter([fault] * len(packages))
    filled = [next(placed) if result is None else result for result in results]
    return [Outcome(item.label, result) for item, result in zip(items, filled, strict=True)]


def _package(item: Item, strict: bool) -> Package | Fault:
    if isinstance(item.data, Fault):
        return item.data
    try:
        intent: Intent = require(item.data, strict=strict)
        return render(intent)
    except InvalidIntent as invalid:
        return invalid


def _groups(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """So many items, or so many bytes: whichever comes first."""
    group: list[Item] = []
    held = 0
    for item in items:
        group.append(item)
        held += len(item.data) if isinstance(item.data, bytes) else 0
        if len(group) >= size or held >= GROUP_BYTES:
            yield group
            group, held = [], 0
    if group:
        yield group


def _lined_file(path: Path) -> Iterator[Item]:
    try:
        with path.open("rb") as file:
            yield from _lines(file, path.name)
    except OSError as failed:
        yield Item(str(path), _unreadable(path, failed))


def _lines(file: BinaryIO, name: str) -> Iterator[Item]:
    """Lines, each read up to the limit only; empty ones are passed over."""
    number = 0
    while line := file.readline(SIZE_LIMIT + 2):
        number += 1
        whole = line
        while not line.endswith(b"\n") and len(line) == SIZE_LIMIT + 2:
            line = file.readline(SIZE_LIMIT + 2)
        text = whole.rstrip(b"\r\n")
        if text.strip():
            yield Item(f"{name}:{number}", text)


def _file(path: Path) -> Item:
    try:
        with path.open("rb") as file:
            return Item(str(path), file.read(SIZE_LIMIT + 1))
    except OSError as failed:
        return Item(str(path), _unreadable(path, failed))


def _unreadable(path: Path, failed: OSError) -> Fault:
    return Fault(errors.CANNOT_READ, path=str(path), reason=reason_of(failed))


def _is_intent(entry: "os.DirEntry[str]") -> bool:
    hidden = entry.name.startswith(".")
    return entry.name.endswith(".json") and not hidden and entry.is_file(follow_symlinks=False)


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
