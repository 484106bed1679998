"""Where packages may go: paths that are refused, folders that are made, space that must be."""

import os
import pwd
import stat
from pathlib import Path

import msgspec

from backstay.core.errors import Fault
from backstay.patchgen.errors import disk as errors

SPACE_FLOOR = 1024 * 1024
"""Bytes that must be free before anything is written (P28)."""
FOLDER_MODE = 0o755
FALLBACK = Path(".nephoran") / "patches"
"""Below the home folder: where packages may go when the chosen place is closed (P25)."""


def is_folder(path: str | Path) -> bool:
    """Whether a folder is there, as far as this user can see. `Path.is_dir` raises where a parent
    may not be entered."""
    return os.path.isdir(path)  # noqa: PTH112 - see above


def refuse_traversal(path: str | Path) -> Path:
    """The path, unless one of its components is `..` (P29). A name that only contains two dots is
    fine."""
    text = os.fspath(path)
    if ".." in text.replace("\\", "/").split("/"):
        raise Fault(errors.TRAVERSAL, path=text[:200])
    _refuse_impossible(text, "the file system")
    return Path(text)


def sanitize_path(base: str | Path, user_path: str) -> Path:
    """`user_path` inside `base` (P30): cleaned, an absolute one reduced to its last name, joined.

    Components and resolved links are compared, not the beginning of a text, so `/base-evil` is
    outside of `/base`. Raises PATCH065 when the result is outside.
    """
    _refuse_impossible(user_path, str(base))
    cleaned = os.path.normpath(user_path)
    inner = Path(cleaned)
    final = Path(base) / (inner.name if inner.is_absolute() else inner)
    root, real = os.path.realpath(base), os.path.realpath(final)
    if os.path.commonpath((root, real)) != root:
        raise Fault(errors.ESCAPES, path=user_path[:200], base=str(base))
    return final


def _refuse_impossible(text: str, base: str) -> None:
    """What no file can be called leads nowhere: NUL, and half a surrogate pair."""
    try:
        impossible = b"\x00" in os.fsencode(text)
    except UnicodeEncodeError:
        impossible = True
    if impossible:
        raise Fault(errors.ESCAPES, path=text[:200].encode("unicode_escape").decode(), base=base)


def ensure_directory(path: str | Path) -> Path:
    """The folder, made with its parents (mode 0755, umask applies) when it is missing (P22)."""
    folder = Path(path)
    if os.path.exists(folder):  # noqa: PTH110 - see is_folder
        if not is_folder(folder):
            raise Fault(errors.NOT_A_FOLDER, path=str(folder))
        return folder
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    except OSError as failed:
        reason = reason_of(failed)
        raise Fault(errors.CANNOT_CREATE, path=str(folder), reason=reason) from failed
    try:
        folder.stat()
        next(folder.iterdir(), None)
    except OSError as failed:
        reason = reason_of(failed)
        raise Fault(errors.NOT_ACCESSIBLE, path=str(folder), reason=reason) from failed
    return folder


def require_space(path: str | Path, floor: int = SPACE_FLOOR) -> int:
    """Free bytes for this user on the file system of `path`; PATCH066 below `floor` (P28)."""
    found = os.statvfs(path)
    free = found.f_bavail * found.f_frsize
    if free < floor:
        raise Fault(errors.NO_SPACE, available=free, required=floor, path=str(path))
    return free


def inodes_left(path: str | Path) -> int | None:
    """New files that fit on the file system of `path` for this user, however small; None where it
    has no such limit, or cannot be asked."""
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    return found.f_favail if found.f_files else None


def reason_of(failure: OSError) -> str:
    """The system's reason in small letters, as Go writes it: `permission denied`."""
    text = failure.strerror or str(failure)
    return text[:1].lower() + text[1:]


class Step(msgspec.Struct, frozen=True):
    """One component of a path. `problem` says why it stops this user, or is ""."""

    path: str
    kind: str
    mode: str
    owner: str
    group: str
    problem: str = ""


def walk(path: str | Path) -> list[Step]:
    """Each component of a path with its owner and mode, as `namei -l` shows it (P24)."""
    whole = Path(path).absolute()
    return [_step(part, last=part == whole) for part in (*reversed(whole.parents), whole)]


def whoami() -> str:
    """Name of the effective user, or its number when there is no passwd entry (P26)."""
    return _user(os.geteuid())


def fallback(home: str) -> Path | None:
    """`~/.nephoran/patches` when there is a home folder to have it in."""
    return Path(home) / FALLBACK if home and is_folder(home) else None


def _step(path: Path, *, last: bool) -> Step:
    try:
        found = path.lstat()
    except OSError as failed:
        return Step(str(path), "missing", "-", "-", "-", reason_of(failed))
    problem = ""
    folder = is_folder(path)
    if not folder:
        problem = "" if last else "not a directory"
    elif not os.access(path, os.X_OK, effective_ids=_EFFECTIVE):
        problem = "may not be entered by this user"
    elif last and not os.access(path, os.W_OK, effective_ids=_EFFECTIVE):
        problem = "may not be written by this user"
    kind = "link" if stat.S_ISLNK(found.st_mode) else "folder" if folder else "file"
    mode = stat.filemode(found.st_mode)
    return Step(str(path), kind, mode, _user(found.st_uid), _group(found.st_gid), problem)


_EFFECTIVE = os.access in os.supports_effective_ids


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    import grp

    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
