"""A process of Backstay: settings come in loaded, services go out, everything between is here.

Signals, the drain pipe, logs, the event loop, the health board, the control socket and the last
exit reason are the same in every system; a console script only loads settings and calls
`run_process`.
"""

import asyncio
import os
import resource
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import structlog
import uvloop

from backstay import __version__
from backstay.core.breaker import Breaker
from backstay.core.clock import Clock, Dice, Ids, SystemClock, SystemDice, Uuid7, rfc3339
from backstay.core.control import ControlServer, Reply, Routes, json_reply
from backstay.core.errors import Exit, Fault, for_terminal
from backstay.core.health import Board, Check
from backstay.core.logs import configure
from backstay.core.metrics import Registry
from backstay.core.process_errors import INTERNAL, NO_PROBE, NOTHING_TO_RESET
from backstay.core.process_settings import ProcessSettings
from backstay.core.profiling.api import Profiles
from backstay.core.runtime import ExitReason, make_folder, make_runtime, write_exit
from backstay.core.service import Loop, Service, run
from backstay.core.settings import Loaded, Value
from backstay.core.tracing import OFF, Tracer, make_tracer

S = TypeVar("S", bound=ProcessSettings)
Probe = Callable[[], Awaitable[Mapping[str, Any]]]
Backup = Callable[[Path], Awaitable[None]]

_log = structlog.get_logger("core.process")


class Process(msgspec.Struct, Generic[S]):
    """What a system's `build` gets, and fills: checks, breakers, probes and backups (file name →
    function that writes a consistent copy to the given path)."""

    name: str
    runtime: Path
    loaded: Loaded[S]
    clock: Clock
    ids: Ids
    dice: Dice
    registry: Registry
    tracer: Tracer = OFF
    board_checks: list[Check] = []
    breakers: dict[str, Breaker] = {}
    probes: dict[str, Probe] = {}
    backups: dict[str, Backup] = {}
    _board: Board | None = None
    _profiles: Profiles | None = None

    @property
    def board(self) -> Board:
        """The one health board of the process, over `board_checks`; driven by `run_process`. A
        system whose own face shows health reads this one."""
        if self._board is None:
            self._board = Board(self.clock, __version__, self.board_checks)
        return self._board

    @property
    def profiles(self) -> Profiles:
        """What it is doing, for its own HTTP face: `process.profiles.endpoints(access)`; the
        control socket has them anyway."""
        if self._profiles is None:
            self._profiles = Profiles(self.name, self.clock)
        return self._profiles

    @property
    def socket(self) -> Path:
        """Where its HTTP face listens when it stands behind the gateway."""
        return self.runtime / f"{self.name}.sock"


Build = Callable[[Process[S]], Awaitable[Sequence[Service | Loop]]]


def run_process(
    name: str, loaded: Loaded[S], build: Build[S], *, runtime: Path | None = None
) -> int:
    """Run a system until it is told to stop; gives the exit code of the process.

    SIGTERM, SIGINT, `POST /drain` and the end of `BACKSTAY_DRAIN_FD` drain it; a second signal
    ends it at once. A failing start is told on standard error and kept in `NAME.exit.json`.
    """
    clock = SystemClock()
    folder: Path | None = None
    try:
        folder = runtime or _runtime(loaded.settings)
        configure(loaded.settings, name, clock)
        _raise_file_limit()
        process = _process(name, loaded, clock, folder)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            why = runner.run(_live(process, build))
    except Fault as known:
        return _failed(folder, name, clock, known)
    except Exception as unknown:  # noqa: BLE001 - the last line of defence: users see no trace
        kept = str(folder / f"{name}.exit.json") if folder else "this text"
        kind = type(unknown).__name__
        wrapped = Fault(INTERNAL, name=name, kind=kind, text=str(unknown), trace_file=kept)
        return _failed(folder, name, clock, wrapped, traceback.format_exc())
    return _ended(folder, name, clock, why, Exit.OK)


async def _live(process: Process[S], build: Build[S]) -> str:
    stopping = _Stopping(process.name)
    stopping.listen()
    # Its port first: who cannot have it must fail before any face answers.
    parts = [*_debug_port(process), *await build(process)]
    services = [part for part in parts if not isinstance(part, Loop)]
    stage = _Stage(process, services)
    routes = _routes(process, stage, stopping)
    control = ControlServer(process.runtime / f"{process.name}.ctl", routes)
    traces = [process.tracer] if isinstance(process.tracer, Service) else []
    # First in, last out: the control socket answers while the rest starts and drains.
    await run([control, *traces, *parts, process.board, stage], process.clock, stopping.event)
    return stopping.why


def _debug_port(process: Process[S]) -> Sequence[Service]:
    if not process.loaded.settings.debug:
        return ()
    # Imported here: without --debug nobody pays for a second server.
    from backstay.core.profiling.port import debug_server

    return [debug_server(process.name, process.profiles, process.clock, process.ids)]


