"""The writer when calls fail, others sweep, race or turn links: nothing half-written is ever seen."""

import errno
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.patchgen.support import files_of, intent, names_in, writer

from backstay.core.errors import Fault
from backstay.patchgen import flush, stage, write
from backstay.patchgen.errors import OutputDenied, WriteFailed
from backstay.patchgen.model import Placed
from backstay.patchgen.render import render
from backstay.patchgen.stage import Abandon
from backstay.patchgen.write import STAGE_PREFIX

PACKAGE = render(intent())
CALLS = ("mkdir", "open", "write", "close", "fsync", "rename")


@pytest.mark.parametrize("durability", ["power", "process"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_whatever_call_fails_nothing_half_written_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: str, call: str, number: int
) -> None:
    """Every call of a kind, one after the other: the first fails, then the second, …"""
    for failing in range(40):
        folder = tmp_path / str(failing)
        folder.mkdir()
        with monkeypatch.context() as patch:
            count = _fail_at(patch, call, number, failing)
            try:
                [result] = writer(folder, durability=durability).place([PACKAGE])
            except Fault as fault:
                result = fault
        there = [name for name in names_in(folder) if not name.startswith(STAGE_PREFIX)]
        if isinstance(result, Fault):
            assert isinstance(result, WriteFailed | OutputDenied), result
            assert there == [] or files_of(folder / PACKAGE.name) == PACKAGE.files
        else:
            assert files_of(folder / PACKAGE.name) == PACKAGE.files
        writer(folder).sweep()
        assert [name for name in names_in(folder) if name.startswith(STAGE_PREFIX)] == []
        if count() <= failing:
            return
    pytest.fail("more calls than expected")


def _fail_at(patch: pytest.MonkeyPatch, call: str, number: int, failing: int) -> Callable[[], int]:
    """The call number `failing` of this kind fails; gives how many there were."""
    real, seen = getattr(os, call), 0

    def broken(*args: Any, **options: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == failing + 1:
            if call == "close":
                real(*args, **options)
            raise OSError(number, os.strerror(number))
        return real(*args, **options)

    patch.setattr(write.os, call, broken)
    return lambda: seen


def test_a_failing_sync_of_many_places_none_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: int) -> bool:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(stage, "flush_file_system", fails)
    with pytest.raises(WriteFailed, match="input/output error"):
        writer(tmp_path, durability="power").place([render(intent(replicas=n)) for n in range(3)])
    assert list(tmp_path.iterdir()) == []


def test_without_syncfs_each_file_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flush, "_SYNCFS", [None])
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(write.os, "fsync", lambda number: (synced.append(number), real(number))[1])
    writer(tmp_path, durability="power").place([render(intent(replicas=n)) for n in range(3)])
    # Five files and two folders of each, and the folder they are named in.
    assert len(synced) == 3 * 7 + 1


def test_the_names_appear_after_the_bytes_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    for call in ("fsync", "rename"):
        real = getattr(os, call)

        def noted(*args: Any, _real: Any = real, _call: str = call, **options: Any) -> Any:
            order.append(_call)
            return _real(*args, **options)

        monkeypatch.setattr(write.os, call, noted)
    writer(tmp_path, durability="power").place([PACKAGE])
    assert order == ["fsync"] * 7 + ["rename", "fsync"]


