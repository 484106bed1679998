"""Names and paths by the million: nothing escapes, nothing falls over."""

import os
import random
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from backstay.core.errors import Fault
from backstay.patchgen.names import is_kubernetes_name, package_name, sanitize_name
from backstay.patchgen.paths import refuse_traversal, sanitize_path

PARTS = 4
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
PIECES = (
    *("..", ".", "", "a", "b-1", "...", "....", "..;", "~", "-", " ", "\t", "é", "․․", "%2e%2e"),
    *("\\", "..\\", "\x00", "link", "deep", "base-evil", "etc", "passwd", "x" * 300, "\ud800"),
)


def a_path(chance: random.Random) -> str:
    return chance.choice(("/", "//", "", "./")) + "/".join(
        chance.choice(PIECES) for _ in range(chance.randrange(7))
    )


def a_name(chance: random.Random) -> str:
    if chance.random() < 0.5:
        return "".join(chance.choice("abz09-_.AZ é\n\x00/ａ") for _ in range(chance.randrange(9)))
    return "".join(chr(chance.randrange(0x3000)) for _ in range(chance.randrange(6)))


def tree(folder: Path) -> Path:
    """A base with a link that leads out of it, beside a folder whose name begins like it."""
    base = folder / "base"
    (base / "deep").mkdir(parents=True)
    (folder / "base-evil").mkdir()
    (base / "link").symlink_to(folder / "base-evil")
    (base / "deep" / "link").symlink_to("/etc")
    return base


def try_path(base: Path, real: str, path: str) -> None:
    found = tried(lambda: sanitize_path(base, path), "PATCH065")
    if found is not None:
        assert (os.path.realpath(found) + "/").startswith(real + "/"), path
    given = tried(lambda: refuse_traversal(path), "PATCH064", "PATCH065")
    if given is not None:
        assert ".." not in given.parts, path


def tried(work: Callable[[], Path], *refusals: str) -> Path | None:
    """What it gives, or None for a refusal with one of these codes; anything else falls through."""
    try:
        return work()
    except Fault as fault:
        if fault.entry.code in refusals:
            return None
        raise


def try_name(name: str) -> None:
    assert is_kubernetes_name(name) == (NAME.fullmatch(name) is not None and name.isascii()), name
    clean = sanitize_name(name)
    assert is_kubernetes_name(clean), name
    assert is_kubernetes_name(package_name(clean, "0123456789abcdef"))


def look(chance: random.Random, tries: int) -> None:
    """So many paths and as many names. The tree lies near the root: resolving a path costs as much
    as it has components, and here nothing else costs much."""
    with tempfile.TemporaryDirectory() as folder:
        base = tree(Path(folder))
        real = os.path.realpath(base)
        before = everything(Path(folder))
        for _ in range(tries):
            try_path(base, real, a_path(chance))
            try_name(a_name(chance))
        assert everything(Path(folder)) == before


def everything(folder: Path) -> list[str]:
    return sorted(map(str, folder.rglob("*")))


def test_five_thousand_of_each() -> None:
    look(random.Random(1), 5_000)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(PARTS))
def test_a_million_of_each(chance: random.Random, part: int) -> None:
    """In parts that run side by side; each is bounded by its count, not by a clock."""
    look(chance, 1_000_000 // PARTS)
