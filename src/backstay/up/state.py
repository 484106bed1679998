"""`state.json`: what runs, since when, where, and how it ended last. Written whole, atomically."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from backstay.core.runtime import write_atomically

ProcessPhase = Literal["starting", "ready", "restarting", "gave_up", "stopped"]


class LastExit(msgspec.Struct, frozen=True):
    """`at` is RFC 3339; `code` is negative for a signal."""

    at: str
    reason: str
    code: int


class ProcessState(msgspec.Struct, frozen=True):
    """`started` is RFC 3339; `pid` is None while it does not run."""

    pid: int | None
    started: str
    state: ProcessPhase
    address: str
    control: str
    restarts: int
    last_exit: LastExit | None = None


class State(msgspec.Struct, frozen=True):
    """One supervisor and its processes by name. `started` is RFC 3339."""

    version: str
    pid: int
    started: str
    base_url: str
    data: str
    app_file: str
    processes: Mapping[str, ProcessState]


def write_state(runtime: Path, state: State) -> None:
    """Put it into the runtime folder; readers see the old one or this."""
    write_atomically(runtime / "state.json", msgspec.json.encode(state))


def read_state(runtime: Path) -> State | None:
    """The last state written, by whoever wrote it; None when there is none that can be read."""
    try:
        return msgspec.json.decode((runtime / "state.json").read_bytes(), type=State)
    except (OSError, msgspec.MsgspecError):
        return None
