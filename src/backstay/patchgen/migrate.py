"""From `internal/patch` to `internal/patchgen`: uses are found, explained and, if wanted, renamed.

A second run changes nothing: only the whole old name is renamed, never the beginning of the new one
(a plain text replacement makes `patchgengen`).
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

OLD, NEW = "internal/patch", "internal/patchgen"
_USE = re.compile(rb"internal/patch(?![A-Za-z0-9_])")
_SUFFIXES = (".go", ".mod", ".sum", ".py", ".md", ".yaml", ".yml", ".json", ".sh", ".mk", ".txt")
_NAMES = ("Makefile", "Dockerfile")
_SKIPPED = frozenset({".git", "node_modules", "vendor", ".venv", "__pycache__"})
_LARGEST = 10 * 1024 * 1024


class Use(msgspec.Struct, frozen=True):
    """A line that names the old module; `line` counts from 1."""

    path: str
    line: int
    before: str
    after: str


def find(root: Path) -> list[Use]:
    """Every use below a folder, or in one file."""
    return [use for path in _files(root) for use in _uses(path)]


def rewrite(root: Path) -> list[Use]:
    """Rename every use, each file whole or not at all; gives what was changed."""
    changed: list[Use] = []
    for path in _files(root):
        uses = _uses(path)
        if uses:
            _replace(path, _USE.sub(NEW.encode(), path.read_bytes()))
            changed += uses
    return changed


def _uses(path: Path) -> list[Use]:
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if _USE.search(line):
            after = _USE.sub(NEW.encode(), line)
            found.append(Use(str(path), number, _shown(line), _shown(after)))
    return found


def _shown(line: bytes) -> str:
    return line.decode("utf-8", "replace").strip()[:200]


def _files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    for place, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED)
        for name in sorted(files):
            path = Path(place) / name
            known = path.suffix in _SUFFIXES or name in _NAMES
            if known and not path.is_symlink() and path.stat().st_size <= _LARGEST:
                yield path


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.patchgen-new")
    fresh.write_bytes(content)
    fresh.chmod(path.stat().st_mode & 0o7777)
    fresh.replace(path)
