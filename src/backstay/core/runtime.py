"""The runtime folder: where the sockets, the state and the last exit reasons of a data folder live.

It is `<data>/run` while socket paths in it stay under the kernel's limit, else a private folder
under the system's temporary one (`/tmp` where TMPDIR is too long as well), named by a hash of the
data folder and noted in `<data>/run.path`, so that every tool finds the same place from the data
folder alone.
"""

import hashlib
import os
import tempfile
from pathlib import Path

import msgspec

from backstay.core.errors import ErrorEntry, Fault

SOCKET_PATH_LIMIT = 103
"""Bytes a socket path may have: `sun_path` holds 104 on macOS and 108 on Linux, with its zero."""

# "/", a name of 20 letters at most (up.project holds to it), and ".sock".
_LONGEST_NAME = 1 + 20 + 5

RUNTIME_UNUSABLE = ErrorEntry(
    code="CORE064",
    message="the folder {path} cannot be used",
    cause="{reason}",
    fix="make {path} a folder of your own with mode 0700, or give another --data folder",
    exit=1,
)


class ExitReason(msgspec.Struct, frozen=True):
    """Why a process ended last. `at` is wall epoch seconds, `code` its exit code."""

    at: float
    reason: str
    code: int
    pid: int = 0
    trace: str = ""


def find_runtime(data: Path) -> Path:
    """The runtime folder of a data folder, without making it. `BACKSTAY_RUNTIME` is not asked."""
    noted = data / "run.path"
    if noted.is_file():
        return Path(noted.read_text().strip())
    near = data.absolute() / "run"
    return near if _fits(near) else _far(data)


def make_runtime(data: Path) -> Path:
    """The runtime folder of a data folder, made with mode 0700. Raises CORE064."""
    near = data.absolute() / "run"
    runtime = near if _fits(near) else _far(data)
    make_folder(data)
    _private(runtime)
    noted = data / "run.path"
    try:
        if runtime == near:
            noted.unlink(missing_ok=True)
        else:
            noted.write_text(f"{runtime}\n")
    except OSError as failed:
        raise Fault(RUNTIME_UNUSABLE, path=str(data), reason=str(failed)) from failed
    return runtime


def make_folder(path: Path) -> None:
    """A data folder, with mode 0700 unless it is there already. Raises CORE064."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as failed:
        raise Fault(RUNTIME_UNUSABLE, path=str(path), reason=str(failed)) from failed


def write_atomically(path: Path, body: bytes, mode: int = 0o600) -> None:
    """Readers see the old file or the new one, never half of it."""
    half = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(body)
    half.replace(path)


def write_exit(runtime: Path, name: str, reason: ExitReason) -> None:
    """Keep the last exit reason of a process; a folder that is gone is no second failure."""
    try:
        write_atomically(runtime / f"{name}.exit.json", msgspec.json.encode(reason))
    except OSError:
        return


def read_exit(runtime: Path, name: str) -> ExitReason | None:
    """The last exit reason a process wrote itself; None when it never got to it."""
    try:
        return msgspec.json.decode((runtime / f"{name}.exit.json").read_bytes(), type=ExitReason)
    except (OSError, msgspec.MsgspecError):
        return None


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder)) + _LONGEST_NAME <= SOCKET_PATH_LIMIT


def _far(data: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:16]
    name = f"backstay-{os.getuid()}-{digest}"
    usual = Path(tempfile.gettempdir()) / name
    # TMPDIR itself may be deep. In /tmp the folder is as private: `_private` looks whose it is.
    return usual if _fits(usual) else Path("/tmp") / name  # noqa: S108


def _private(folder: Path) -> None:
    make_folder(folder)
    try:
        found = folder.lstat()
        if found.st_uid != os.getuid():
            # Under a shared temporary folder somebody else could have made it first.
            raise Fault(
                RUNTIME_UNUSABLE, path=str(folder), reason=f"it belongs to uid {found.st_uid}"
            )
        folder.chmod(0o700)
    except OSError as failed:
        raise Fault(RUNTIME_UNUSABLE, path=str(folder), reason=str(failed)) from failed
