"""Observations on a file, one JSON line each, so that they outlive whoever made them.

A request is noted before it is sent. One that has no second line was never answered, be it that the
server died or the client itself.
"""

import itertools
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from tests.queue.history.events import Kind, Seen

LONGEST = 40.0
"""Seconds after which an unanswered request can no longer have an effect: no wait is longer."""


class _Line(msgspec.Struct, frozen=True):
    number: int
    asked: Seen | None = None
    seen: list[Seen] = []


class Recorder:
    """For one client. Lines are appended with one write each, so a killed writer leaves whole ones
    and at most one torn at the end."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        self._numbers = itertools.count(time.monotonic_ns())

    def ask(self, kind: Kind, **fields: Any) -> "Asking":
        now = time.monotonic()
        asked = Seen(kind, now, now + LONGEST, answer="unknown", **fields)
        number = next(self._numbers)
        self._write(_Line(number, asked))
        return Asking(self, number, msgspec.structs.replace(asked, request=number))

    def note(self, kind: Kind, **fields: Any) -> None:
        """Something that was not asked for."""
        now = time.monotonic()
        self._write(_Line(next(self._numbers), seen=[Seen(kind, now, now, **fields)]))

    def _write(self, line: _Line) -> None:
        os.write(self._file, msgspec.json.encode(line) + b"\n")


class Asking:
    """A request on its way."""

    def __init__(self, recorder: Recorder, number: int, asked: Seen) -> None:
        self._recorder = recorder
        self._number = number
        self._asked = asked

    def answered(self, *each: dict[str, Any]) -> None:
        """What came, as changes to what was asked; several for a batch."""
        now = time.monotonic()
        self._put([{"ended": now, "answer": "yes"} | fields for fields in each or ({},)])

    def refused(self) -> None:
        self._put([{"ended": time.monotonic(), "answer": "no"}])

    def broke(self) -> None:
        """The server died over it: what it did not do until now it will not do."""
        self._put([{"ended": time.monotonic()}])

    def _put(self, changes: Sequence[dict[str, Any]]) -> None:
        seen = [
            msgspec.structs.replace(self._asked, order=order, **fields)
            for order, fields in enumerate(changes)
        ]
        self._recorder._write(_Line(self._number, seen=seen))


def history(paths: Iterable[Path]) -> list[Seen]:
    """What all of them saw."""
    found: list[Seen] = []
    for path in (path for path in paths if path.exists()):  # some are killed before they begin
        asked: dict[int, Seen] = {}
        for text in path.read_bytes().split(b"\n"):
            if not text.endswith(b"}"):
                continue  # the last one of a killed writer, or the empty end
            line = msgspec.json.decode(text, type=_Line)
            if line.asked is not None:
                asked[line.number] = line.asked
            else:
                asked.pop(line.number, None)
                found += line.seen
        found += asked.values()
    return found
