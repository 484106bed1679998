"""The app server put together: the program read and checked, the queue handed in, the app built.

The app knows a `TaskQueue`, the queue knows nothing of apps; this is where the two meet.
"""

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from backstay.app.settings import AppSettings
from backstay.app.system import build
from backstay.core.errors import Fault
from backstay.core.process import Process, run_process
from backstay.core.service import Loop, Service
from backstay.core.settings import Loaded
from backstay.lang.api import check_files, decode
from backstay.lang.diagnostics import Diagnostic
from backstay.lang.program import Program, TaskStep
from backstay.queue.client import QueueClient
from backstay.up.errors import NO_APP_FILE, NOT_RUN_YET, PROGRAM_INVALID, TASKS_WITHOUT_QUEUE
from backstay.up.queue_for_app import QueueForApp

Sources = list[tuple[str, str]]


def serve(file: Path, loaded: Loaded[AppSettings], env: Mapping[str, str]) -> int:
    """Run `codeai server` until told to stop; gives the exit code. `env` says where the queue is
    (CODEQ_BASE_URL, CODEQ_PRODUCER_TOKEN)."""

    async def built(process: Process[AppSettings]) -> Sequence[Service | Loop]:
        program = read_program(file)
        carried = bool(env.get("CODEQ_BASE_URL"))
        source = FileSource(file, carried=carried) if loaded.settings.reload else None
        if not carried:
            refuse_tasks(program, file)
            return await build(process, program, None, source)
        queue = QueueForApp(QueueClient.from_env(env))
        return [_Connection(queue), *await build(process, program, queue, source)]

    return run_process("app", loaded, built)


class FileSource:
    """The program of a file or folder, read again when it changes (app.reloading). `carried`:
    there is a queue for its tasks."""

    def __init__(self, file: Path, *, carried: bool) -> None:
        self._file = file
        self._carried = carried

    def signature(self) -> object:
        """Names, times and sizes of its files; of one that is away nothing."""
        found: list[tuple[str, int, int, int]] = []
        folder = self._file.is_dir()
        for each in sorted(self._file.glob("*.cai")) if folder else [self._file]:
            with suppress(OSError):
                known = each.stat()
                found.append((each.name, known.st_mtime_ns, known.st_size, known.st_ino))
        return tuple(found)

    def read(self) -> Program:
        """As `read_program`, and what it wants carried must be. Raises UP016 as well."""
        program = read_program(self._file)
        if not self._carried:
            refuse_tasks(program, self._file)
        return program


def read_program(file: Path) -> Program:
    """The checked program of a file, or of all `.cai` files of a folder.

    Mistakes are printed with their places on standard error. Raises UP005, UP018, UP019.
    """
    sources: Sources = []
    found: list[Diagnostic] = []
    for each in _files(file):
        try:
            text, unreadable = decode(str(each), each.read_bytes())
        except OSError as failed:
            raise Fault(NO_APP_FILE, file=str(each), reason=failed.strerror or "?") from failed
        sources.append((str(each), text))
        found += unreadable
    program = None
    if not found:
        program, found = check_files(sources)
    if program is None:
        raise _invalid(file, found, sources)
    _refuse_what_would_be_ignored(program, file)
    return program


def _refuse_what_would_be_ignored(program: Program, file: Path) -> None:
    """Raises UP019 when the program uses what this runtime does not run yet."""
    from backstay.app.unsupported import problems

    found = problems(program)
    if not found:
        return
    sys.stderr.write("".join(f"{problem}\n" for problem in found))
    place = found[0].place
    first = f"{found[0].what} at {place.file}:{place.line}:{place.column}"
    raise Fault(NOT_RUN_YET, file=str(file), count=len(found), first=first)


def refuse_tasks(program: Program, file: Path) -> None:
    """Raises UP016 when the program sends work outside and nobody would carry it."""
    steps = [
        f"{workflow.name}.{step.name}"
        for workflow in program.workflows
        for step in workflow.steps
        if isinstance(step.work, TaskStep)
    ]
    if steps:
        raise Fault(TASKS_WITHOUT_QUEUE, file=str(file), steps=", ".join(steps[:5]))


def _files(file: Path) -> list[Path]:
    if not file.is_dir():
        return [file]
    found = sorted(file.glob("*.cai"))
    if not found:
        raise Fault(NO_APP_FILE, file=str(file), reason="no .cai file in this folder")
    return found


def _invalid(file: Path, found: list[Diagnostic], sources: Sources) -> Fault:
    from backstay.lang.render import render

    sys.stderr.write(f"{render(found, dict(sources))}\n\n")
    errors = [each for each in found if each.severity == "error"]
    first = errors[0].span
    place = f"{first.file}:{first.line}:{first.column}"
    return Fault(PROGRAM_INVALID, file=str(file), count=len(errors), first=place)


class _Connection:
    """The adapter as a Service: opened by its first use, closed last."""

    name = "task-queue"

    def __init__(self, queue: QueueForApp) -> None:
        self._queue = queue

    async def start(self) -> None:
        """Nothing: the queue may start after the app, and go away and come back."""

    def ready(self) -> bool:
        return True

    async def drain(self, seconds: float) -> None:
        """The loops that use it are the app's."""

    async def stop(self) -> None:
        await self._queue.close()