class _Stopping:
    """Everything that can tell a process to drain, and which it was."""

    def __init__(self, name: str) -> None:
        self.event = asyncio.Event()
        self.why = ""
        self._name = name

    def listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        pipe = os.environ.pop("BACKSTAY_DRAIN_FD", "")
        if pipe:
            os.set_inheritable(int(pipe), False)
            loop.add_reader(int(pipe), self._pipe_ended, int(pipe))

    def ask(self, why: str) -> None:
        if not self.event.is_set():
            self.why = f"drained: {why}"
            _log.info("draining", name=self._name, why=why)
            self.event.set()

    def _signalled(self, number: signal.Signals) -> None:
        if self.event.is_set():
            # A person who asks twice does not want to wait; what is durable stays durable.
            os._exit(Exit.INTERRUPTED)
        self.ask(number.name)

    def _pipe_ended(self, pipe: int) -> None:
        if os.read(pipe, 512):
            return
        asyncio.get_running_loop().remove_reader(pipe)
        os.close(pipe)
        self.ask("the supervisor closed the drain pipe")


class _Stage:
    """The last service: knows that all others have started, and that draining has begun."""

    name = "stage"

    def __init__(self, process: Process[Any], services: Sequence[Service]) -> None:
        self._process = process
        self._services = services
        self._open = False
        self.started = process.clock.now()

    async def start(self) -> None:
        self._open = True
        took = (self._process.clock.now() - self.started) * 1000
        _log.info("ready", name=self._process.name, duration=round(took, 1), pid=os.getpid())

    def ready(self) -> bool:
        return self._open and all(service.ready() for service in self._services)

    async def drain(self, seconds: float) -> None:  # noqa: ARG002 - a Service's signature
        self._open = False
        self._process.profiles.end()

    async def stop(self) -> None:
        self._open = False


def _routes(process: Process[S], stage: _Stage, stopping: _Stopping) -> Routes:
    async def live(_: str, __: bytes) -> Reply:
        return json_reply(
            {
                "name": process.name,
                "pid": os.getpid(),
                "started": rfc3339(stage.started),
                "version": __version__,
                "ready": stage.ready(),
            }
        )

    async def checks(_: str, __: bytes) -> Reply:
        return json_reply(process.board.report())

    async def metrics(_: str, __: bytes) -> Reply:
        return Reply(process.registry.render(), "text/plain; version=0.0.4")

    async def settings(_: str, __: bytes) -> Reply:
        return json_reply([shown(value) for value in process.loaded.values])

    async def drain(_: str, __: bytes) -> Reply:
        stopping.ask("asked over the control socket")
        return json_reply({"draining": True})

    return {
        "GET /live": live,
        "GET /checks": checks,
        "GET /metrics": metrics,
        "GET /settings": settings,
        "POST /drain": drain,
        **_system_routes(process),
        **process.profiles.control(),
    }


def _system_routes(process: Process[S]) -> Routes:
    async def breakers(_: str, __: bytes) -> Reply:
        return json_reply([breaker.view() for breaker in process.breakers.values()])

    async def reset(target: str, _: bytes) -> Reply:
        breaker = process.breakers.get(target)
        if breaker is None:
            known = ", ".join(process.breakers) or "none"
            raise Fault(NOTHING_TO_RESET, target=target, name=process.name, known=known)
        breaker.reset()
        return json_reply(breaker.view())

    async def probe(name: str, _: bytes) -> Reply:
        run_probe = process.probes.get(name)
        if run_probe is None:
            known = ", ".join(process.probes) or "none"
            raise Fault(NO_PROBE, probe=name, name=process.name, known=known)
        return json_reply(await run_probe())

    async def backup(_: str, body: bytes) -> Reply:
        folder = Path(msgspec.json.decode(body, type=dict[str, str])["folder"])
        for file, write in process.backups.items():
            await write(folder / file)
        return json_reply({"files": list(process.backups)})

    return {
        "GET /breakers": breakers,
        "POST /breakers/{}/reset": reset,
        "GET /probe/{}": probe,
        "POST /backup": backup,
    }


def shown(value: Value) -> dict[str, object]:
    """A setting as people may see it: secrets masked."""
    return {
        "name": value.name,
        "value": value.shown(),
        "source": value.source,
        "where": value.where,
    }


def _process(name: str, loaded: Loaded[S], clock: SystemClock, runtime: Path) -> Process[S]:
    return Process(
        name=name,
        runtime=runtime,
        loaded=loaded,
        clock=clock,
        ids=Uuid7(clock),
        dice=SystemDice(),
        registry=Registry((), clock),
        tracer=make_tracer(loaded.settings, name),
    )


def _runtime(settings: ProcessSettings) -> Path:
    make_folder(settings.data)
    given = os.environ.get("BACKSTAY_RUNTIME")
    return Path(given) if given else make_runtime(settings.data)


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard, 10_240):  # macOS says "unlimited" and then refuses it
        if soft == hard:
            return
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return
        except (ValueError, OSError):
            continue


def _failed(folder: Path | None, name: str, clock: Clock, fault: Fault, trace: str = "") -> int:
    print(for_terminal(fault), file=sys.stderr, flush=True)  # noqa: T201 - a process's own face
    return _ended(folder, name, clock, str(fault), fault.entry.exit, trace)


def _ended(
    runtime: Path | None, name: str, clock: Clock, reason: str, code: int, trace: str = ""
) -> int:
    if runtime is not None:
        write_exit(runtime, name, ExitReason(clock.now(), reason, code, os.getpid(), trace))
    return code
