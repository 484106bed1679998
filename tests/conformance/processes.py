"""Which real processes a test had, including those that its fixtures started before it.

Every `subprocess.Popen` is recorded (asyncio's subprocesses are made by it on the standard loop;
on another loop `asyncio.create_subprocess_exec` is watched itself). A process belongs to the
innermost fixture or test that was running when it began; a test has its own processes and those of
every fixture it uses, so a server shared by a module counts for each of its tests.
"""

import asyncio
import functools
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_scopes: list[dict[int, str]] = []


def real_process(name: str, pid: int) -> None:
    """Say that the running fixture or test has a process, under a name people know.

    Use it for what was not started by Popen, or when `valkey-server 9.1.2` says more than a path.
    """
    if _scopes:
        _scopes[-1][pid] = name


@contextmanager
def scope() -> Iterator[dict[int, str]]:
    """Names by pid of the processes that begin inside."""
    mine: dict[int, str] = {}
    _scopes.append(mine)
    try:
        yield mine
    finally:
        _scopes.pop()


def watch() -> None:
    """Record every subprocess from now on. Calling it twice changes nothing."""
    if getattr(subprocess.Popen.__init__, "watched", False):
        return
    begin = subprocess.Popen.__init__

    @functools.wraps(begin)
    def watched(self: subprocess.Popen[Any], args: Any, *rest: Any, **options: Any) -> None:
        begin(self, args, *rest, **options)
        _began(self.pid, args)

    watched.watched = True  # type: ignore[attr-defined]
    subprocess.Popen.__init__ = watched  # type: ignore[method-assign]
    asyncio.create_subprocess_exec = _watched_async(asyncio.create_subprocess_exec)


def named(args: Any) -> str:
    """What a person calls a command line: the program, or the script that Python runs."""
    if isinstance(args, str | bytes | os.PathLike):
        return f"sh: {os.fsdecode(args)[:40]}"
    words = [os.fsdecode(word) for word in args]
    program = Path(words[0]).name
    if not program.startswith("python"):
        return program
    for place, word in enumerate(words[1:], start=1):
        if word == "-m":
            return f"python -m {words[place + 1]}"
        if not word.startswith("-"):
            return Path(word).name
        if word == "-c":
            return "python -c"
    return program


def _began(pid: int, args: Any) -> None:
    if _scopes:
        _scopes[-1].setdefault(pid, named(args))


def _watched_async(begin: Callable[..., Any]) -> Any:
    @functools.wraps(begin)
    async def watched(program: Any, *args: Any, **options: Any) -> Any:
        process = await begin(program, *args, **options)
        words: Sequence[Any] = (program, *args)
        _began(process.pid, words)
        return process

    return watched
