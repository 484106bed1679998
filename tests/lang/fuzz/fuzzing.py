"""A small coverage-guided fuzzer: what reaches new lines of the language is kept and changed again.

Lines are watched with `sys.settrace` in the package's own code, for one input in `EVERY`: watching
costs several times what the checker itself does.
"""

import random
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

EVERY = 8
_PACKAGE = str(Path("backstay") / "lang")
_LONGEST = 3000
_WORD = re.compile(r"\w+|\s+|\"[^\"\n]*\"|[^\w\s]")


class Coverage:
    """The lines that were reached, by file and number."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, int]] = set()

    def watch(self, run: Callable[[], object]) -> int:
        """Run it; the number of lines that were new."""
        before = len(self.seen)
        old = sys.gettrace()
        sys.settrace(self._call)
        try:
            run()
        finally:
            sys.settrace(old)
        return len(self.seen) - before

    def _call(self, frame: FrameType, event: str, arg: object) -> Any:
        return self._line if _PACKAGE in frame.f_code.co_filename else None

    def _line(self, frame: FrameType, event: str, arg: object) -> Any:
        self.seen.add((frame.f_code.co_filename, frame.f_lineno))
        return self._line


class Fuzzer:
    """Changes texts of a corpus; `seed` makes a run repeatable."""

    def __init__(self, corpus: list[str], seed: int | str) -> None:
        self.corpus = list(corpus)
        self.dice = random.Random(seed)
        self.coverage = Coverage()
        self.words = sorted({word for text in corpus for word in _WORD.findall(text)})
        self.kept = 0

    def run(self, count: int, judge: Callable[[str], object]) -> None:
        """`count` inputs; the first that `judge` cannot take is raised with its text."""
        for number, text in enumerate(self._texts(count)):
            try:
                if number % EVERY:
                    judge(text)
                elif self.coverage.watch(lambda text=text: judge(text)):  # type: ignore[misc]
                    self.corpus.append(text)
                    self.kept += 1
            except Exception as bad:
                raise AssertionError(f"input {number}: {text!r}") from bad

    def _texts(self, count: int) -> Iterator[str]:
        for _ in range(count):
            text = self.dice.choice(self.corpus)
            for _ in range(self.dice.randint(1, 4)):
                text = self._changed(text)
            yield text[:_LONGEST]

    def _changed(self, text: str) -> str:
        dice = self.dice
        at = dice.randint(0, len(text))
        end = min(len(text), at + dice.choice((1, 1, 3, 20, 200)))
        kind = dice.randrange(7)
        if kind == 0:
            return text[:at] + text[end:]
        if kind == 1:
            return text[:at] + dice.choice(self.words) + text[at:]
        if kind == 2:
            return text[:at] + dice.choice(self.words) + text[end:]
        if kind == 3:
            return text[:end] + text[at:]
        if kind == 4:
            other = dice.choice(self.corpus)
            return text[:at] + other[dice.randint(0, len(other)) :]
        if kind == 5:
            return (
                text[:at]
                + chr(dice.choice((0, 9, 10, 34, 92, 123, 125, 0x3042, 0xD800)))
                + text[at:]
            )
        return self._swapped(text)

    def _swapped(self, text: str) -> str:
        words = _WORD.findall(text)
        if len(words) > 1:
            one, other = self.dice.randrange(len(words)), self.dice.randrange(len(words))
            words[one], words[other] = words[other], words[one]
        return "".join(words)