def test_the_living_are_not_swept(tmp_path: Path) -> None:
    living, dead = tmp_path / f"{STAGE_PREFIX}a", tmp_path / f"{STAGE_PREFIX}b"
    living.mkdir()
    (dead / "x" / "y").mkdir(parents=True)
    lock = os.open(living, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert writer(tmp_path).sweep() == 1
    assert living.is_dir()
    assert not dead.exists()
    os.close(lock)
    assert writer(tmp_path).sweep() == 1
    (tmp_path / f"{STAGE_PREFIX}c").symlink_to("/")
    assert writer(tmp_path).sweep() == 0


def test_a_single_package_leaves_nothing_to_remove(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every freed inode makes ext4 slower for some minutes, and a server frees none."""
    removed: list[Any] = []
    for call in ("rmdir", "unlink"):
        monkeypatch.setattr(write.os, call, lambda *given, **_: removed.append(given))
    one = writer(tmp_path)
    states = [placed.state for n in range(3) for placed in one.place([render(intent(replicas=n))])]
    assert states == ["written"] * 3
    assert removed == []
    assert [name for name in names_in(tmp_path) if name.startswith(STAGE_PREFIX)] == []


@pytest.mark.parametrize("many", [1, 3])
@pytest.mark.parametrize("moment", ["mkdir", "open"])
def test_a_stage_that_was_swept_before_its_lock_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, many: int
) -> None:
    """Another process that starts sweeps what nobody has locked, also what is one call old."""
    real, swept = getattr(os, moment), []

    def swept_after(path: Any, *args: Any, **options: Any) -> Any:
        result = real(path, *args, **options)
        if str(path).startswith(STAGE_PREFIX) and not swept:
            monkeypatch.setattr(write.os, moment, real)
            swept.append(writer(tmp_path).sweep())
        return result

    monkeypatch.setattr(write.os, moment, swept_after)
    placed = writer(tmp_path).place([render(intent(replicas=n)) for n in range(many)])
    assert swept == [1]
    assert [one.state for one in placed if isinstance(one, Placed)] == ["written"] * many
    assert len(names_in(tmp_path)) == many


def test_a_package_that_gets_its_name_is_not_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweeper that had the folder open before it was renamed finds it locked by nobody after."""
    real, swept = fcntl.flock, []

    def published_before(descriptor: int, how: int) -> None:
        if how & fcntl.LOCK_NB:
            (tmp_path / f"{STAGE_PREFIX}x").rename(tmp_path / "named")
        real(descriptor, how)

    monkeypatch.setattr(stage.fcntl, "flock", published_before)
    (tmp_path / f"{STAGE_PREFIX}x" / "component").mkdir(parents=True)
    swept.append(writer(tmp_path).sweep())
    assert swept == [0]
    assert names_in(tmp_path) == ["named"]


def test_an_output_link_that_is_turned_meanwhile_is_judged_by_the_folder_that_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other, link = tmp_path / "first", tmp_path / "other", tmp_path / "out"
    for folder in (first, other):
        folder.mkdir()
        writer(folder).place([PACKAGE])
    (other / PACKAGE.name / "Kptfile").write_text("changed")
    link.symlink_to(first)
    real = os.stat

    def turned(*args: Any, **options: Any) -> Any:
        if args[0] == PACKAGE.name:
            link.unlink()
            link.symlink_to(other)
        return real(*args, **options)

    monkeypatch.setattr(write.os, "stat", turned)
    assert [one.state for one in writer(link).place([PACKAGE])] == ["unchanged"]


def test_many_threads_make_the_same_and_different_packages_at_once(tmp_path: Path) -> None:
    packages = [render(intent(target="same", replicas=count)) for count in range(20)]
    results: list[Placed | Fault] = []
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        own = writer(tmp_path)
        for package in packages:
            results.extend(own.place([package]))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 160
    assert not [one for one in results if isinstance(one, Fault)]
    assert [one.state for one in results if isinstance(one, Placed)].count("written") == 20
    for package in packages:
        assert files_of(tmp_path / package.name) == package.files
    assert len(names_in(tmp_path)) == 20


def test_what_was_given_up_does_not_appear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    abandon = Abandon()
    real = os.fsync

    def slow(number: int) -> None:
        abandon.give_up()
        real(number)

    monkeypatch.setattr(write.os, "fsync", slow)
    [refused] = writer(tmp_path, durability="power", abandon=abandon).place([PACKAGE])
    assert isinstance(refused, Fault)
    assert refused.entry.code == "PATCH070"
    assert list(tmp_path.iterdir()) == []
